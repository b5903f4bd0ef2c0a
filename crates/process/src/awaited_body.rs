//! A body that is waited for, but not for ever: of HTTP requests and of gRPC's.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

/// How long a body is waited for.
pub trait Patience: Send + Unpin + 'static {
    /// Why it is waited for no more.
    type Error: Send;

    /// Begins when there is something to wait for, and is over when it is waited for no more.
    fn wait(&self) -> BoxFuture<'static, Self::Error>;
}

/// A body that fails when it is not there in time, however steadily it trickles.
pub struct AwaitedBody<B, P: Patience> {
    body: B,
    patience: P,
    /// Once there was something to wait for.
    end: Option<BoxFuture<'static, P::Error>>,
}

impl<B, P: Patience> AwaitedBody<B, P> {
    pub(crate) fn new(body: B, patience: P) -> AwaitedBody<B, P> {
        AwaitedBody { body, patience, end: None }
    }
}

impl<B, P> Body for AwaitedBody<B, P>
where
    B: Body<Data = Bytes, Error: Into<P::Error>> + Unpin,
    P: Patience,
{
    type Data = Bytes;
    type Error = P::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, P::Error>>> {
        // Before what has come: it may have come too late, and a body that always has more would
        // never be waited for.
        if let Some(end) = &mut self.end
            && let Poll::Ready(error) = end.as_mut().poll(context)
        {
            return Poll::Ready(Some(Err(error)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.end.is_some() {
            return Poll::Pending;
        }
        // Asked at once, so that it wakes whoever waits for the body.
        let wait = self.patience.wait();
        self.end.insert(wait).as_mut().poll(context).map(|error| Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
