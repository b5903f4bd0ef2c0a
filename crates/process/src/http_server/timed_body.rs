//! The body of a request, as long as it may be waited for.

use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tokio::time::sleep;

use crate::awaited_body::{AwaitedBody, Patience};

/// A body that fails when it is not there in time.
pub type TimedBody = AwaitedBody<Incoming, BodyTimeout>;

/// How long a body is waited for, from when there is something to wait for.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub(super) Duration);

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub enum TimedBodyError {
    /// It took too long. The answer is 408 (RFC 9110 section 15.5.9).
    #[error("the body was not there in time")]
    TooSlow,
    /// The client broke off, or what it sent is not HTTP.
    #[error("the body broke off")]
    Broken(#[from] hyper::Error),
}

impl Patience for BodyTimeout {
    type Error = TimedBodyError;

    fn wait(&self) -> BoxFuture<'static, TimedBodyError> {
        let BodyTimeout(timeout) = *self;
        Box::pin(async move {
            sleep(timeout).await;
            TimedBodyError::TooSlow
        })
    }
}
