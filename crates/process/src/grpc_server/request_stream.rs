//! The body of a request that is a stream of messages (StreamEvents).
//!
//! The body of any other request is received whole before it runs ([`receive`](super::receive)). Here
//! each message is: charged to its caller's memory before it is read, read within the time that the
//! body of a request has, inflated, and examined; then the service gets it. Between messages the
//! stream may be silent for ever. What the service does not read stays with the client, by HTTP/2's
//! flow control.
//!
//! The server ends the stream by an error after the last message. The service then answers what it
//! has begun, and ends its answer with that error.
//!
//! Decision: docs/decisions/streamed-requests-are-read-message-by-message.md

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use http::Extensions;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use keeptrusts_webhooks_contracts::{status, wire};
use keeptrusts_webhooks_domain::access::Caller;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::compression::{Encoding, inflated, unreadable};
use super::gate::Gate;
use super::message_size::PREFIX_BYTES;
use super::methods::Method;
use super::request_body::too_slow;
use super::request_pools::{RequestMemory, Share};
use super::shutting_down::shutting_down;
use crate::deadline::Deadline;

/// A time limit that is noticed so late was not waited for: the service read nothing in between.
const NOT_READING: Duration = Duration::from_secs(1);

/// What the server knows of a call that streams its request.
pub(super) struct RequestStreamCall {
    pub(super) method: &'static Method,
    pub(super) encoding: Option<Encoding>,
    pub(super) memory: RequestMemory,
    pub(super) max_message_bytes: u32,
    /// From when the server first has to wait for the rest of a message.
    pub(super) message_timeout: Duration,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) caller: Option<Caller>,
    pub(super) deadline: Option<Deadline>,
    pub(super) shutdown: CancellationToken,
}

/// The memory of the messages that the service was given, in their order. The service takes each with
/// its message, and drops it when it is done with that. In the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct ReceivedMessages(Arc<Mutex<VecDeque<MessageMemory>>>);

/// The charge for one message: its encoded bytes, and an estimate of what they are decoded to.
#[derive(Debug)]
pub struct MessageMemory(Share);

impl ReceivedMessages {
    /// None: the request is no stream, or has not come through the server.
    pub fn of(extensions: &Extensions) -> Option<ReceivedMessages> {
        extensions.get().cloned()
    }

    /// The memory of the next message. None: all messages have been taken.
    pub fn next(&self) -> Option<MessageMemory> {
        self.queue().pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<MessageMemory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageMemory {
    pub fn bytes(&self) -> u64 {
        self.0.amount()
    }
}

/// The body for the service, one message in each frame.
pub(super) fn request_stream(body: Body, call: RequestStreamCall) -> (Body, ReceivedMessages) {
    let received = ReceivedMessages::default();
    let RequestStreamCall { gate, caller, deadline, shutdown, .. } = call;
    let messages = MessageReader {
        body,
        buffer: BytesMut::new(),
        method: call.method,
        encoding: call.encoding,
        memory: call.memory,
        max_message_bytes: call.max_message_bytes,
        message_timeout: call.message_timeout,
        received: received.clone(),
    };
    let server_ends: BoxFuture<'static, Status> =
        Box::pin(server_ends(gate, caller, deadline, shutdown));
    let frames = unfold(Some((messages, server_ends)), |state| async move {
        let (mut messages, mut server_ends) = state?;
        // Before each message: a caller without access gets nothing done.
        let next = tokio::select! {
            biased;
            status = &mut server_ends => Err(status),
            next = messages.next() => next,
        };
        match next {
            Ok(None) => None,
            Ok(Some(message)) => Some((Ok(Frame::data(message)), Some((messages, server_ends)))),
            Err(status) => Some((Err(status), None)),
        }
    });
    (Body::new(StreamBody::new(frames)), received)
}

/// Why the server ends the stream.
async fn server_ends(
    gate: Arc<dyn Gate>,
    caller: Option<Caller>,
    deadline: Option<Deadline>,
    shutdown: CancellationToken,
) -> Status {
    let access_ended = async {
        match caller {
            Some(caller) => gate.access_ended(caller).await,
            None => pending().await,
        }
    };
    let deadline_passed = async {
        match deadline {
            Some(Deadline(time)) => sleep_until(time).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        status = access_ended => status,
        () = deadline_passed => status::deadline_exceeded(),
        () = shutdown.cancelled() => shutting_down(),
    }
}

struct MessageReader {
    body: Body,
    /// What has arrived of the next messages: less than one message and one frame.
    buffer: BytesMut,
    method: &'static Method,
    encoding: Option<Encoding>,
    /// Empty. The charge of each message is taken from it.
    memory: RequestMemory,
    max_message_bytes: u32,
    message_timeout: Duration,
    received: ReceivedMessages,
}

impl MessageReader {
    /// The next message with its prefix, not compressed. None: the client has sent its last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        // A client may end its stream by a frame without data.
        while self.buffer.is_empty() {
            if !self.read_more(None).await? {
                return Ok(None);
            }
        }
        let mut late = None;
        self.fill(PREFIX_BYTES, &mut late).await?;
        let Some([flag, length @ ..]) = self.buffer.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        if *flag > 1 {
            return Err(unreadable("its first byte must be 0, or 1 if it is compressed"));
        }
        // Its size is checked already. All of it is charged before it is read: streams that wait for
        // memory hold none.
        let length = u32::from_be_bytes(*length) as usize;
        self.memory.grow_patiently(length).await?;
        self.fill(PREFIX_BYTES + length, &mut late).await?;
        let message = self.buffer.split_to(PREFIX_BYTES + length).freeze();
        let message = inflated(message, self.encoding, self.max_message_bytes, &mut self.memory)?;
        let needed = wire::examine(&self.method.request, &message[PREFIX_BYTES..]);
        let needed = needed.map_err(|violation| status::invalid_argument(vec![violation]))?;
        self.memory.grow_patiently(needed).await?;
        self.received.queue().push_back(MessageMemory(self.memory.split_all()));
        Ok(Some(message))
    }

    /// Reads until `length` bytes of the message have arrived.
    async fn fill(&mut self, length: usize, late: &mut Option<Instant>) -> Result<(), Status> {
        while self.buffer.len() < length {
            let late = late.get_or_insert_with(|| Instant::now() + self.message_timeout);
            if !self.read_more(Some(late)).await? {
                return Err(unreadable("it ends before its message does"));
            }
        }
        Ok(())
    }

    /// Reads the next frame. False: there is none.
    async fn read_more(&mut self, late: Option<&mut Instant>) -> Result<bool, Status> {
        let frame = match late {
            // Between messages.
            None => self.body.frame().await,
            Some(late) => loop {
                match timeout_at(*late, self.body.frame()).await {
                    Ok(frame) => break frame,
                    // The client could not send more while the service read nothing.
                    Err(_) if Instant::now() > *late + NOT_READING => {
                        *late = Instant::now() + self.message_timeout;
                    }
                    Err(_) => return Err(too_slow(self.message_timeout)),
                }
            },
        };
        let Some(frame) = frame else { return Ok(false) };
        if let Ok(data) = frame?.into_data() {
            self.buffer.extend_from_slice(&data);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::mpsc;
    use tokio::time::advance;
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::UnboundedReceiverStream;
    use tonic::Code;

    use super::super::limits::{LimitFlags, REQUEST_BODY_TIMEOUT};
    use super::super::methods;
    use super::super::request_pools::{Holder, RequestPools};
    use super::*;
    use crate::shares::Purpose;

    /// An empty message with its prefix, in two parts.
    const PARTS: [&[u8]; 2] = [&[0, 0], &[0, 0, 0]];

    fn reader() -> (mpsc::UnboundedSender<&'static [u8]>, MessageReader) {
        let (client, frames) = mpsc::unbounded_channel();
        let frames = UnboundedReceiverStream::new(frames)
            .map(|bytes: &[u8]| Ok::<_, Status>(Frame::data(Bytes::from_static(bytes))));
        let method = methods::of("/keeptrusts.webhooks.v1.IngestService/StreamEvents");
        let pools = RequestPools::new(&LimitFlags::default());
        let reader = MessageReader {
            body: Body::new(StreamBody::new(frames)),
            buffer: BytesMut::new(),
            method: method.expect("it is in the contracts"),
            encoding: None,
            memory: pools.memory(Holder::Address(None), Purpose::Publishing),
            max_message_bytes: 1_000,
            message_timeout: REQUEST_BODY_TIMEOUT,
            received: ReceivedMessages::default(),
        };
        (client, reader)
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_limit_of_a_message_does_not_run_while_the_service_reads_nothing() {
        let (client, mut reader) = reader();
        let mut next = reader.next().boxed();
        client.send(PARTS[0]).expect("it is open");
        assert!((&mut next).now_or_never().is_none());
        // The service was busy with earlier messages, and the client could not send.
        advance(2 * REQUEST_BODY_TIMEOUT).await;
        assert!((&mut next).now_or_never().is_none(), "it is the server that was late");
        client.send(PARTS[1]).expect("it is open");
        let message = next.await.expect("no error").expect("a message");
        assert_eq!(message, PARTS.concat());

        let mut next = reader.next().boxed();
        client.send(PARTS[0]).expect("it is open");
        assert!((&mut next).now_or_never().is_none());
        let began = Instant::now();
        let late = next.await.expect_err("the client sends nothing");
        assert_eq!((late.code(), began.elapsed()), (Code::DeadlineExceeded, REQUEST_BODY_TIMEOUT));
    }
}
