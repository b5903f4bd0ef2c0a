//! Requests by HTTP/1.1, with hyper: one at a time on each connection.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::driver::Driver;
use crate::failure::SendFailure;
use crate::head::HeadProblem;
use crate::limits::{IDLE_TIME_MARGIN, MAX_IDLE_TIME, MAX_READ_HEAD, MAX_READ_HEADERS};
use crate::monitored_stream::{MonitoredStream, StreamMonitor};
use crate::remark::Remark;
use crate::request::PostRequest;
use crate::response::KeptBody;
use crate::send_outcome::{BodyEnd, ReceivedAnswer, SendOutcome};
use crate::tls::TlsStream;

/// A connection. Clones are the same one; it is closed with the last of them.
#[derive(Clone)]
pub(crate) struct Http1 {
    requests: Arc<Mutex<SendRequest<Full<Bytes>>>>,
    monitor: Arc<StreamMonitor>,
    _open: Arc<oneshot::Sender<Infallible>>,
}

/// Starts HTTP/1.1 on a stream. Run the driver as a task.
pub(crate) async fn begin(
    stream: TlsStream,
    monitor: Arc<StreamMonitor>,
) -> Result<(Http1, Driver), SendFailure> {
    let stream = MonitoredStream::new(stream, Arc::clone(&monitor));
    let (requests, connection) = Builder::new()
        // We accept what other clients accept. RFC 9112 sections 5.1 and 5.2 forbid senders the
        // first two, and say how to read them.
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .max_headers(MAX_READ_HEADERS)
        // Never reached: the monitor limits heads.
        .max_buf_size(2 * MAX_READ_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| SendFailure::ConnectionClosed)?;
    let (open, closed) = oneshot::channel();
    let driver = Driver::new(async { _ = connection.await }, closed);
    let requests = Arc::new(Mutex::new(requests));
    Ok((Http1 { requests, monitor, _open: Arc::new(open) }, driver))
}

impl Http1 {
    pub(crate) fn monitor(&self) -> &StreamMonitor {
        &self.monitor
    }

    pub(crate) fn is_open(&self) -> bool {
        self.requests().is_ready()
    }

    /// Sends a request and reads the answer, until the deadline.
    pub(crate) async fn exchange(
        &self,
        post: &PostRequest,
        deadline: Instant,
        was_used: bool,
    ) -> SendOutcome {
        self.monitor.begin_answer();
        let request = post.for_http1(Full::new(post.body.clone()));
        let answering = self.requests().try_send_request(request);
        let answer = match timeout_at(deadline, answering).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return self.without_whole_head(error, was_used),
            Err(_) => return self.timed_out(),
        };

        let (head, mut body) = answer.into_parts();
        // Some servers send this when they close an idle connection, even if a request is on its
        // way (RFC 9110 section 15.5.9).
        if was_used && head.status == StatusCode::REQUEST_TIMEOUT && is_last(&head.headers) {
            return SendOutcome::ReusedConnectionClosed(SendFailure::ConnectionClosed);
        }
        let mut kept = KeptBody::default();
        let body_end = read_body(&mut body, &mut kept, deadline).await;
        drop(body);
        let idle_time = announced_idle_time(&head.headers);
        let mut answered = ReceivedAnswer::new(head.status, head.headers, kept, body_end);
        answered.idle_time = idle_time.unwrap_or(MAX_IDLE_TIME);
        if self.monitor.state().write_failed {
            answered.is_reusable = false;
            answered.remark = answered.remark.or(Some(Remark::AnsweredWhileSending));
        }
        // At once, unless the request is still being written.
        if answered.is_reusable {
            answered.is_reusable = self.is_ready_soon().await;
        }
        SendOutcome::Answered(answered)
    }

    fn requests(&self) -> MutexGuard<'_, SendRequest<Full<Bytes>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next request can be sent. hyper's task has reported the end of the answer, and
    /// may need another poll to report that it is ready.
    async fn is_ready_soon(&self) -> bool {
        for _ in 0..16 {
            if self.requests().is_ready() {
                return true;
            }
            tokio::task::yield_now().await;
        }
        let ready = std::future::poll_fn(|context| self.requests().poll_ready(context));
        let ready = tokio::time::timeout(Duration::from_millis(20), ready).await;
        matches!(ready, Ok(Ok(())))
    }

    /// The outcome if the time limit passed before the answer's head was complete.
    fn timed_out(&self) -> SendOutcome {
        self.by_part_of_head(Remark::HeadersTookTooLong).unwrap_or(SendOutcome::TimedOut)
    }

    /// The outcome if hyper has no answer.
    fn without_whole_head(
        &self,
        mut error: TrySendError<hyper::Request<Full<Bytes>>>,
        was_used: bool,
    ) -> SendOutcome {
        if error.take_message().is_some() {
            return SendOutcome::NotSent;
        }
        let error = error.into_error();
        let problem = self.monitor.state().problem;
        let remark = match problem {
            Some(HeadProblem::TooLarge) => Remark::HeadersTooLarge,
            _ if error.is_parse_too_large() => Remark::HeadersTooLarge,
            _ if error.is_parse() => Remark::HeadersUnreadable,
            _ => Remark::HeadersEndedEarly,
        };
        if let Some(outcome) = self.by_part_of_head(remark) {
            return outcome;
        }
        let stream_state = self.monitor.state();
        let failure = match problem {
            Some(HeadProblem::TooLarge) => SendFailure::AnswerHeadersTooLarge,
            Some(HeadProblem::TooManyInformationalAnswers) => SendFailure::TooManyInformational,
            None if error.is_parse() => SendFailure::NotHttp,
            None if stream_state.write_failed => SendFailure::ClosedWhileSending,
            None => SendFailure::ConnectionClosed,
        };
        match (&stream_state.tls_failure, stream_state.has_read) {
            (_, false) if was_used => SendOutcome::ReusedConnectionClosed(failure),
            (Some(tls_failure), _) => SendOutcome::Failed(tls_failure.clone()),
            _ => SendOutcome::Failed(failure),
        }
    }

    /// The answer with its status and the headers that are complete, if the status has arrived.
    fn by_part_of_head(&self, remark: Remark) -> Option<SendOutcome> {
        let stream_state = self.monitor.state();
        let head = stream_state.answer.as_ref()?;
        let answered = ReceivedAnswer::with_part_of_head(head.status()?, head.headers(), remark);
        Some(SendOutcome::Answered(answered))
    }
}

/// Whether the receiver announces that it closes the connection after this answer.
fn is_last(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("close"))
}

/// The idle time that the receiver announces, less a margin: `Keep-Alive: timeout=5` (RFC 2068
/// section 19.7.1.1, which servers still follow).
fn announced_idle_time(headers: &HeaderMap) -> Option<Duration> {
    let mut parameters = headers
        .get_all("keep-alive")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|parameter| parameter.split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let announced =
        Duration::from_secs(seconds.trim().trim_matches('"').parse::<u32>().ok()?.into());
    Some(announced - IDLE_TIME_MARGIN.min(announced / 2))
}

async fn read_body(body: &mut Incoming, kept: &mut KeptBody, deadline: Instant) -> BodyEnd {
    while !kept.is_enough() {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    kept.read(data);
                }
            }
            Ok(Some(Err(_))) => return BodyEnd::Early,
            Ok(None) => return BodyEnd::Whole,
            Err(_) => return BodyEnd::TimedOut,
        }
    }
    BodyEnd::Cut
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn idle_time(value: &'static str) -> Option<Duration> {
        let headers =
            [(http::HeaderName::from_static("keep-alive"), HeaderValue::from_static(value))];
        announced_idle_time(&HeaderMap::from_iter(headers))
    }

    #[test]
    fn a_margin_of_an_announced_idle_time_is_left() {
        assert_eq!(idle_time("timeout=5"), Some(Duration::from_secs(4)));
        assert_eq!(idle_time("max=100, Timeout = \"60\""), Some(Duration::from_secs(59)));
        assert_eq!(idle_time("timeout=1"), Some(Duration::from_millis(500)));
        assert_eq!(idle_time("timeout=0"), Some(Duration::ZERO));
        for other in ["max=100", "timeout", "timeout=soon", "timeout=-1", ""] {
            assert_eq!(idle_time(other), None, "{other}");
        }
    }
}
