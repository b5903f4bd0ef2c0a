//! The body of a streaming answer. The server ends it when the process shuts down, when the call's
//! deadline passes, and when the caller loses access.
//!
//! Without this a watch would hold up the shutdown until the grace period is over, and would
//! outlive its deadline, which tonic enforces only until the headers of the answer.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::access::Caller;
use tokio::time::sleep_until;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::backpressure_body::BackpressureBody;
use super::gate::Gate;
use super::request_pools::Share;
use super::shutting_down::shutting_down;
use crate::deadline::Deadline;

/// Passes on the service's messages until the service or the server ends the stream.
///
/// At shutdown the client still gets what the service has ready, up to one frame: a watcher of
/// health must hear NOT_SERVING before UNAVAILABLE, also if it reads slowly. A stream that always
/// has more ready ends after that frame.
pub(super) struct StreamingAnswer {
    body: BackpressureBody,
    call: StreamingCall,
    state: State,
}

/// What the server knows of a streaming call.
pub(super) struct StreamingCall {
    pub(super) shutdown: CancellationToken,
    pub(super) deadline: Option<Deadline>,
    /// Knows when the caller loses access.
    pub(super) gate: Arc<dyn Gate>,
    /// None: the method needs no key.
    pub(super) caller: Option<Caller>,
    /// The call's part of the server's pools, held until the stream ends.
    pub(super) _shares: Vec<Share>,
}

enum State {
    /// The service has always had a message ready so far.
    Flowing,
    /// The service had nothing ready, or the transport could not take it.
    Waiting(Reasons),
    /// The next frame is this status.
    Ending(Status),
    Ended,
}

/// Why the server may end a stream.
struct Reasons {
    /// Checked before each message: a caller without access gets no more of them.
    access_ended: BoxFuture<'static, Status>,
    deadline_passed: BoxFuture<'static, ()>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl StreamingAnswer {
    pub(super) fn new(body: Body, call: StreamingCall) -> StreamingAnswer {
        StreamingAnswer { body: BackpressureBody::new(body), call, state: State::Flowing }
    }

    fn end_with(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for StreamingAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let answer = &mut *self;
        match &mut answer.state {
            State::Ended => return Poll::Ready(None),
            State::Ending(status) => {
                let status = status.clone();
                return answer.end_with(&status);
            }
            State::Waiting(reasons) => {
                if let Poll::Ready(status) = reasons.access_ended.as_mut().poll(context) {
                    return answer.end_with(&status);
                }
            }
            State::Flowing => {}
        }
        if let Poll::Ready(frame) = Pin::new(&mut answer.body).poll_frame(context) {
            let is_message = matches!(&frame, Some(Ok(frame)) if frame.is_data());
            let has_waited = matches!(answer.state, State::Waiting(_));
            if is_message && has_waited && answer.call.shutdown.is_cancelled() {
                answer.state = State::Ending(shutting_down());
            }
            return Poll::Ready(frame);
        }
        if matches!(answer.state, State::Flowing) {
            answer.state = State::Waiting(answer.call.reasons());
        }
        let State::Waiting(reasons) = &mut answer.state else { return Poll::Pending };
        if let Poll::Ready(status) = reasons.access_ended.as_mut().poll(context) {
            return answer.end_with(&status);
        }
        if reasons.deadline_passed.as_mut().poll(context).is_ready() {
            return answer.end_with(&status::deadline_exceeded());
        }
        let is_shutting_down = reasons.shutdown.as_mut().poll(context).is_ready();
        // While a frame is being written, the service may have another one ready behind it.
        if is_shutting_down && !answer.body.is_writing() {
            return answer.end_with(&shutting_down());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Ended => true,
            State::Ending(_) => false,
            State::Flowing | State::Waiting(_) => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl StreamingCall {
    /// A call that its service ends, also when the process shuts down.
    pub(super) fn ended_by_service(gate: Arc<dyn Gate>, shares: Vec<Share>) -> StreamingCall {
        let shutdown = CancellationToken::new();
        StreamingCall { shutdown, deadline: None, gate, caller: None, _shares: shares }
    }

    fn reasons(&self) -> Reasons {
        let (gate, caller) = (Arc::clone(&self.gate), self.caller.clone());
        let access_ended = async move {
            match caller {
                Some(caller) => gate.access_ended(caller).await,
                None => pending().await,
            }
        };
        let deadline = self.deadline;
        let deadline_passed = async move {
            match deadline {
                Some(Deadline(time)) => sleep_until(time).await,
                None => pending().await,
            }
        };
        Reasons {
            access_ended: Box::pin(access_ended),
            deadline_passed: Box::pin(deadline_passed),
            shutdown: Box::pin(self.shutdown.clone().cancelled_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{FutureExt, StreamExt};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;
    use tokio::time::Instant;
    use tokio_stream::wrappers::UnboundedReceiverStream;
    use tonic::Code;

    use super::*;

    struct OpenGate;

    #[tonic::async_trait]
    impl Gate for OpenGate {
        async fn admit(&self, _: &http::request::Parts) -> Result<Option<Caller>, Status> {
            Ok(None)
        }

        async fn access_ended(&self, _: Caller) -> Status {
            pending().await
        }
    }

    /// A stream of what is sent to it.
    fn stream(
        deadline: Option<Deadline>,
    ) -> (mpsc::UnboundedSender<&'static str>, CancellationToken, StreamingAnswer) {
        let (sender, messages) = mpsc::unbounded_channel();
        let messages = UnboundedReceiverStream::new(messages)
            .map(|message: &str| Ok::<_, Status>(Frame::data(Bytes::from(message))));
        let shutdown = CancellationToken::new();
        let call = StreamingCall {
            shutdown: shutdown.clone(),
            deadline,
            gate: Arc::new(OpenGate),
            caller: None,
            _shares: Vec::new(),
        };
        (sender, shutdown, StreamingAnswer::new(Body::new(StreamBody::new(messages)), call))
    }

    /// The next frame if it is ready: a message, or the code of the status at the end.
    fn ready(answer: &mut StreamingAnswer) -> Option<Result<Bytes, Code>> {
        let frame = answer.frame().now_or_never()?.expect("not after the end").expect("no error");
        Some(frame.into_data().map_err(|frame| {
            let trailers = frame.into_trailers().unwrap_or_default();
            Status::from_header_map(&trailers).expect("a status").code()
        }))
    }

    #[test]
    fn the_last_message_before_a_shutdown_waits_for_a_slow_reader_and_the_status_comes_after_it() {
        let (service, shutdown, mut answer) = stream(None);
        service.send("serving").expect("it is open");
        let unwritten = ready(&mut answer).expect("a message");
        assert_eq!(ready(&mut answer), None);

        service.send("not serving").expect("it is open");
        shutdown.cancel();
        assert_eq!(ready(&mut answer), None, "the message before is still being written");
        drop(unwritten);
        assert_eq!(ready(&mut answer), Some(Ok(Bytes::from("not serving"))));
        assert_eq!(ready(&mut answer), Some(Err(Code::Unavailable)));
        assert!(http_body::Body::is_end_stream(&answer));
    }

    #[test]
    fn a_stream_with_nothing_to_say_ends_at_once_when_the_process_shuts_down() {
        let (_service, shutdown, mut answer) = stream(None);
        assert_eq!(ready(&mut answer), None);
        shutdown.cancel();
        assert_eq!(ready(&mut answer), Some(Err(Code::Unavailable)));
    }

    #[test]
    fn a_stream_that_always_has_more_to_say_ends_one_frame_after_the_shutdown() {
        let (service, shutdown, mut answer) = stream(None);
        assert_eq!(ready(&mut answer), None);
        shutdown.cancel();
        for message in ["first", "second", "third"] {
            service.send(message).expect("it is open");
        }
        assert_eq!(ready(&mut answer), Some(Ok(Bytes::from("first"))));
        assert_eq!(ready(&mut answer), Some(Err(Code::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_a_stream_whether_its_last_message_was_written_or_not() {
        let deadline = Instant::now() + Duration::from_secs(5);
        let (service, _shutdown, mut answer) = stream(Some(Deadline(deadline)));
        service.send("serving").expect("it is open");
        let unwritten = ready(&mut answer).expect("a message");
        service.send("not serving").expect("it is open");
        let end = answer.frame().await.expect("an end").expect("no error");
        assert!(end.is_trailers());
        assert_eq!(Instant::now(), deadline);
        drop(unwritten);
    }
}
