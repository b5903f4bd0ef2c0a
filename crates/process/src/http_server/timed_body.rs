//! The body of a request, as long as it may be waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

/// A body that fails when it is not there in time, however steadily it trickles.
#[derive(Debug)]
pub struct TimedBody {
    body: Incoming,
    timeout: Duration,
    /// Once there was something to wait for.
    end: Option<Pin<Box<Sleep>>>,
}

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub enum TimedBodyError {
    /// It took too long. The answer is 408 (RFC 9110 section 15.5.9).
    #[error("the body was not there in time")]
    TooSlow,
    /// The client broke off, or what it sent is not HTTP.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

impl TimedBody {
    pub(super) fn new(body: Incoming, timeout: Duration) -> TimedBody {
        TimedBody { body, timeout, end: None }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = TimedBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TimedBodyError>>> {
        // Before what has come: a body that always has more would never be waited for.
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(TimedBodyError::TooSlow)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(TimedBodyError::Broken)));
        }
        let timeout = self.timeout;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(timeout)));
        end.as_mut().poll(context).map(|()| Some(Err(TimedBodyError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
