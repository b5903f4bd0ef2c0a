//! Answers that end: a stream does so when the process shuts down or its deadline passes.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::guard::shutting_down;
use crate::deadline::Deadline;

/// The body of an answer. It is passed on as it is; but when there is nothing to pass on, and
/// there would be no end to waiting, it ends with a status.
///
/// A single answer is always there at once. So this concerns streams only: a watch would hold
/// up the shutdown until the grace period is over, and would outlive its deadline, which tonic
/// watches only until the first answer.
pub(super) struct EndingBody {
    body: Body,
    state: State,
}

enum State {
    /// Nothing had to be waited for yet.
    Flowing {
        shutdown: CancellationToken,
        deadline: Option<Deadline>,
    },
    /// Waiting for the stream, or for the reason to end it.
    Waiting(Pin<Box<dyn Future<Output = Status> + Send>>),
    Ended,
}

impl EndingBody {
    pub(super) fn new(body: Body, shutdown: CancellationToken, deadline: Option<Deadline>) -> Self {
        EndingBody { body, state: State::Flowing { shutdown, deadline } }
    }
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if matches!(self.state, State::Ended) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let State::Flowing { shutdown, deadline } = &self.state {
            self.state = State::Waiting(Box::pin(end(shutdown.clone(), *deadline)));
        }
        let State::Waiting(end) = &mut self.state else { return Poll::Pending };
        let status = ready!(end.as_mut().poll(context));
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The status to end with, when it is time.
async fn end(shutdown: CancellationToken, deadline: Option<Deadline>) -> Status {
    let deadline_passes = async {
        match deadline {
            Some(Deadline(time)) => sleep_until(time).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => shutting_down(),
        () = deadline_passes => status::deadline_exceeded(),
    }
}
