//! The answer of a call that has one. Nothing is asked of its body as long as its client takes
//! nothing of it (a window of zero, RFC 9113 section 5.2), so that it takes its caller's share of
//! the memory from when it is made.
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
use super::sharing::{Memory, Share};
use crate::deadline::Deadline;

/// What becomes of an answer.
pub(super) struct Terms {
    /// What the call has taken; the request's bytes count until now.
    pub(super) memory: Memory,
    /// It may be refused for want of memory.
    pub(super) may_refuse: bool,
    /// How it is compressed, if it is.
    pub(super) encoding: Option<Encoding>,
    pub(super) deadline: Option<Deadline>,
    /// What the call takes of what all share, until its answer has been sent.
    pub(super) held: Vec<Share>,
}

/// The answer as it can wait for its client, who has [`ANSWER_TIMEOUT`] to read it. The status
/// that is answered in its place if there is no memory for it.
pub(super) async fn held(answer: Response<Body>, terms: Terms) -> Result<Response<Body>, Status> {
    let Terms { mut memory, may_refuse, encoding, deadline, held } = terms;
    let (mut head, body) = answer.into_parts();
    // It is there: generated servers encode a message that they have when they are asked for it.
    let whole = body.collect().await?;
    let trailers = whole.trailers().cloned();
    let mut message = whole.to_bytes();
    memory.pass_to_answer(charged_for(&message), may_refuse)?;
    // Without a message it is a status.
    if let Some(encoding) = encoding
        && !head.headers.contains_key("grpc-status")
    {
        head.headers.insert(super::compression::ENCODING, encoding.header());
        message = compressed(message, encoding);
        memory.shrink(charged_for(&message) as u64);
    }
    let is_free = charged_for(&message) == 0;
    let unread = Arc::new(Mutex::new(Unread { message, memory, trailers }));
    let timeout = (!is_free).then(|| {
        let latest = Instant::now() + ANSWER_TIMEOUT;
        let end = deadline.map_or(latest, |Deadline(time)| time.min(latest));
        AbortOnDropHandle::new(tokio::spawn(forget_at(end, Arc::downgrade(&unread))))
    });
    let body = SingleAnswer { unread, is_free, _timeout: timeout, _held: held };
    Ok(Response::from_parts(head, Body::new(body)))
}

/// How many bytes of the memory a message takes.
fn charged_for(message: &Bytes) -> usize {
    if message.len() > FREE_ANSWER_BYTES { message.len() } else { 0 }
}

/// A body that is made already.
struct SingleAnswer {
    unread: Arc<Mutex<Unread>>,
    /// Short, so that it does not count, is sent as it is, and may wait.
    is_free: bool,
    _timeout: Option<AbortOnDropHandle<()>>,
    _held: Vec<Share>,
}

/// What has not been handed to the transport.
struct Unread {
    message: Bytes,
    memory: Memory,
    trailers: Option<HeaderMap>,
}

/// The transport asks for nothing while the client takes nothing, so that it cannot be told: the
/// memory is given back, and the status waits.
async fn forget_at(end: Instant, unread: Weak<Mutex<Unread>>) {
    sleep_until(end).await;
    let Some(unread) = unread.upgrade() else { return };
    let mut unread = lock(&unread);
    let mut trailers = HeaderMap::new();
    let said = not_read_in_time().add_header(&mut trailers);
    unread.message = Bytes::new();
    unread.memory.shrink(0);
    unread.trailers = said.is_ok().then_some(trailers);
}

fn not_read_in_time() -> Status {
    status::deadline_exceeded_for(format!(
        "the answer was not read by its deadline, or within {ANSWER_TIMEOUT:?}: read answers as they come"
    ))
}

fn lock(unread: &Mutex<Unread>) -> MutexGuard<'_, Unread> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for SingleAnswer {
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
        if self.is_free {
            let message = std::mem::take(&mut unread.message);
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        // In pieces, each a copy: what the transport has buffered keeps no more than itself, and
        // counts until it is written.
        let length = unread.message.len().min(FREE_ANSWER_BYTES);
        let piece = unread.message.split_to(length).to_vec();
        let piece = unread.memory.held_by(piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let unread = lock(&self.unread);
        unread.message.is_empty() && unread.trailers.is_none()
    }
}
