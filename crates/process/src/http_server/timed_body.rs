//! The body of an HTTP request, with a time limit.

use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tokio::time::sleep;

use crate::timeout_body::{TimeLimit, TimeoutBody};

pub type TimedBody = TimeoutBody<Incoming, BodyTimeout>;

/// Counts from when the server first has to wait for the body.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub(super) Duration);

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TimedBodyError {
    /// It took too long. The answer is 408 (RFC 9110 section 15.5.9).
    #[error("the body was not there in time")]
    TooSlow,
    /// The client has disconnected, or sent something that is not HTTP.
    #[error("the body broke off")]
    Broken(#[from] hyper::Error),
}

impl TimeLimit for BodyTimeout {
    type Error = TimedBodyError;

    fn expired(&self) -> BoxFuture<'static, TimedBodyError> {
        let BodyTimeout(timeout) = *self;
        Box::pin(async move {
            sleep(timeout).await;
            TimedBodyError::TooSlow
        })
    }
}
