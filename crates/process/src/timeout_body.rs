//! The body of an HTTP or gRPC request with a limit on the time that it takes to arrive.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

/// How long a server waits for a request's body.
pub trait TimeLimit: Send + Unpin + 'static {
    /// What the body fails with.
    type Error: Send;

    /// Starts when the server first has to wait. Resolves when the time is over.
    fn expired(&self) -> BoxFuture<'static, Self::Error>;
}

/// A body that fails when it has not arrived in time, however steadily it trickles.
pub struct TimeoutBody<B, L: TimeLimit> {
    body: B,
    limit: L,
    /// None: the server has not had to wait yet.
    expired: Option<BoxFuture<'static, L::Error>>,
}

impl<B, L: TimeLimit> TimeoutBody<B, L> {
    pub(crate) fn new(body: B, limit: L) -> TimeoutBody<B, L> {
        TimeoutBody { body, limit, expired: None }
    }
}

impl<B, L> Body for TimeoutBody<B, L>
where
    B: Body<Data = Bytes, Error: Into<L::Error>> + Unpin,
    L: TimeLimit,
{
    type Data = Bytes;
    type Error = L::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, L::Error>>> {
        // Before the body: otherwise one that always has a frame ready would never expire.
        if let Some(expired) = &mut self.expired
            && let Poll::Ready(error) = expired.as_mut().poll(context)
        {
            return Poll::Ready(Some(Err(error)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.expired.is_some() {
            return Poll::Pending;
        }
        // Polled at once, so that it wakes the task.
        let expired = self.limit.expired();
        self.expired.insert(expired).as_mut().poll(context).map(|error| Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
