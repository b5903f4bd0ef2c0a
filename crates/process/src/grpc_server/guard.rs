//! What stands between the transport and the services: each request is admitted or turned
//! away, and answered by its deadline and before the process ends.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::Caller;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service;
use tracing::{Instrument, Span};

use super::answer_body::CompressedBody;
use super::compression::{ENCODING, Encoding};
use super::ending::{EndingBody, Ends};
use super::gate::Gate;
use super::limits::{CALLS_AT_ONCE, LimitFlags, RETRY_DELAY};
use super::message_size::MeasuredBody;
use super::methods::{self, Kind};
use super::paced_body::PacedBody;
use super::peer::Peer;
use super::receiving::receive;
use super::request_body::request_body;
use super::sharing::{Holder, Share, Sharing, What};
use super::single_answer::{self, Terms};
use super::telling::Telling;
use crate::deadline::{self, Deadline};
use crate::lanes::Lanes;
use crate::shares::Purpose;

#[derive(Clone)]
pub(super) struct Guard {
    routes: Routes,
    gate: Arc<dyn Gate>,
    sharing: Arc<Sharing>,
    lanes: Arc<Lanes<Holder>>,
    max_headers: u32,
    max_request_bytes: u32,
    request_body_timeout: Duration,
    shutdown: CancellationToken,
    grace_over: CancellationToken,
}

impl Guard {
    pub(super) fn new(
        routes: Routes,
        gate: Arc<dyn Gate>,
        limits: &LimitFlags,
        shutdown: CancellationToken,
        grace_over: CancellationToken,
    ) -> Self {
        let LimitFlags { max_headers, max_request_bytes, request_body_timeout, .. } = *limits;
        Guard {
            routes: routes.prepare(),
            gate,
            sharing: Sharing::new(limits),
            lanes: Arc::new(Lanes::new(CALLS_AT_ONCE)),
            max_headers,
            max_request_bytes,
            request_body_timeout,
            shutdown,
            grace_over,
        }
    }
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(refused) = not_grpc(&request) {
            return Box::pin(async { Ok(refused) });
        }
        let mut request = request;
        // Health is asked for every few seconds, by orchestrators that trace nothing.
        let is_health = methods::is_health(request.uri().path());
        let telling = (!is_health).then(|| Telling::begin(&mut request));
        let headers = request.headers().len();
        if headers > self.max_headers as usize {
            let refused = too_many_headers(headers, self.max_headers).into_http();
            return Box::pin(async { Ok(told(telling, refused)) });
        }

        let max_request_bytes = self.max_request_bytes;
        let mut request = request.map(|body| Body::new(MeasuredBody::new(body, max_request_bytes)));
        let deadline = deadline::of(request.headers());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        // Set here and not in the future: tonic sets its own after this call, so that ours is
        // the first to ring and the answer is DEADLINE_EXCEEDED, not tonic's CANCELLED.
        let alarm = deadline.map(|Deadline(time)| sleep_until(time));
        let span = telling.as_ref().map_or_else(Span::none, Telling::span);
        let answer = self.clone().answer(request, deadline).instrument(span);
        let grace_over = self.grace_over.clone();
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                answer = answer => answer.unwrap_or_else(Status::into_http),
                () = rings(alarm) => status::deadline_exceeded().into_http(),
                () = grace_over.cancelled() => shutting_down().into_http(),
            };
            Ok(told(telling, response))
        })
    }
}

fn told(telling: Option<Telling>, response: Response<Body>) -> Response<Body> {
    match telling {
        Some(telling) => telling.answer(response),
        None => response,
    }
}

impl Guard {
    /// Asks the gate, receives all of the request, and asks the service then. What the request
    /// takes is its address's until the gate has said whose it is.
    async fn answer(
        mut self,
        request: Request<Body>,
        deadline: Option<Deadline>,
    ) -> Result<Response<Body>, Status> {
        let (mut parts, body) = request.into_parts();
        let kind = methods::kind_of(parts.uri.path());
        let purpose = match kind {
            Kind::Publish => Purpose::Publishing,
            _ => Purpose::Other,
        };
        let address = Holder::at(Peer::of(&parts.extensions));
        // Whether a process is alive must be answered when it is busy, too: what needs no key has
        // places of its own.
        let what = match kind {
            Kind::Open => What::Open,
            Kind::Health => What::Health,
            _ => What::Arriving,
        };
        let share = self.sharing.take(what, &address, purpose)?;
        let caller = self.gate.admit(&parts).await?;
        let gate = Arc::clone(&self.gate);
        let body = request_body(body, gate, caller.clone(), self.request_body_timeout);
        if let Some(caller) = &caller {
            parts.extensions.insert(caller.clone());
        }
        if what != What::Arriving {
            let request = Request::from_parts(parts, Body::new(body));
            return self.stream(request, caller, deadline, None, vec![share]).await;
        }

        let holder = caller.as_ref().map_or(address, Holder::of);
        let arriving = self.sharing.pass(share, what, &holder, purpose)?;
        let mut memory = self.sharing.memory(holder.clone(), purpose);
        let method = methods::of(parts.uri.path());
        let encoding = Encoding::of_request(&parts.headers)?;
        let body = receive(body, method, encoding, self.max_request_bytes, &mut memory).await?;
        // What the service reads is not compressed any more, and it compresses nothing itself.
        parts.headers.remove(ENCODING);
        let encoding = match method {
            Some(method) if !method.answers_secrets => Encoding::for_answer(&parts.headers),
            _ => None,
        };
        drop(arriving);

        let running = self.sharing.take(What::Running, &holder, purpose)?;
        let request = Request::from_parts(parts, body);
        let mut held = vec![running];
        match (kind, &caller) {
            (Kind::Watch, Some(watcher)) => {
                let watching = self.sharing.watch(&holder, watcher)?;
                return self.stream(request, caller, deadline, encoding, watching.into()).await;
            }
            (Kind::Wait, _) => held.push(self.sharing.take(What::Waiting, &holder, purpose)?),
            _ => {}
        }
        // What an organization asks for waits for what it has asked for before, and so leaves the
        // connections to the database to others, whatever they read.
        let _lane = match kind {
            Kind::Answer => Some(self.lanes.enter(&holder, 1).await),
            _ => None,
        };
        let Ok(answer) = self.routes.call(request).await;
        // What is not known is not done.
        let may_refuse = method.is_none_or(|method| method.reads);
        single_answer::held(answer, Terms { memory, may_refuse, encoding, deadline, held }).await
    }

    /// Asks the service for a stream. What is held is so to its end.
    async fn stream(
        &mut self,
        request: Request<Body>,
        caller: Option<Caller>,
        deadline: Option<Deadline>,
        encoding: Option<Encoding>,
        held: Vec<Share>,
    ) -> Result<Response<Body>, Status> {
        let Ok(answer) = self.routes.call(request).await;
        let answer = compressing(answer, encoding);
        let (shutdown, gate) = (self.shutdown.clone(), Arc::clone(&self.gate));
        let ends = Ends { shutdown, deadline, gate, caller, held };
        let answer = answer.map(|body| Body::new(PacedBody::new(body)));
        Ok(answer.map(|body| Body::new(EndingBody::new(body, ends))))
    }
}

/// The answer, with its messages compressed in this way.
fn compressing(mut answer: Response<Body>, encoding: Option<Encoding>) -> Response<Body> {
    let Some(encoding) = encoding else { return answer };
    // A status without a message.
    if answer.headers().contains_key("grpc-status") {
        return answer;
    }
    answer.headers_mut().insert(ENCODING, encoding.header());
    answer.map(|body| Body::new(CompressedBody::new(body, encoding)))
}

/// What a request is answered that is none of gRPC: in HTTP's words, since it does not know ours.
/// A page of another site can send such a request, and cannot send one of gRPC.
///
/// The method is POST, and "if Content-Type does not begin with "application/grpc", gRPC servers
/// SHOULD respond with HTTP status of 415":
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>. Messages are protobuf
/// here, whatever follows: other subtypes would be taken for what they are not.
fn not_grpc(request: &Request<Body>) -> Option<Response<Body>> {
    let mut refused = Response::new(Body::empty());
    if request.method() != Method::POST {
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        // RFC 9110 section 15.5.6.
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(refused);
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    // Media types have no upper or lower case (RFC 9110 section 8.3.1).
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    if matches!(&media_type[..], b"application/grpc" | b"application/grpc+proto") {
        return None;
    }
    *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(refused)
}

async fn rings(alarm: Option<Sleep>) {
    match alarm {
        Some(alarm) => alarm.await,
        None => pending().await,
    }
}

fn too_many_headers(headers: usize, max_headers: u32) -> Status {
    let message = format!(
        "the request has {headers} headers and may have {max_headers}: send less metadata; operators can permit more with --max-headers"
    );
    status::resource_exhausted(Reason::TooManyHeaders, message)
}

pub(super) fn shutting_down() -> Status {
    let message = "this process is shutting down, and what was asked for may or may not have been done: ask again, another one will answer";
    status::unavailable(Reason::ShuttingDown, message, RETRY_DELAY)
}
