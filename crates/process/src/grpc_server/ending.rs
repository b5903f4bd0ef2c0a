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
use super::sharing::Share;
use crate::deadline::Deadline;

/// The body of an answer. It is passed on as it is; but when there is nothing to pass on, and
/// there would be no end to waiting, it ends with a status.
///
/// It is for streams: a watch would hold up the shutdown until the grace period is over, and would
/// outlive its deadline, which tonic watches only until the first answer.
pub(super) struct EndingBody {
    body: Body,
    state: State,
    _held: Vec<Share>,
}

enum State {
    /// Nothing had to be waited for yet.
    Flowing(Ends),
    /// Waiting for the stream, or for a reason to end it.
    Waiting {
        /// The caller may not be there any more: nothing more is passed on.
        lapse: Reason,
        /// It is time, for whatever is not there yet.
        end: Reason,
    },
    Ended,
}

/// Becomes the status to end with.
type Reason = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Why a stream ends that would go on.
pub(super) struct Ends {
    pub(super) shutdown: CancellationToken,
    pub(super) deadline: Option<Deadline>,
    /// Asked about the caller, if there is one.
    pub(super) gate: Arc<dyn Gate>,
    pub(super) caller: Option<Caller>,
    /// What the call takes of what all share.
    pub(super) held: Vec<Share>,
}

impl EndingBody {
    pub(super) fn new(body: Body, mut ends: Ends) -> Self {
        let held = std::mem::take(&mut ends.held);
        EndingBody { body, state: State::Flowing(ends), _held: held }
    }

    /// Ends the stream with a status.
    fn end_with(&mut self, status: Status) -> Result<Frame<Bytes>, Status> {
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
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
        // Before what there is to pass on: a stream that never has to be waited for ends as well.
        if let State::Waiting { lapse, .. } = &mut self.state
            && let Poll::Ready(status) = lapse.as_mut().poll(context)
        {
            return Poll::Ready(Some(self.end_with(status)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let State::Flowing(ends) = &self.state {
            self.state = ends.begin();
        }
        let State::Waiting { lapse, end } = &mut self.state else { return Poll::Pending };
        if let Poll::Ready(status) = lapse.as_mut().poll(context) {
            return Poll::Ready(Some(self.end_with(status)));
        }
        let status = ready!(end.as_mut().poll(context));
        Poll::Ready(Some(self.end_with(status)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Ends {
    /// Begins to wait.
    fn begin(&self) -> State {
        let (gate, caller) = (Arc::clone(&self.gate), self.caller.clone());
        let lapse = async move {
            match caller {
                Some(caller) => gate.lapse(caller).await,
                None => pending().await,
            }
        };
        let end = end(self.shutdown.clone(), self.deadline);
        State::Waiting { lapse: Box::pin(lapse), end: Box::pin(end) }
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
