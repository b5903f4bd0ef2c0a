//! The answer of a call that is not a stream. It counts against its caller's memory from the moment
//! that it exists: while the client's window is zero (RFC 9113 section 5.2) the transport does not
//! poll the body, so that nothing else would notice it.
//!
//! Decision: docs/decisions/answers-take-memory-until-they-are-written.md

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use keeptrusts_webhooks_contracts::status;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;

use super::compression::{Encoding, compressed};
use super::limits::{ANSWER_TIMEOUT, FREE_ANSWER_BYTES};
use super::request_pools::{RequestMemory, Share};
use crate::deadline::Deadline;

/// What the server knows of a call when its service has answered.
pub(super) struct UnaryCall {
    /// Counts the request's bytes until now.
    pub(super) memory: RequestMemory,
    /// Whether the answer may be replaced by RESOURCE_EXHAUSTED if there is no memory for it.
    pub(super) may_refuse: bool,
    /// None: the answer is not compressed.
    pub(super) encoding: Option<Encoding>,
    pub(super) deadline: Option<Deadline>,
    /// The call's part of the server's pools, held until its answer has been sent or [`ANSWER_TIMEOUT`] has
    /// passed.
    pub(super) shares: Vec<Share>,
}

/// Buffers an answer for its client, who has [`ANSWER_TIMEOUT`] to read it.
pub(super) async fn buffered(
    answer: Response<Body>,
    call: UnaryCall,
) -> Result<Response<Body>, Status> {
    let UnaryCall { mut memory, may_refuse, encoding, deadline, shares } = call;
    let (mut head, body) = answer.into_parts();
    // This does not wait: the service has returned its message, and only the encoding is left.
    let whole = body.collect().await?;
    let trailers = whole.trailers().cloned();
    let mut message = whole.to_bytes();
    memory.charge_answer(charged_for(&message), may_refuse)?;
    // An answer with `grpc-status` in its head is a status without a message.
    if let Some(encoding) = encoding
        && !head.headers.contains_key("grpc-status")
    {
        head.headers.insert(super::compression::ENCODING, encoding.header());
        message = compressed(message, encoding);
        memory.shrink(charged_for(&message) as u64);
    }
    let is_free = charged_for(&message) == 0;
    let unread = Arc::new(Mutex::new(Unread { message, is_free, memory, trailers, shares }));
    let latest = Instant::now() + ANSWER_TIMEOUT;
    let end = deadline.map_or(latest, |Deadline(time)| time.min(latest));
    let timeout = AbortOnDropHandle::new(tokio::spawn(discard_at(end, Arc::downgrade(&unread))));
    let body = UnaryAnswer { unread, _timeout: timeout };
    Ok(Response::from_parts(head, Body::new(body)))
}

/// How many bytes of a message count.
fn charged_for(message: &Bytes) -> usize {
    if message.len() > FREE_ANSWER_BYTES { message.len() } else { 0 }
}

struct UnaryAnswer {
    unread: Arc<Mutex<Unread>>,
    _timeout: AbortOnDropHandle<()>,
}

/// The part that the transport has not taken yet.
struct Unread {
    message: Bytes,
    /// Too short to count: sent in one piece, and kept without a time limit.
    is_free: bool,
    memory: RequestMemory,
    trailers: Option<HeaderMap>,
    shares: Vec<Share>,
}

/// Gives back the call's shares, and replaces an answer that counts by a status. The body itself cannot do
/// this in time: the transport does not poll it while the client reads nothing.
async fn discard_at(end: Instant, unread: Weak<Mutex<Unread>>) {
    sleep_until(end).await;
    let Some(unread) = unread.upgrade() else { return };
    let mut unread = lock(&unread);
    unread.shares.clear();
    if unread.is_free {
        return;
    }
    let mut trailers = HeaderMap::new();
    let written = not_read_in_time().add_header(&mut trailers);
    unread.message = Bytes::new();
    unread.memory.shrink(0);
    unread.trailers = written.is_ok().then_some(trailers);
}

pub(super) fn not_read_in_time() -> Status {
    status::deadline_exceeded_for(format!(
        "the answer was not read by its deadline, or within {ANSWER_TIMEOUT:?}: read answers as they come"
    ))
}

fn lock(unread: &Mutex<Unread>) -> MutexGuard<'_, Unread> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for UnaryAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut unread = lock(&self.unread);
        if unread.message.is_empty() {
            return Poll::Ready(
                unread.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        if unread.is_free {
            let message = std::mem::take(&mut unread.message);
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        // In copied pieces: each counts until the transport has written it, and keeps no more than
        // itself in memory.
        let length = unread.message.len().min(FREE_ANSWER_BYTES);
        let piece = unread.message.split_to(length).to_vec();
        let piece = unread.memory.attach_to(piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let unread = lock(&self.unread);
        unread.message.is_empty() && unread.trailers.is_none()
    }
}
