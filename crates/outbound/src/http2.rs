//! Requests by HTTP/2, with h2: many at a time on each connection.
//!
//! Decision: docs/decisions/connections-belong-to-an-endpoint.md

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::response::Parts;
use http::{HeaderMap, Response};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::driver::Driver;
use crate::failure::SendFailure;
use crate::frames::{ReceivedStatus, ServerPreface};
use crate::limits::{
    HTTP2_CONNECTION_WINDOW, HTTP2_MAX_HEAD, HTTP2_STREAM_WINDOW, MAX_INFORMATIONAL_ANSWERS,
    MAX_PONG_TIME, MAX_READ_HEAD, MAX_STREAMS, PING_AFTER,
};
use crate::monitored_stream::{MonitoredStream, StreamMonitor};
use crate::remark::Remark;
use crate::request::PostRequest;
use crate::response::{KeptBody, header_bytes};
use crate::send_outcome::{BodyEnd, ReceivedAnswer, SendOutcome};
use crate::tls::TlsStream;

type Stream = MonitoredStream<TlsStream>;

/// A connection. Clones are the same one; it is closed with the last of them.
#[derive(Clone)]
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    state: Arc<ConnectionState>,
    monitor: Arc<StreamMonitor>,
    _open: Arc<oneshot::Sender<Infallible>>,
}

/// State that the connection's task shares with its requests.
#[derive(Default)]
struct ConnectionState {
    in_flight: AtomicUsize,
    /// Whether the receiver has ever answered a request on it.
    has_answered: AtomicBool,
    /// Whether the receiver has left a PING unanswered.
    is_silent: AtomicBool,
}

/// Starts HTTP/2 on a stream: exchanges the prefaces (RFC 9113 section 3.4). Waits for the
/// receiver's, although requests could be sent before: it says how many there may be, and a
/// receiver that fails before has got no request. Run the driver as a task.
pub(crate) async fn begin(
    stream: TlsStream,
    monitor: Arc<StreamMonitor>,
) -> Result<(Http2, Driver), SendFailure> {
    monitor.begin_http2();
    let stream = MonitoredStream::new(stream, Arc::clone(&monitor));
    let (requests, mut connection) = Builder::new()
        // No request until the receiver's preface says how many there may be.
        .initial_max_send_streams(0)
        // No dynamic table, so that each head can be read by itself: see `frames`.
        .header_table_size(0)
        .max_header_list_size(HTTP2_MAX_HEAD as u32)
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| not_begun(&monitor, Some(&error)))?;
    poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Ready(ended) => Poll::Ready(Err(not_begun(&monitor, ended.err().as_ref()))),
        Poll::Pending if requests.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let state = Arc::new(ConnectionState::default());
    let (open, closed) = oneshot::channel();
    let driver = drive(connection, Arc::clone(&state), Arc::clone(&monitor));
    let http2 = Http2 { requests, state, monitor, _open: Arc::new(open) };
    Ok((http2, Driver::new(driver, closed)))
}

/// Why HTTP/2 could not be started on a connection that broke.
fn not_begun(monitor: &StreamMonitor, error: Option<&h2::Error>) -> SendFailure {
    let stream_state = monitor.state();
    match (&stream_state.tls_failure, stream_state.frames.server_preface()) {
        (Some(failure), _) => failure.clone(),
        _ if stream_state.is_flooded => SendFailure::Flooded,
        (None, ServerPreface::Http1) => SendFailure::Http1InsteadOfHttp2,
        _ if error.is_some_and(wants_http1) => SendFailure::Http1Wanted,
        _ if error.is_some_and(h2::Error::is_library) => SendFailure::Http2BegunWrongly,
        _ => SendFailure::Http2NotBegun,
    }
}

/// Why HTTP/2 was not started within the time limit.
pub(crate) fn not_begun_in_time(monitor: &StreamMonitor) -> SendFailure {
    match monitor.state().frames.server_preface() {
        ServerPreface::Settings => SendFailure::Http2WithoutStreams,
        ServerPreface::Http1 => SendFailure::Http1InsteadOfHttp2,
        ServerPreface::Incomplete | ServerPreface::Other => SendFailure::Http2TimedOut,
    }
}

/// Whether the receiver requires HTTP/1.1, for a request or for all (RFC 9113 section 7). Such a
/// request was not processed.
fn wants_http1(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED)
}

/// Does the connection's I/O until it ends or leaves a PING unanswered. A PING is sent only if
/// nothing has come in for a while although requests are in flight. A connection that has never
/// answered a request then takes no new ones, but stays open: its receiver may do one thing at a
/// time.
async fn drive(
    mut connection: Connection<Stream, Bytes>,
    state: Arc<ConnectionState>,
    monitor: Arc<StreamMonitor>,
) {
    let mut ping_pong = connection.ping_pong();
    let mut connection = pin!(connection);
    let mut pinged: Option<Instant> = None;
    loop {
        let next_check = sleep_until(Instant::now() + PING_AFTER / 2);
        tokio::select! {
            _ = &mut connection => return,
            () = next_check => {}
        }
        let last_read = monitor.state().last_read;
        let Some(ping_pong) = &mut ping_pong else { continue };
        match pinged {
            Some(at) if last_read > at => {
                take_pong(ping_pong);
                pinged = None;
            }
            Some(at) if at.elapsed() >= MAX_PONG_TIME => {
                state.is_silent.store(true, Ordering::Relaxed);
                if state.has_answered.load(Ordering::Relaxed) {
                    return;
                }
            }
            Some(_) => {}
            None => {
                let is_quiet = last_read.elapsed() >= PING_AFTER;
                let is_waited_for = state.in_flight.load(Ordering::Relaxed) > 0;
                if is_quiet && is_waited_for && ping_pong.send_ping(Ping::opaque()).is_ok() {
                    pinged = Some(Instant::now());
                }
            }
        }
    }
}

/// Anything that comes in counts as the answer to the PING. h2 requires that its own is taken before
/// the next PING.
fn take_pong(ping_pong: &mut PingPong) {
    _ = ping_pong.poll_pong(&mut Context::from_waker(Waker::noop()));
}

/// What has been read of an answer. It outlives a reading that is cancelled.
#[derive(Default)]
struct PartialResponse {
    informational_answers: usize,
    head: Option<Parts>,
    body: KeptBody,
}

/// Counts a request while it is in flight.
struct InFlightGuard<'a>(&'a AtomicUsize);

impl<'a> InFlightGuard<'a> {
    fn begin(in_flight: &'a AtomicUsize) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self(in_flight)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Http2 {
    pub(crate) fn capacity(&self) -> usize {
        self.requests.current_max_send_streams().min(MAX_STREAMS)
    }

    pub(crate) fn monitor(&self) -> &StreamMonitor {
        &self.monitor
    }

    pub(crate) fn is_open(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        // An error after a GOAWAY, or the end (RFC 9113 section 6.8).
        let accepts = self.requests.clone().poll_ready(&mut context);
        matches!(accepts, Poll::Ready(Ok(()))) && !self.state.is_silent.load(Ordering::Relaxed)
    }

    /// Sends a request and reads the answer, until the deadline.
    pub(crate) async fn exchange(
        &self,
        post: &PostRequest,
        deadline: Instant,
        was_used: bool,
    ) -> SendOutcome {
        let _in_flight = InFlightGuard::begin(&self.state.in_flight);
        self.monitor.begin_http2_answer(self.state.in_flight.load(Ordering::Relaxed));
        let mut requests = match self.requests.clone().ready().await {
            Ok(requests) => requests,
            Err(error) => return not_sent(&error),
        };
        let has_no_body = post.body.is_empty();
        let (response, mut stream) = match requests.send_request(post.for_http2(), has_no_body) {
            Ok(begun) => begun,
            Err(error) => return not_sent(&error),
        };
        let id = response.stream_id().as_u32();
        let mut unsent = post.body.clone();
        let mut partial = PartialResponse::default();
        // If the body cannot be sent, reading the answer says why.
        let ended = {
            let mut answer = pin!(read_answer(response, &mut partial, deadline));
            tokio::select! {
                biased;
                () = send_body(&mut stream, &mut unsent) => answer.await,
                ended = &mut answer => ended,
            }
        };
        drop(stream);
        let (has_begun, received) = {
            let frames = &mut self.monitor.state().frames;
            (frames.has_begun(id), frames.take_status(id))
        };
        match (partial.head, received) {
            // A head after too many informational answers does not count.
            (None, _) if matches!(ended, ReadEnd::TooManyInformational) => {
                SendOutcome::Failed(SendFailure::TooManyInformational)
            }
            (Some(head), _) => self.answered(head, partial.body, &ended),
            (None, Some(received)) => self.answered_by_status(received, &ended),
            (None, None) => match ended {
                ReadEnd::TimedOut if self.requests.current_max_send_streams() == 0 => {
                    SendOutcome::Failed(SendFailure::Http2WithoutStreams)
                }
                ReadEnd::TimedOut if !unsent.is_empty() => {
                    SendOutcome::Failed(SendFailure::BodyNotTaken)
                }
                ReadEnd::TimedOut => SendOutcome::TimedOut,
                ReadEnd::Error(error) => self.without_answer(&error, was_used, has_begun),
                // Not reached: such an answer has a head.
                ReadEnd::Whole | ReadEnd::Cut | ReadEnd::TooManyInformational => {
                    SendOutcome::Failed(SendFailure::Http2Violated)
                }
            },
        }
    }

    fn answered(&self, head: Parts, body: KeptBody, ended: &ReadEnd) -> SendOutcome {
        self.state.has_answered.store(true, Ordering::Relaxed);
        let body_end = match ended {
            ReadEnd::Whole => BodyEnd::Whole,
            ReadEnd::Cut | ReadEnd::TooManyInformational => BodyEnd::Cut,
            ReadEnd::TimedOut => BodyEnd::TimedOut,
            // The receiver needs no more of the request, and its answer is complete (RFC 9113
            // section 8.1).
            ReadEnd::Error(error) if error.is_remote() && is_no_error_reset(error) => {
                BodyEnd::Whole
            }
            ReadEnd::Error(_) => BodyEnd::Early,
        };
        let is_head_too_large = header_bytes(&head.headers) > MAX_READ_HEAD;
        let mut answered = ReceivedAnswer::new(head.status, head.headers, body, body_end);
        if is_head_too_large {
            answered.remark = answered.remark.or(Some(Remark::HeadersTooLarge));
        }
        // A stream that is reset does not affect the others; a connection that was too slow, or
        // broke, is not used again.
        answered.is_reusable = matches!(body_end, BodyEnd::Whole | BodyEnd::Cut);
        SendOutcome::Answered(answered)
    }

    /// The answer with its status only: h2 refused the rest of its head, or it did not arrive.
    fn answered_by_status(&self, received: ReceivedStatus, ended: &ReadEnd) -> SendOutcome {
        self.state.has_answered.store(true, Ordering::Relaxed);
        let remark = match ended {
            ReadEnd::TimedOut => Remark::HeadersTookTooLong,
            // h2 has one error for both.
            _ if received.head_size > MAX_READ_HEAD => Remark::HeadersTooLarge,
            ReadEnd::Error(error) if error.is_library() => Remark::HeadersUnreadable,
            _ => Remark::HeadersEndedEarly,
        };
        SendOutcome::Answered(ReceivedAnswer::with_part_of_head(
            received.status,
            HeaderMap::new(),
            remark,
        ))
    }

    fn without_answer(&self, error: &h2::Error, was_used: bool, has_begun: bool) -> SendOutcome {
        if wants_http1(error) {
            return SendOutcome::Http1Wanted;
        }
        // h2 gives this error to streams above the last one that a GOAWAY names, and to requests
        // that get no stream any more.
        let is_given_back = error.is_remote() && error.is_go_away();
        let is_refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        if is_given_back || is_refused {
            return SendOutcome::NotProcessed;
        }
        if error.is_reset() && error.is_remote() {
            return SendOutcome::Failed(SendFailure::RequestReset);
        }
        if error.is_library() {
            // An answer that h2 cannot decode ends the connection with all its requests. For the
            // other requests it is a connection that was closed.
            return match error.is_go_away() && !has_begun {
                true => SendOutcome::ReusedConnectionClosed(SendFailure::Http2Violated),
                false => SendOutcome::Failed(SendFailure::Http2Violated),
            };
        }
        let stream_state = self.monitor.state();
        if stream_state.is_flooded {
            return SendOutcome::Failed(SendFailure::Flooded);
        }
        let is_silent = self.state.is_silent.load(Ordering::Relaxed);
        let failure = match &stream_state.tls_failure {
            Some(failure) => failure.clone(),
            None if is_silent => SendFailure::ConnectionSilent,
            None if stream_state.write_failed => SendFailure::ClosedWhileSending,
            None => SendFailure::ConnectionClosed,
        };
        // A receiver that has begun to answer has the request.
        match (was_used || is_silent) && !has_begun {
            true => SendOutcome::ReusedConnectionClosed(failure),
            false => SendOutcome::Failed(failure),
        }
    }
}

/// The outcome if the connection accepts no more requests.
fn not_sent(error: &h2::Error) -> SendOutcome {
    match wants_http1(error) {
        true => SendOutcome::Http1Wanted,
        false => SendOutcome::NotSent,
    }
}

/// Sends the body within the receiver's flow control (RFC 9113 section 5.2). The rest stays in
/// `unsent`.
async fn send_body(stream: &mut SendStream<Bytes>, unsent: &mut Bytes) {
    while !unsent.is_empty() {
        stream.reserve_capacity(unsent.len());
        if stream.capacity() == 0 {
            let Some(Ok(_)) = poll_fn(|context| stream.poll_capacity(context)).await else {
                return std::future::pending().await;
            };
        }
        let piece = unsent.split_to(stream.capacity().min(unsent.len()));
        if stream.send_data(piece, unsent.is_empty()).is_err() {
            return std::future::pending().await;
        }
    }
}

fn is_no_error_reset(error: &h2::Error) -> bool {
    error.is_reset() && error.reason() == Some(Reason::NO_ERROR)
}

/// How reading an answer ended.
enum ReadEnd {
    Whole,
    Cut,
    TimedOut,
    TooManyInformational,
    Error(h2::Error),
}

async fn read_answer(
    mut response: ResponseFuture,
    partial: &mut PartialResponse,
    deadline: Instant,
) -> ReadEnd {
    let reading = async {
        let head = match read_head(&mut response, &mut partial.informational_answers).await {
            Ok(Some(head)) => head,
            Ok(None) => return ReadEnd::TooManyInformational,
            Err(error) => return ReadEnd::Error(error),
        };
        let (head, mut body) = head.into_parts();
        partial.head = Some(head);
        while !partial.body.is_enough() {
            match body.data().await {
                Some(Ok(data)) => {
                    partial.body.read(&data);
                    _ = body.flow_control().release_capacity(data.len());
                }
                Some(Err(error)) => return ReadEnd::Error(error),
                None => {
                    // Trailers may fail as well.
                    return match body.trailers().await {
                        Ok(_) => ReadEnd::Whole,
                        Err(error) => ReadEnd::Error(error),
                    };
                }
            }
        }
        ReadEnd::Cut
    };
    timeout_at(deadline, reading).await.unwrap_or(ReadEnd::TimedOut)
}

/// The final answer; `None` if too many informational ones came first.
async fn read_head(
    response: &mut ResponseFuture,
    informational_answers: &mut usize,
) -> Result<Option<Response<RecvStream>>, h2::Error> {
    poll_fn(|context| {
        while let Poll::Ready(Some(informational)) = response.poll_informational(context) {
            informational?;
            *informational_answers += 1;
            if *informational_answers > MAX_INFORMATIONAL_ANSWERS {
                return Poll::Ready(Ok(None));
            }
        }
        let final_answer = ready!(Pin::new(&mut *response).poll(context));
        Poll::Ready(final_answer.map(Some))
    })
    .await
}
