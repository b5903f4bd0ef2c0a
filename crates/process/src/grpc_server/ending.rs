//! Answers that end: a stream does so when the process shuts down, when its deadline passes, and
//! when its caller may not be there any more.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::access::Caller;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::gate::Gate;
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
    Flowing(Ends),
    /// Waiting for the stream, or for the reason to end it.
    Waiting(Pin<Box<dyn Future<Output = Status> + Send>>),
    Ended,
}

/// Why a stream ends that would go on.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) shutdown: CancellationToken,
    pub(super) deadline: Option<Deadline>,
    /// Asked about the caller, if there is one.
    pub(super) gate: Arc<dyn Gate>,
    pub(super) caller: Option<Caller>,
}

impl EndingBody {
    pub(super) fn new(body: Body, ends: Ends) -> Self {
        EndingBody { body, state: State::Flowing(ends) }
    }

    /// The trailers that end the stream, if it is time. A stream that always has something to
    /// pass on ends as well: once it had to be waited for, this is asked before it is.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Status>> {
        let State::Waiting(end) = &mut self.state else { return Poll::Pending };
        let status = ready!(end.as_mut().poll(context));
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Ok(Frame::trailers(trailers)))
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
        if let Poll::Ready(trailers) = self.poll_end(context) {
            return Poll::Ready(Some(trailers));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let State::Flowing(ends) = &self.state {
            self.state = State::Waiting(Box::pin(end(ends.clone())));
        }
        self.poll_end(context).map(Some)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The status to end with, when it is time.
async fn end(ends: Ends) -> Status {
    let Ends { shutdown, deadline, gate, caller } = ends;
    let caller_lapses = async {
        match caller {
            Some(caller) => gate.lapse(caller).await,
            None => pending().await,
        }
    };
    let deadline_passes = async {
        match deadline {
            Some(Deadline(time)) => sleep_until(time).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => shutting_down(),
        () = deadline_passes => status::deadline_exceeded(),
        status = caller_lapses => status,
    }
}
