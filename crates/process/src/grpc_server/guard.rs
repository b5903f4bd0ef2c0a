//! The way of every request from the transport to its service: limits, the gate, deadlines, and an
//! answer before the process ends.

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

use super::call_telemetry::CallTelemetry;
use super::compressed_body::CompressedBody;
use super::compression::{ENCODING, Encoding};
use super::gate::Gate;
use super::limits::{LimitFlags, MAX_CONCURRENT_CALLS};
use super::message_size::MeasuredBody;
use super::methods::{self, CallKind};
use super::peer::Peer;
use super::receive::receive;
use super::request_body::request_body;
use super::request_pools::{Holder, PoolKind, RequestPools, Share, StreamKind};
use super::request_stream::{RequestStreamCall, request_stream};
use super::shutting_down::shutting_down;
use super::streaming_answer::{StreamingAnswer, StreamingCall, watch_not_read_in_time};
use super::unary_answer::{self, UnaryCall};
use crate::deadline::{self, Deadline};
use crate::keyed_semaphore::KeyedSemaphore;
use crate::shares::Purpose;

#[derive(Clone)]
pub(super) struct Guard {
    routes: Routes,
    gate: Arc<dyn Gate>,
    pools: Arc<RequestPools>,
    /// How many calls of one holder run at the same time.
    concurrency: Arc<KeyedSemaphore<Holder>>,
    max_headers: u32,
    max_request_bytes: u32,
    request_body_timeout: Duration,
    /// Ends streams.
    shutdown: CancellationToken,
    /// Ends every other call.
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
            pools: RequestPools::new(limits),
            concurrency: Arc::new(KeyedSemaphore::new(MAX_CONCURRENT_CALLS)),
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
        // Orchestrators check health every few seconds and trace nothing.
        let is_health = methods::is_health(request.uri().path());
        let telemetry = (!is_health).then(|| CallTelemetry::begin(&mut request));
        let headers = request.headers().len();
        if headers > self.max_headers as usize {
            let refused = too_many_headers(headers, self.max_headers).into_http();
            return Box::pin(async { Ok(with_telemetry(telemetry, refused)) });
        }

        let deadline = match deadline::of(request.headers()) {
            Ok(Some(deadline)) if deadline.has_passed() => {
                let passed = status::deadline_exceeded().into_http();
                return Box::pin(async { Ok(with_telemetry(telemetry, passed)) });
            }
            Ok(deadline) => deadline,
            Err(violation) => {
                let refused = status::invalid_argument(vec![violation]).into_http();
                return Box::pin(async { Ok(with_telemetry(telemetry, refused)) });
            }
        };
        let max_request_bytes = self.max_request_bytes;
        let mut request = request.map(|body| Body::new(MeasuredBody::new(body, max_request_bytes)));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        // Created here and not in the future: tonic creates its own timer after this call, so ours
        // fires first and the answer is DEADLINE_EXCEEDED, not tonic's CANCELLED.
        let timer = deadline.map(|Deadline(time)| sleep_until(time));
        let span = telemetry.as_ref().map_or_else(Span::none, CallTelemetry::span);
        let answer = self.clone().answer(request, deadline).instrument(span);
        let grace_over = self.grace_over.clone();
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                answer = answer => answer.unwrap_or_else(Status::into_http),
                () = fires(timer) => status::deadline_exceeded().into_http(),
                () = grace_over.cancelled() => shutting_down().into_http(),
            };
            Ok(with_telemetry(telemetry, response))
        })
    }
}

fn with_telemetry(telemetry: Option<CallTelemetry>, response: Response<Body>) -> Response<Body> {
    match telemetry {
        Some(telemetry) => telemetry.answer(response),
        None => response,
    }
}

impl Guard {
    /// Asks the gate, receives the whole request, then calls the service. Until the gate has named
    /// the caller, what the request takes is charged to the client's address.
    async fn answer(
        mut self,
        request: Request<Body>,
        deadline: Option<Deadline>,
    ) -> Result<Response<Body>, Status> {
        let (mut parts, body) = request.into_parts();
        let kind = methods::kind_of(parts.uri.path());
        let purpose = match kind {
            CallKind::Publish | CallKind::PublishStream => Purpose::Publishing,
            _ => Purpose::Other,
        };
        let address = Holder::at(Peer::of(&parts.extensions));
        // Health must be answered when the process is busy, too: methods that need no key have
        // pools of their own.
        let pool = match kind {
            CallKind::Open => PoolKind::Open,
            CallKind::Health => PoolKind::Health,
            _ => PoolKind::Arriving,
        };
        let share = self.pools.take(pool, &address, purpose)?;
        let caller = self.gate.admit(&parts).await?;
        if let (CallKind::PublishStream, Some(method)) = (kind, methods::of(parts.uri.path())) {
            drop(share);
            let holder = caller.as_ref().map_or(address, Holder::of);
            let request = Request::from_parts(parts, body);
            return self.stream_request(request, method, holder, caller, deadline).await;
        }
        let gate = Arc::clone(&self.gate);
        let body = request_body(body, gate, caller.clone(), self.request_body_timeout);
        if let Some(caller) = &caller {
            parts.extensions.insert(caller.clone());
        }
        if pool != PoolKind::Arriving {
            let request = Request::from_parts(parts, Body::new(body));
            return self.stream(request, caller, deadline, None, vec![share]).await;
        }

        let holder = caller.as_ref().map_or(address, Holder::of);
        let arriving = self.pools.transfer(share, pool, &holder, purpose)?;
        let mut memory = self.pools.memory(holder.clone(), purpose);
        let method = methods::of(parts.uri.path());
        let encoding = Encoding::of_request(&parts.headers)?;
        let body = receive(body, method, encoding, self.max_request_bytes, &mut memory).await?;
        // The service gets the inflated message, and compresses nothing itself.
        parts.headers.remove(ENCODING);
        let encoding = match method {
            Some(method) if !method.answers_secrets => Encoding::for_answer(&parts.headers),
            _ => None,
        };
        drop(arriving);

        let running = self.pools.take(PoolKind::Running, &holder, purpose)?;
        let request = Request::from_parts(parts, body);
        let mut shares = vec![running];
        match (kind, &caller) {
            (CallKind::Watch, watcher) => {
                let watching =
                    self.pools.take_stream(StreamKind::Watch, &holder, watcher.as_ref())?;
                return self.stream(request, caller, deadline, encoding, watching).await;
            }
            (CallKind::Wait, _) => {
                shares.push(self.pools.take(PoolKind::Waiting, &holder, purpose)?)
            }
            _ => {}
        }
        // Calls of one organization queue behind each other, so that they leave connections to the
        // database to other organizations.
        let _permit = match kind {
            CallKind::Answer => Some(self.concurrency.acquire(&holder, 1).await),
            _ => None,
        };
        let Ok(answer) = self.routes.call(request).await;
        // An unknown method has changed nothing.
        let may_refuse = method.is_none_or(|method| method.reads);
        let call = UnaryCall { memory, may_refuse, encoding, deadline, shares };
        unary_answer::buffered(answer, call).await
    }

    /// Calls a method whose request is a stream. The request tells the service when to end its answer.
    async fn stream_request(
        &mut self,
        request: Request<Body>,
        method: &'static methods::Method,
        holder: Holder,
        caller: Option<Caller>,
        deadline: Option<Deadline>,
    ) -> Result<Response<Body>, Status> {
        let shares = self.pools.take_stream(StreamKind::Publish, &holder, caller.as_ref())?;
        let (mut parts, body) = request.into_parts();
        if let Some(caller) = &caller {
            parts.extensions.insert(caller.clone());
        }
        let call = RequestStreamCall {
            method,
            encoding: Encoding::of_request(&parts.headers)?,
            memory: self.pools.memory(holder, Purpose::Publishing),
            max_message_bytes: self.max_request_bytes,
            message_timeout: self.request_body_timeout,
            gate: Arc::clone(&self.gate),
            caller,
            deadline,
            shutdown: self.shutdown.clone(),
        };
        let (body, received) = request_stream(body, call);
        // The service gets inflated messages, and compresses nothing itself.
        parts.headers.remove(ENCODING);
        parts.extensions.insert(received);
        let Ok(answer) = self.routes.call(Request::from_parts(parts, body)).await;
        let call = StreamingCall::ended_by_service(Arc::clone(&self.gate), shares);
        Ok(answer.map(|body| Body::new(StreamingAnswer::new(body, call))))
    }

    /// Calls a method that streams its answer. Its shares are held until the stream ends.
    async fn stream(
        &mut self,
        request: Request<Body>,
        caller: Option<Caller>,
        deadline: Option<Deadline>,
        encoding: Option<Encoding>,
        shares: Vec<Share>,
    ) -> Result<Response<Body>, Status> {
        let Ok(answer) = self.routes.call(request).await;
        let answer = compressed(answer, encoding);
        let (shutdown, gate) = (self.shutdown.clone(), Arc::clone(&self.gate));
        let not_read = watch_not_read_in_time();
        let call = StreamingCall { shutdown, deadline, gate, not_read, caller, shares };
        Ok(answer.map(|body| Body::new(StreamingAnswer::new(body, call))))
    }
}

fn compressed(mut answer: Response<Body>, encoding: Option<Encoding>) -> Response<Body> {
    let Some(encoding) = encoding else { return answer };
    // An answer with this header is a status without a message.
    if answer.headers().contains_key("grpc-status") {
        return answer;
    }
    answer.headers_mut().insert(ENCODING, encoding.header());
    answer.map(|body| Body::new(CompressedBody::new(body, encoding)))
}

/// The answer to a request that is not gRPC: an HTTP status, which its client understands. Pages of
/// other sites can make a browser send such requests, but not gRPC requests.
///
/// gRPC uses POST, and "if Content-Type does not begin with "application/grpc", gRPC servers
/// SHOULD respond with HTTP status of 415":
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>. Our messages are
/// protobuf, so other subtypes, such as `application/grpc+json`, are refused as well.
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
    // Media types are case-insensitive (RFC 9110 section 8.3.1).
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    if matches!(&media_type[..], b"application/grpc" | b"application/grpc+proto") {
        return None;
    }
    *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(refused)
}

async fn fires(timer: Option<Sleep>) {
    match timer {
        Some(timer) => timer.await,
        None => pending().await,
    }
}

fn too_many_headers(headers: usize, max_headers: u32) -> Status {
    let message = format!(
        "the request has {headers} headers and may have {max_headers}: send less metadata; operators can permit more with --max-headers"
    );
    status::resource_exhausted(Reason::TooManyHeaders, message)
}
