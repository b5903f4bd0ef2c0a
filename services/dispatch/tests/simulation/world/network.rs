//! Receivers that answer by script and remember their requests.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use keeptrusts_webhooks_dispatch_service::Transport;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::DeliveryId;
use keeptrusts_webhooks_outbound::{ConnectionGroup, HttpExchange, HttpResponse, SendFailure};
use keeptrusts_webhooks_store::Clock;
use tokio::time::Instant;

use super::process_state::ProcessState;

/// The sender's default: an attempt takes no longer.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiverAnswer {
    /// Answers at once with this status.
    Status(u16),
    /// The same, with a Retry-After of so many seconds.
    RetryAfter(u16, u64),
    /// The same after a while.
    SlowRetryAfter(Duration, u16, u64),
    /// Answers 204 after a while.
    Slow(Duration),
    /// Answers this status after a while.
    SlowStatus(Duration, u16),
    /// Accepts the request and never answers.
    Hang,
    /// Does not listen.
    Refuse,
}

impl ReceiverAnswer {
    pub(crate) const OK: ReceiverAnswer = ReceiverAnswer::Status(204);
    pub(crate) const ERROR: ReceiverAnswer = ReceiverAnswer::Status(500);
}

/// A request as its receiver saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When it was made.
    pub(crate) time: Timestamp,
    /// The process that made it.
    pub(crate) from: String,
    /// The endpoint's name: the path that was requested.
    pub(crate) to: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The status of the answer, once there is one.
    pub(crate) status: Option<u16>,
    /// Whether the answer reached the process that made the request.
    pub(crate) has_ended: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("the header {name}"));
        value.to_str().expect("readable")
    }

    pub(crate) fn delivery(&self) -> DeliveryId {
        self.header("x-keeptrusts-delivery").parse().expect("a delivery's id")
    }

    /// The attempt's number.
    pub(crate) fn number(&self) -> u32 {
        self.header("x-keeptrusts-attempt").parse().expect("a number")
    }
}

pub(crate) struct Network {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    scripts: HashMap<String, Script>,
}

struct Script {
    next: VecDeque<ReceiverAnswer>,
    then: ReceiverAnswer,
}

impl Default for Script {
    fn default() -> Self {
        Script { next: VecDeque::new(), then: ReceiverAnswer::OK }
    }
}

impl Network {
    pub(crate) fn new(clock: Clock) -> Network {
        Network { clock, state: Mutex::default() }
    }

    /// A receiver's answers to its next requests, in order.
    pub(crate) fn next(&self, endpoint: &str, answers: impl IntoIterator<Item = ReceiverAnswer>) {
        self.state().scripts.entry(endpoint.to_owned()).or_default().next.extend(answers);
    }

    /// A receiver's answer from now on.
    pub(crate) fn always(&self, endpoint: &str, answer: ReceiverAnswer) {
        let script = Script { next: VecDeque::new(), then: answer };
        self.state().scripts.insert(endpoint.to_owned(), script);
    }

    /// Every receiver answers 204 from now on.
    pub(crate) fn heal(&self) {
        self.state().scripts.clear();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn receive(&self, request: Request) -> (usize, ReceiverAnswer) {
        let mut state = self.state();
        let script = state.scripts.entry(request.to.clone()).or_default();
        let answer = script.next.pop_front().unwrap_or(script.then);
        state.requests.push(request);
        (state.requests.len() - 1, answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network as one process sees it.
pub(crate) struct Link {
    pub(crate) from: String,
    pub(crate) network: Arc<Network>,
    pub(crate) process_state: Arc<ProcessState>,
}

#[async_trait]
impl Transport for Link {
    async fn post(
        &self,
        _: ConnectionGroup,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> HttpExchange {
        self.process_state.running().await;
        let begun = Instant::now();
        let (index, answer) = self.network.receive(Request {
            time: (self.network.clock)(),
            from: self.from.clone(),
            to: url.path().trim_start_matches('/').to_owned(),
            headers,
            body,
            status: None,
            has_ended: false,
        });
        let result = perform(answer).await;
        let status = result.as_ref().ok().map(|answered| answered.status.as_u16());
        self.network.state().requests[index].status = status;
        self.process_state.running().await;
        self.network.state().requests[index].has_ended = true;
        HttpExchange { duration: begun.elapsed(), result, was_sent: true, remarks: Vec::new() }
    }
}

async fn perform(answer: ReceiverAnswer) -> Result<HttpResponse, SendFailure> {
    let (wait, code, retry_after) = match answer {
        ReceiverAnswer::Status(code) => (Duration::ZERO, code, None),
        ReceiverAnswer::RetryAfter(code, seconds) => (Duration::ZERO, code, Some(seconds)),
        ReceiverAnswer::SlowRetryAfter(wait, code, seconds) => (wait, code, Some(seconds)),
        ReceiverAnswer::Slow(wait) => (wait, 204, None),
        ReceiverAnswer::SlowStatus(wait, code) => (wait, code, None),
        ReceiverAnswer::Hang => {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return Err(SendFailure::AnswerTimedOut { after: REQUEST_TIMEOUT });
        }
        ReceiverAnswer::Refuse => {
            let address = SocketAddr::from(([192, 0, 2, 1], 443));
            return Err(SendFailure::ConnectionRefused { address: address.into() });
        }
    };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let retry_after = retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
    Ok(HttpResponse {
        status: StatusCode::from_u16(code).expect("a status"),
        headers: HeaderMap::from_iter(retry_after),
        body: Bytes::new(),
        body_truncated: false,
    })
}
