//! The body of a streaming answer. The server ends it when the process shuts down, when the call's
//! deadline passes, and when the caller loses access.
//!
//! Without this a watch would hold up the shutdown until the grace period is over, and would
//! outlive its deadline, which tonic enforces only until the headers of the answer.
//!
//! It also ends an answer that its client does not read. Then the transport does not poll the body, so
//! that a task does it: it drops the service's stream, and with it what the call has of the server's pools
//! and memory. The HTTP/2 stream stays open as long as its client keeps it so: hyper polls a body, which
//! could reset it, only when the client's window opens. What is left is the last frame, and the place of
//! one stream among [`MAX_STREAMS_PER_CONNECTION`](super::limits::MAX_STREAMS_PER_CONNECTION).

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::Caller;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;

use super::backpressure_body::BackpressureBody;
use super::gate::Gate;
use super::limits::{ANSWER_TIMEOUT, RETRY_DELAY};
use super::request_pools::Share;
use super::shutting_down::shutting_down;
use super::unary_answer::not_read_in_time;
use crate::deadline::Deadline;

/// Passes on the service's messages until the service or the server ends the stream.
///
/// At shutdown the client still gets what the service has ready, up to one frame: a watcher of
/// health must hear NOT_SERVING before UNAVAILABLE, also if it reads slowly. A stream that always
/// has more ready ends after that frame.
pub(super) struct StreamingAnswer {
    answer: Arc<Mutex<Answer>>,
    unread: Arc<Notify>,
    _end_unread: AbortOnDropHandle<()>,
}

struct Answer {
    body: BackpressureBody,
    call: StreamingCall,
    state: State,
    /// Since when the transport has not asked for the next frame. It asks when the last one is written
    /// and the client's window is open. None: it has asked, and the service has nothing to say.
    unread_since: Option<Instant>,
}

/// What the server knows of a streaming call.
pub(super) struct StreamingCall {
    pub(super) shutdown: CancellationToken,
    pub(super) deadline: Option<Deadline>,
    /// Knows when the caller loses access.
    pub(super) gate: Arc<dyn Gate>,
    /// How the answer ends when its client does not read it.
    pub(super) not_read: Status,
    /// None: the method needs no key.
    pub(super) caller: Option<Caller>,
    /// The call's part of the server's pools, held until the stream ends.
    pub(super) shares: Vec<Share>,
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
        let answer = Arc::new(Mutex::new(Answer {
            body: BackpressureBody::new(body),
            call,
            state: State::Flowing,
            unread_since: Some(Instant::now()),
        }));
        let unread = Arc::new(Notify::new());
        let end = end_unread(Arc::downgrade(&answer), Arc::clone(&unread));
        let _end_unread = AbortOnDropHandle::new(tokio::spawn(end));
        StreamingAnswer { answer, unread, _end_unread }
    }
}

fn lock(answer: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends an answer when its client has not read it for [`ANSWER_TIMEOUT`]. Wakes up at most once in that
/// time, and never while there is nothing to read.
async fn end_unread(answer: Weak<Mutex<Answer>>, unread: Arc<Notify>) {
    while let Some(unread_since) = answer.upgrade().map(|answer| lock(&answer).unread_since) {
        let Some(unread_since) = unread_since else {
            unread.notified().await;
            continue;
        };
        if unread_since.elapsed() < ANSWER_TIMEOUT {
            sleep_until(unread_since + ANSWER_TIMEOUT).await;
            continue;
        }
        // Dropped without the lock: the service may do anything then.
        let _dropped = answer.upgrade().and_then(|answer| lock(&answer).take_unread(unread_since));
        return;
    }
}

impl Answer {
    /// What is left of an answer that its client does not read. None: it has read since.
    fn take_unread(&mut self, since: Instant) -> Option<(BackpressureBody, Vec<Share>)> {
        if self.unread_since != Some(since) {
            return None;
        }
        self.state = State::Ending(self.call.not_read.clone());
        let nothing = BackpressureBody::new(Body::empty());
        let body = std::mem::replace(&mut self.body, nothing);
        Some((body, std::mem::take(&mut self.call.shares)))
    }

    fn end_with(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.state {
            State::Ended => return Poll::Ready(None),
            State::Ending(status) => {
                let status = status.clone();
                return self.end_with(&status);
            }
            State::Waiting(reasons) => {
                if let Poll::Ready(status) = reasons.access_ended.as_mut().poll(context) {
                    return self.end_with(&status);
                }
            }
            State::Flowing => {}
        }
        if let Poll::Ready(frame) = http_body::Body::poll_frame(Pin::new(&mut self.body), context) {
            let is_message = matches!(&frame, Some(Ok(frame)) if frame.is_data());
            let has_waited = matches!(self.state, State::Waiting(_));
            if is_message && has_waited && self.call.shutdown.is_cancelled() {
                self.state = State::Ending(shutting_down());
            }
            return Poll::Ready(frame);
        }
        if matches!(self.state, State::Flowing) {
            self.state = State::Waiting(self.call.reasons());
        }
        let State::Waiting(reasons) = &mut self.state else { return Poll::Pending };
        if let Poll::Ready(status) = reasons.access_ended.as_mut().poll(context) {
            return self.end_with(&status);
        }
        if reasons.deadline_passed.as_mut().poll(context).is_ready() {
            return self.end_with(&status::deadline_exceeded());
        }
        let is_shutting_down = reasons.shutdown.as_mut().poll(context).is_ready();
        // While a frame is being written, the service may have another one ready behind it.
        if is_shutting_down && !self.body.is_writing() {
            return self.end_with(&shutting_down());
        }
        Poll::Pending
    }
}

impl http_body::Body for StreamingAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut answer = lock(&self.answer);
        if !answer.body.is_writing() {
            answer.unread_since = None;
        }
        let polled = answer.poll(context);
        if matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_data()) {
            answer.unread_since = Some(Instant::now());
            self.unread.notify_one();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let answer = lock(&self.answer);
        match answer.state {
            State::Ended => true,
            State::Ending(_) => false,
            State::Flowing | State::Waiting(_) => answer.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.answer).body.size_hint()
    }
}

/// UNAVAILABLE, after which clients resume: one that takes its time with what it has received reads on.
pub(super) fn watch_not_read_in_time() -> Status {
    let message = format!("nothing of the stream was read for {ANSWER_TIMEOUT:?}: open it again");
    status::unavailable(Reason::NotRead, message, RETRY_DELAY)
}

impl StreamingCall {
    /// A call that its service ends, also when the process shuts down.
    pub(super) fn ended_by_service(gate: Arc<dyn Gate>, shares: Vec<Share>) -> StreamingCall {
        let shutdown = CancellationToken::new();
        let not_read = not_read_in_time();
        StreamingCall { shutdown, deadline: None, gate, not_read, caller: None, shares }
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
    use tokio::sync::{Semaphore, mpsc};
    use tokio::time::sleep;
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
            not_read: watch_not_read_in_time(),
            caller: None,
            shares: Vec::new(),
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

    #[tokio::test]
    async fn the_last_message_before_a_shutdown_waits_for_a_slow_reader_and_the_status_comes_after_it()
     {
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

    #[tokio::test]
    async fn a_stream_with_nothing_to_say_ends_at_once_when_the_process_shuts_down() {
        let (_service, shutdown, mut answer) = stream(None);
        assert_eq!(ready(&mut answer), None);
        shutdown.cancel();
        assert_eq!(ready(&mut answer), Some(Err(Code::Unavailable)));
    }

    #[tokio::test]
    async fn a_stream_that_always_has_more_to_say_ends_one_frame_after_the_shutdown() {
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

    /// An answer that holds a permit until its service is dropped, and what its service has.
    fn unread_answer() -> (Arc<Semaphore>, mpsc::UnboundedSender<&'static str>, StreamingAnswer) {
        let held = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&held).try_acquire_owned().expect("it is free");
        let (sender, messages) = mpsc::unbounded_channel();
        let messages = UnboundedReceiverStream::new(messages).map(move |message: &str| {
            let _held = &permit;
            Ok::<_, Status>(Frame::data(Bytes::from(message)))
        });
        let call = StreamingCall::ended_by_service(Arc::new(OpenGate), Vec::new());
        (held, sender, StreamingAnswer::new(Body::new(StreamBody::new(messages)), call))
    }

    /// Until a moment before and a moment after an answer that is unread from now on is ended.
    async fn assert_ends_in_time(held: &Semaphore) {
        let moment = Duration::from_millis(10);
        sleep(ANSWER_TIMEOUT - moment).await;
        assert_eq!(held.available_permits(), 0, "not yet");
        sleep(2 * moment).await;
        assert_eq!(held.available_permits(), 1, "the service is dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_ends_after_a_minute_although_nobody_polls_it() {
        // The window is closed from the beginning.
        let (held, _service, mut answer) = unread_answer();
        assert_ends_in_time(&held).await;
        assert_eq!(ready(&mut answer), Some(Err(Code::DeadlineExceeded)));
        assert!(http_body::Body::is_end_stream(&answer));

        // A message is being written.
        let (held, service, mut answer) = unread_answer();
        service.send("first").expect("it is open");
        let unwritten = ready(&mut answer).expect("a message");
        assert_ends_in_time(&held).await;
        assert_eq!(ready(&mut answer), Some(Err(Code::DeadlineExceeded)));
        drop(unwritten);

        // The last message has just filled the window.
        let (held, service, mut answer) = unread_answer();
        service.send("first").expect("it is open");
        drop(ready(&mut answer).expect("a message"));
        assert_ends_in_time(&held).await;
        assert_eq!(ready(&mut answer), Some(Err(Code::DeadlineExceeded)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_on_while_it_has_nothing_to_read_or_is_read_slowly() {
        let (held, service, mut answer) = unread_answer();
        for _ in 0..5 {
            assert_eq!(ready(&mut answer), None);
            sleep(10 * ANSWER_TIMEOUT).await;
            service.send("message").expect("it is open");
            let message = ready(&mut answer).expect("it was only silent");
            sleep(ANSWER_TIMEOUT * 9 / 10).await;
            assert_eq!(message, Ok(Bytes::from("message")));
        }
        assert_eq!(held.available_permits(), 0);
        assert_eq!(ready(&mut answer), None, "the last one was written");
        service.send("first").expect("it is open");
        drop(ready(&mut answer).expect("a message"));
        assert_ends_in_time(&held).await;
    }
}
