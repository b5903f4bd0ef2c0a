//! StreamEvents: publishes the items of a stream, and acknowledges each when it is committed.
//!
//! One task for each stream reads whatever items have arrived, appends them together, and reads on
//! while they are committed. It reads no further while it may not: the organization is too fast, or
//! too much of the stream is not acknowledged yet. Then HTTP/2's flow control holds the client back.

use std::pin::Pin;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use keeptrusts_webhooks_contracts::api::{Publish, Violations, caller_of, trace_context_of};
use keeptrusts_webhooks_contracts::status::{self, status_message};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::stream_events_response::Result as ItemResult;
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::grpc_server::{MessageMemory, ReceivedMessages};
use keeptrusts_webhooks_process::{database_errors, log_writer};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Status, Streaming};
use tracing::{Instrument, Span};

use crate::accept;
use crate::api::IngestApi;
use crate::commit_permits::MAX_EVENTS_PER_APPEND;
use crate::metrics;

/// Items of one stream that are read and whose acknowledgements the client has not taken. Two appends:
/// one can wait while the other one is committed.
pub(crate) const MAX_UNACKNOWLEDGED_ITEMS: usize = 2 * MAX_EVENTS_PER_APPEND;
/// Bytes of a stream's items that wait for their commit, as read and as decoded. One item may exceed it.
const MAX_UNCOMMITTED_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) type Acknowledgements =
    Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

/// The place of an item's acknowledgement among those that the client has not taken yet.
type Place = OwnedPermit<Result<v1::StreamEventsResponse, Status>>;

impl IngestApi {
    /// Publishes the items of a stream, for as long as somebody reads their acknowledgements.
    pub(crate) fn publish_stream(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Acknowledgements, Status> {
        let caller = caller_of(&request)?;
        // Without a trace of the client's, each event has one of its own: a stream may last for days.
        let has_trace = trace_context_of(request.metadata().as_ref()).is_some();
        let trace = request.extensions().get().cloned().filter(|_| has_trace);
        let received = ReceivedMessages::of(request.extensions()).unwrap_or_default();
        // One place is for the status at the end.
        let (acknowledgements, unread) = mpsc::channel(MAX_UNACKNOWLEDGED_ITEMS + 1);
        let stream = EventStream {
            api: self.clone(),
            reader: ItemReader { items: request.into_inner(), received, acknowledgements },
            caller,
            trace,
            organization: None,
            last_number: 0,
            batch: Vec::new(),
            delayed: None,
            commits: FuturesUnordered::new(),
            uncommitted_bytes: 0,
        };
        let publishing =
            AbortOnDropHandle::new(tokio::spawn(stream.run().instrument(Span::current())));
        let acknowledgements =
            unfold((unread, publishing), |(mut unread, publishing)| async move {
                unread.recv().await.map(|acknowledgement| (acknowledgement, (unread, publishing)))
            });
        Ok(Box::pin(acknowledgements))
    }
}

struct EventStream {
    api: IngestApi,
    reader: ItemReader,
    caller: Caller,
    /// The span that the events belong to. None: each has a trace of its own.
    trace: Option<TraceContext>,
    /// That of the first item.
    organization: Option<OrganizationId>,
    /// The sequence number of the last item.
    last_number: i64,
    /// Items that are to be appended together.
    batch: Vec<Item>,
    /// An item that exceeds the organization's quota, and when it may be published.
    delayed: Option<(Item, Instant)>,
    /// Appends under way. Each returns the bytes of its items.
    commits: FuturesUnordered<BoxFuture<'static, u64>>,
    uncommitted_bytes: u64,
}

/// A valid item that is not acknowledged.
struct Item {
    number: i64,
    publish: Publish,
    place: Place,
    /// Held until the item is committed.
    memory: Option<MessageMemory>,
}

/// The end of reading. None: the client has sent its last item.
type End = Option<Status>;

impl EventStream {
    async fn run(mut self) {
        let Ok(last_place) = self.reader.acknowledgements.clone().reserve_owned().await else {
            return;
        };
        let end = self.read_all().await;
        self.append_batch();
        while self.commits.next().await.is_some() {}
        if let Some(status) = end {
            last_place.send(Err(status));
        }
    }

    /// Reads and appends items until there are no more.
    async fn read_all(&mut self) -> End {
        loop {
            let delayed_until = self.delayed.as_ref().map(|(_, until)| *until);
            tokio::select! {
                biased;
                Some(bytes) = self.commits.next() => self.uncommitted_bytes -= bytes,
                () = sleep_until(delayed_until.unwrap_or_else(Instant::now)),
                    if delayed_until.is_some() =>
                {
                    if let Some((item, _)) = self.delayed.take() {
                        self.add(item);
                    }
                }
                read = self.reader.next(), if self.may_read() => {
                    if let Err(end) = self.received(read) {
                        return end;
                    }
                }
            }
            // What has arrived already is appended together.
            while self.may_read()
                && let Some(read) = self.reader.next().now_or_never()
            {
                if let Err(end) = self.received(read) {
                    return end;
                }
            }
            self.append_batch();
        }
    }

    fn may_read(&self) -> bool {
        self.delayed.is_none()
            && self.batch.len() < MAX_EVENTS_PER_APPEND
            && self.uncommitted_bytes < MAX_UNCOMMITTED_BYTES
    }

    /// Takes the next item into the batch, or refuses it. Error: it is the last one.
    fn received(&mut self, read: Result<ReadItem, End>) -> Result<(), End> {
        let ReadItem { item, place, memory } = read?;
        let number = item.sequence_number;
        let checked = self.check(item).inspect_err(metrics::not_accepted).map_err(Some)?;
        match checked {
            Ok(publish) => {
                self.uncommitted_bytes += memory.as_ref().map_or(0, MessageMemory::bytes);
                self.add(Item { number, publish, place, memory });
            }
            Err(violations) => {
                let refused = violations.into();
                metrics::not_accepted(&refused);
                acknowledge(place, number, Err(refused));
            }
        }
        Ok(())
    }

    /// The item's event. An error ends the stream; an inner one refuses the item.
    fn check(
        &mut self,
        item: v1::StreamEventsRequest,
    ) -> Result<Result<Publish, Violations>, Status> {
        let v1::StreamEventsRequest { sequence_number, request } = item;
        if sequence_number <= self.last_number {
            let description = format!(
                "is {sequence_number} and must be greater than {}: number the items of a stream 1, 2, 3, …",
                self.last_number
            );
            let violation = Violation::out_of_range("sequence_number", description);
            return Err(status::invalid_argument(vec![violation]));
        }
        self.last_number = sequence_number;
        let organization = match &self.organization {
            Some(organization) => organization,
            None => {
                let named = request.as_ref().map_or("", |request| &request.organization_id);
                let organization: OrganizationId =
                    named.parse().map_err(|violation| status::invalid_argument(vec![violation]))?;
                if !self.caller.reaches(&organization) {
                    return Err(status::organization_not_found(&organization));
                }
                self.organization.insert(organization)
            }
        };
        Ok(Publish::of_stream(organization, request))
    }

    /// Adds an item to the batch when the organization may publish it.
    fn add(&mut self, item: Item) {
        match self.api.quota.take_one(&item.publish.organization_id) {
            Ok(()) => self.batch.push(item),
            Err(wait) => self.delayed = Some((item, Instant::now() + wait)),
        }
    }

    fn append_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let items = std::mem::take(&mut self.batch);
        let append = append(self.api.clone(), self.caller.clone(), self.trace.clone(), items);
        self.commits.push(append.boxed());
    }
}

/// Appends items and acknowledges them. Returns their bytes.
async fn append(
    api: IngestApi,
    caller: Caller,
    trace: Option<TraceContext>,
    items: Vec<Item>,
) -> u64 {
    let Some(first) = items.first() else { return 0 };
    let organization = first.publish.organization_id.clone();
    let shard = api.log.shard_of(&organization);
    let _permit = api.permits.wait(&organization, items.len()).await;
    let mut bytes = 0;
    let mut operations = Vec::with_capacity(items.len());
    let mut pending = Vec::with_capacity(items.len());
    // The charges are dropped together with what they are for.
    let mut charges = Vec::with_capacity(items.len());
    for Item { number, publish, place, memory } in items {
        let (event, operation) = api.accept(publish, &caller, trace.clone());
        operations.push(operation);
        pending.push((number, place, event));
        bytes += memory.as_ref().map_or(0, MessageMemory::bytes);
        charges.extend(memory);
    }
    let appended = timeout(log_writer::COMMIT_TIMEOUT, api.log.append_all(shard, operations)).await;
    let mut appended = appended.unwrap_or_default().into_iter();
    for (number, place, event) in pending {
        let answer = match appended.next() {
            Some(appended) => accept::answer(event.event_id, appended),
            None => Err(database_errors::commit_unknown()),
        };
        event.finish(&answer);
        acknowledge(place, number, answer);
    }
    bytes
}

fn acknowledge(place: Place, number: i64, answer: Result<v1::PublishEventResponse, Status>) {
    let result = match answer {
        Ok(response) => ItemResult::Response(response),
        Err(status) => ItemResult::Status(status_message(&status)),
    };
    place.send(Ok(v1::StreamEventsResponse { sequence_number: number, result: Some(result) }));
}

/// Reads an item when its acknowledgement has a place.
struct ItemReader {
    items: Streaming<v1::StreamEventsRequest>,
    received: ReceivedMessages,
    acknowledgements: mpsc::Sender<Result<v1::StreamEventsResponse, Status>>,
}

/// An item as it was read.
struct ReadItem {
    item: v1::StreamEventsRequest,
    place: Place,
    memory: Option<MessageMemory>,
}

impl ItemReader {
    /// Nothing is lost if the future is dropped.
    async fn next(&mut self) -> Result<ReadItem, End> {
        let place = match self.acknowledgements.clone().try_reserve_owned() {
            Ok(place) => place,
            Err(_) => self.wait_for_place().await?,
        };
        match self.items.next().await {
            Some(Ok(item)) => Ok(ReadItem { item, place, memory: self.received.next() }),
            Some(Err(status)) => Err(Some(status)),
            None => Err(None),
        }
    }

    /// The server ends a stream whose acknowledgements are not read, and drops this.
    async fn wait_for_place(&self) -> Result<Place, End> {
        self.acknowledgements.clone().reserve_owned().await.map_err(|_| None)
    }
}
