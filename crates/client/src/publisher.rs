//! Publishing at full speed, over one stream.
//!
//! ```no_run
//! # use keeptrusts_webhooks_client::{Client, Error, Event};
//! # async fn example(client: Client) -> Result<(), Error> {
//! let publisher = client.event_publisher("acme").start();
//! let event = Event::new("acme", "policy.violation", r#"{"policy": "no-customer-data"}"#);
//! let acknowledgement = publisher.publish(event).await?; // waits while too much is under way
//! let accepted = acknowledgement.await?; // durable now
//! println!("{}", accepted.event_id);
//! publisher.close().await
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status, Streaming};

use crate::backoff::Backoff;
use crate::call::ensure_id;
use crate::v1::stream_events_response::Result as Acknowledged;
use crate::v1::{
    PublishEventRequest, PublishEventResponse, StreamEventsRequest, StreamEventsResponse,
};
use crate::{Client, Error};

const PATH: &str = "/keeptrusts.webhooks.v1.IngestService/StreamEvents";
/// The server reads no larger request, and would end the stream for one.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Items between us and HTTP/2, which has its own window.
const BUFFERED_ITEMS: usize = 64;
/// A stream without events is ended after this time, and another one made for the next event.
const IDLE: Duration = Duration::from_secs(30);
/// How long the server may take to end a stream that has been acknowledged.
const FAREWELL: Duration = Duration::from_secs(1);

/// Makes an [`EventPublisher`]; see [`Client::event_publisher`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EventPublisherBuilder {
    client: Client,
    organization_id: String,
    max_events: usize,
    max_bytes: usize,
    give_up_after: Option<Duration>,
}

/// Publishes events of one organization over a stream (`StreamEvents`). A clone is cheap and publishes over
/// the same one.
///
/// * **No event is lost.** What is not acknowledged when the connection breaks or the server stops is sent
///   again with the same idempotency key, so that it counts once.
/// * **Memory is bounded.** While as many events are under way as may be, [`publish`](Self::publish) waits.
/// * Events are accepted in any order, and may be acknowledged in any order.
///
/// Close it at the end. When the last clone is dropped, what was published is still sent, as long as the
/// runtime lives.
#[derive(Clone)]
pub struct EventPublisher(Arc<Handle>);

struct Handle {
    organization_id: String,
    queue: mpsc::UnboundedSender<Command>,
    max_bytes: usize,
    room: Room,
}

/// The room for events that are under way, and why there is no more of it.
#[derive(Clone)]
struct Room {
    events: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    failure: Arc<OnceLock<Error>>,
}

enum Command {
    Publish(Box<Pending>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// An event that is not acknowledged.
struct Pending {
    request: PublishEventRequest,
    give_up_at: Option<Instant>,
    acknowledge: oneshot::Sender<Result<PublishEventResponse, Error>>,
    /// Given back when it is acknowledged.
    _room: [OwnedSemaphorePermit; 2],
}

/// What becomes of a published event. It need not be awaited.
#[derive(Debug)]
#[must_use = "the event may be refused"]
pub struct Acknowledgement(oneshot::Receiver<Result<PublishEventResponse, Error>>);

impl Future for Acknowledgement {
    /// The event is durable, or was refused.
    type Output = Result<PublishEventResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(context));
        // The runtime ended, and the publisher with it.
        let unknown = "the publisher was stopped; it is not known whether the event was accepted";
        Poll::Ready(outcome.unwrap_or_else(|_| Err(Error::own(Code::Cancelled, unknown))))
    }
}

impl Client {
    /// A publisher of events of this organization, at full speed.
    pub fn event_publisher(&self, organization_id: impl Into<String>) -> EventPublisherBuilder {
        EventPublisherBuilder {
            client: self.clone(),
            organization_id: organization_id.into(),
            max_events: 4096,
            max_bytes: 16 * 1024 * 1024,
            give_up_after: None,
        }
    }
}

impl EventPublisherBuilder {
    /// The most events that are under way, which means published and not acknowledged. Default: 4,096.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// The most bytes of events that are under way. Default: 16 MiB. A larger event is sent alone.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.clamp(1, u32::MAX as usize);
        self
    }

    /// After this time an event that is not acknowledged fails with DEADLINE_EXCEEDED; it may have been
    /// accepted. Default: never.
    pub fn give_up_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.give_up_after = time.into();
        self
    }

    /// Starts the publisher's task. It connects when there is something to publish.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(self) -> EventPublisher {
        let room = Room {
            events: Arc::new(Semaphore::new(self.max_events)),
            bytes: Arc::new(Semaphore::new(self.max_bytes)),
            failure: Arc::default(),
        };
        // Bounded by the room.
        let (queue, commands) = mpsc::unbounded_channel();
        let worker = Worker {
            backoff: self.client.retry_policy().backoff(),
            client: self.client,
            commands,
            room: room.clone(),
            give_up_after: self.give_up_after,
            next_order: 0,
            pending: BTreeMap::new(),
            unsent: BTreeSet::new(),
            delayed: BTreeSet::new(),
            sent: HashMap::new(),
            next_sequence_number: 1,
            flushes: Vec::new(),
            closing: Vec::new(),
            is_closed: false,
            may_change_key: true,
        };
        tokio::spawn(worker.run());
        let Self { organization_id, max_bytes, .. } = self;
        EventPublisher(Arc::new(Handle { organization_id, queue, max_bytes, room }))
    }
}

impl EventPublisher {
    /// Publishes an event, and waits for nothing but room. Without an idempotency key the event gets one.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the event is of another organization, or larger than 4 MiB. Any other error is
    /// that which has ended the publisher, or says that it is closed.
    pub async fn publish(
        &self,
        event: impl Into<PublishEventRequest>,
    ) -> Result<Acknowledgement, Error> {
        let Handle { organization_id, queue, max_bytes, room } = &*self.0;
        let mut request: PublishEventRequest = event.into();
        if request.organization_id.is_empty() {
            request.organization_id.clone_from(organization_id);
        }
        if request.organization_id != *organization_id {
            let what = format!("this publisher's events are of the organization {organization_id}");
            return Err(Error::own(Code::InvalidArgument, what));
        }
        ensure_id(&mut request.idempotency_key);
        let size = request.encoded_len();
        if size > MAX_EVENT_BYTES {
            let what = format!("the event has {size} bytes; it may have {MAX_EVENT_BYTES}");
            return Err(Error::own(Code::InvalidArgument, what));
        }
        let bytes = u32::try_from(size.min(*max_bytes)).unwrap_or(u32::MAX);
        let room = room.take(bytes).await?;
        let (acknowledge, acknowledgement) = oneshot::channel();
        let pending = Pending { request, give_up_at: None, acknowledge, _room: room };
        let command = Command::Publish(Box::new(pending));
        queue.send(command).map_err(|_| self.0.room.failure())?;
        Ok(Acknowledgement(acknowledgement))
    }

    /// Waits until every event that was published before is acknowledged, whatever the outcome.
    ///
    /// # Errors
    ///
    /// The publisher has ended.
    pub async fn flush(&self) -> Result<(), Error> {
        self.ask(Command::Flush).await
    }

    /// Takes no more events, and waits until all are acknowledged. Other clones end with it.
    ///
    /// # Errors
    ///
    /// The error that has ended the publisher before, or it is closed already.
    pub async fn close(&self) -> Result<(), Error> {
        self.ask(Command::Close).await
    }

    async fn ask(&self, command: fn(oneshot::Sender<()>) -> Command) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        let failure = || self.0.room.failure();
        self.0.queue.send(command(done)).map_err(|_| failure())?;
        is_done.await.map_err(|_| failure())
    }
}

impl Room {
    async fn take(&self, bytes: u32) -> Result<[OwnedSemaphorePermit; 2], Error> {
        let event = Arc::clone(&self.events).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        match (event, bytes) {
            (Ok(event), Ok(bytes)) => Ok([event, bytes]),
            _ => Err(self.failure()),
        }
    }

    fn failure(&self) -> Error {
        let closed = || Error::own(Code::FailedPrecondition, "the publisher is closed");
        self.failure.get().cloned().unwrap_or_else(closed)
    }

    /// Whoever waits for room hears why there will be none.
    fn end(&self, error: Option<Error>) {
        if let Some(error) = error {
            // The first one counts.
            let _ = self.failure.set(error);
        }
        self.events.close();
        self.bytes.close();
    }
}

/// The publisher's task. An event is known by its order, the position at which it was published; on each
/// stream it gets another sequence number.
struct Worker {
    client: Client,
    commands: mpsc::UnboundedReceiver<Command>,
    room: Room,
    give_up_after: Option<Duration>,
    backoff: Backoff,

    next_order: u64,
    /// All that is not acknowledged. Each is in `unsent`, in `delayed` or in `sent`.
    pending: BTreeMap<u64, Pending>,
    /// What waits for the present stream, or the next one.
    unsent: BTreeSet<u64>,
    /// What the server could not accept for the moment, and when it is sent again.
    delayed: BTreeSet<(Instant, u64)>,
    /// What was sent on the present stream, by sequence numbers.
    sent: HashMap<i64, u64>,
    next_sequence_number: i64,
    /// Flushes are done when there is nothing pending before these orders.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    /// Who has closed the publisher.
    closing: Vec<oneshot::Sender<()>>,
    /// Nothing more comes.
    is_closed: bool,
    /// A refused key was not looked for anew since the last acknowledgement.
    may_change_key: bool,
}

/// Why a stream has ended.
enum End {
    /// There is nothing to publish.
    Idle,
    /// The server, the network or the key.
    Failed(Error),
}

impl Worker {
    async fn run(mut self) {
        loop {
            if self.pending.is_empty() {
                if self.is_closed {
                    return self.end(None);
                }
                let command = self.commands.recv().await;
                self.obey(command);
                continue;
            }
            let key = self.client.key().await;
            let End::Failed(error) = self.stream(key.as_ref()).await else { continue };
            if error.code() == Code::Unauthenticated && self.may_change_key {
                self.may_change_key = false;
                if self.client.has_another_key(key.as_ref()).await {
                    continue;
                }
            }
            if !error.is_temporary() {
                return self.end(Some(error));
            }
            let wait = self.backoff.next(fastrand::f64());
            let wait = wait.max(error.retry_delay().unwrap_or_default());
            self.wait_until(Instant::now() + wait).await;
        }
    }

    /// Publishes over one stream, until it ends or has been idle.
    async fn stream(&mut self, key: Option<&MetadataValue<Ascii>>) -> End {
        // Whatever an earlier stream did not acknowledge is sent again, in its order.
        self.sent.clear();
        self.next_sequence_number = 1;
        let is_delayed = |order: &u64| self.delayed.iter().any(|(_, delayed)| delayed == order);
        self.unsent = self.pending.keys().copied().filter(|order| !is_delayed(order)).collect();

        let (items, requests) = mpsc::channel(BUFFERED_ITEMS);
        let client = self.client.clone();
        // A server may answer only when it has read the first item, so this waits among the others.
        let mut opening = pin!(client.stream(ReceiverStream::new(requests), PATH, key));
        let mut responses: Option<Streaming<StreamEventsResponse>> = None;
        let mut idle_since = None;
        loop {
            let now = Instant::now();
            self.on_time(now);
            if self.pending.is_empty() {
                let idle_until = *idle_since.get_or_insert(now) + IDLE;
                if self.is_closed || now >= idle_until {
                    drop(items);
                    if let Some(responses) = &mut responses {
                        let _ = timeout(FAREWELL, end_of(responses)).await;
                    }
                    return End::Idle;
                }
            } else {
                idle_since = None;
            }
            let next_time =
                self.next_time().into_iter().chain(idle_since.map(|at| at + IDLE)).min();
            let timer = async {
                match next_time {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let next_unsent = self.unsent.first().copied();
            tokio::select! {
                opened = &mut opening, if responses.is_none() => match opened {
                    Ok(opened) => responses = Some(opened),
                    Err(error) => return End::Failed(error),
                },
                response = next_of(&mut responses) => match response {
                    Ok(Some(response)) => self.acknowledge(response),
                    Ok(None) => {
                        let ended = "the server ended the stream";
                        return End::Failed(Error::own(Code::Unavailable, ended));
                    }
                    Err(status) => return End::Failed(Error::from(status)),
                },
                // If nobody takes items any more, the response says why.
                Ok(permit) = items.reserve(), if next_unsent.is_some() => {
                    if let Some(item) = next_unsent.and_then(|order| self.next_item(order)) {
                        permit.send(item);
                    }
                }
                command = self.commands.recv(), if !self.is_closed => self.obey(command),
                () = timer => {}
            }
        }
    }

    fn obey(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Publish(mut pending)) => {
                let order = self.next_order;
                self.next_order += 1;
                let now = Instant::now();
                pending.give_up_at = self.give_up_after.and_then(|time| now.checked_add(time));
                self.pending.insert(order, *pending);
                self.unsent.insert(order);
            }
            Some(Command::Flush(done)) => {
                self.flushes.push((self.next_order, done));
                self.finish_flushes();
            }
            Some(Command::Close(done)) => {
                // Those who wait for room are told; what is in the queue was published before.
                self.room.end(None);
                self.commands.close();
                self.closing.push(done);
            }
            // Closed and empty, or nobody is there to publish.
            None => self.is_closed = true,
        }
    }

    /// The next item of the stream.
    fn next_item(&mut self, order: u64) -> Option<StreamEventsRequest> {
        self.unsent.remove(&order);
        let request = self.pending.get(&order)?.request.clone();
        let sequence_number = self.next_sequence_number;
        self.next_sequence_number += 1;
        self.sent.insert(sequence_number, order);
        Some(StreamEventsRequest { sequence_number, request: Some(request) })
    }

    fn acknowledge(&mut self, response: StreamEventsResponse) {
        let Some(order) = self.sent.remove(&response.sequence_number) else { return };
        self.may_change_key = true;
        let outcome = match response.result {
            Some(Acknowledged::Response(accepted)) => Ok(accepted),
            Some(Acknowledged::Status(status)) => Err(refusal(&status)),
            None => Err(Error::own(Code::Internal, "an acknowledgement without a result")),
        };
        match outcome {
            Err(error) if error.is_temporary() => {
                let wait = self.backoff.next(fastrand::f64());
                let wait = wait.max(error.retry_delay().unwrap_or_default());
                self.delayed.insert((Instant::now() + wait, order));
            }
            outcome => {
                if outcome.is_ok() {
                    self.backoff = self.client.retry_policy().backoff();
                }
                self.finish(order, outcome);
            }
        }
    }

    /// Somebody may have dropped the acknowledgement.
    fn finish(&mut self, order: u64, outcome: Result<PublishEventResponse, Error>) {
        if let Some(pending) = self.pending.remove(&order) {
            let _ = pending.acknowledge.send(outcome);
        }
        self.finish_flushes();
    }

    fn finish_flushes(&mut self) {
        let oldest = self.pending.first_key_value().map_or(u64::MAX, |(order, _)| *order);
        for (_, done) in self.flushes.extract_if(.., |(order, _)| *order <= oldest) {
            let _ = done.send(());
        }
    }

    /// When there is something to do without a message.
    fn next_time(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(at, _)| *at);
        // The first one is the oldest, and all have the same time.
        let given_up = self.pending.first_key_value().and_then(|(_, pending)| pending.give_up_at);
        delayed.into_iter().chain(given_up).min()
    }

    fn on_time(&mut self, now: Instant) {
        while let Some((order, _)) = self
            .pending
            .first_key_value()
            .filter(|(_, pending)| pending.give_up_at.is_some_and(|at| at <= now))
        {
            let order = *order;
            self.unsent.remove(&order);
            self.delayed.retain(|(_, delayed)| *delayed != order);
            self.finish(order, Err(Error::deadline_exceeded()));
        }
        while let Some((_, order)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.pop_first();
            self.unsent.insert(order);
        }
    }

    /// Waits before the next stream, and goes on taking what is published.
    async fn wait_until(&mut self, end: Instant) {
        loop {
            let now = Instant::now();
            self.on_time(now);
            if now >= end || self.pending.is_empty() {
                return;
            }
            let next_time = self.next_time().map_or(end, |at| at.min(end));
            tokio::select! {
                () = sleep_until(next_time) => {}
                command = self.commands.recv(), if !self.is_closed => self.obey(command),
            }
        }
    }

    /// The publisher ends, for this reason or because it is closed.
    fn end(mut self, error: Option<Error>) {
        self.room.end(error.clone());
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.obey(Some(command));
        }
        let Some(error) = error else {
            for done in self.closing {
                let _ = done.send(());
            }
            return;
        };
        for (_, pending) in std::mem::take(&mut self.pending) {
            let _ = pending.acknowledge.send(Err(error.clone()));
        }
        // Dropped without an answer, flushes and closes hear the error.
    }
}

/// The status of an item as that of a call.
fn refusal(status: &tonic_types::pb::Status) -> Error {
    let code = Code::from(status.code);
    let details = status.encode_to_vec().into();
    Error::from(Status::with_details(code, status.message.clone(), details))
}

async fn next_of(
    responses: &mut Option<Streaming<StreamEventsResponse>>,
) -> Result<Option<StreamEventsResponse>, Status> {
    match responses {
        Some(responses) => responses.message().await,
        None => std::future::pending().await,
    }
}

/// The server ends a stream that we have ended.
async fn end_of(responses: &mut Streaming<StreamEventsResponse>) {
    while let Ok(Some(_)) = responses.message().await {}
}

/// Without the client's key.
impl fmt::Debug for EventPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { organization_id, room, .. } = &*self.0;
        f.debug_struct("EventPublisher")
            .field("organization_id", organization_id)
            .field("room_for_events", &room.events.available_permits())
            .finish_non_exhaustive()
    }
}
