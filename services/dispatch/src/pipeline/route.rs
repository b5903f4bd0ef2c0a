//! Tail and route: reads the log, decides once where each event goes, and tells the other stages
//! what concerns them.
//!
//! Decision: docs/decisions/routing-moves-a-checkpoint.md

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, EventAccepted, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::{NotificationFact, NotificationType};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::log::projection::scheduled_deliveries;
use keeptrusts_webhooks_store::{
    CheckpointAdvance, ExpectedVersion, NewRecord, Operation, Record, new_ulid,
};
use keeptrusts_webhooks_telemetry::{is_recorded, new_span_id};
use tokio::sync::{mpsc, oneshot};

use super::delivery_target::DeliveryTarget;
use super::failures::{
    AppendPolicy, CANNOT_READ_DELIVERY, DATABASE_BACKOFF, OnDefect, StageEnded, Streams,
};
use super::limits::RECORDS_PER_READ;
use super::notify::{NotificationCause, NotifyMessage};
use super::owned_shard::OwnedShard;
use super::replay::{self, ReplayMessage};
use super::router::Router;
use super::schedule::{Resumed, ScheduleMessage};
use super::spans;
use crate::metrics;

pub(crate) struct NextStages {
    pub(crate) to_schedule: mpsc::Sender<ScheduleMessage>,
    pub(crate) to_replay: mpsc::Sender<ReplayMessage>,
    pub(crate) to_notify: mpsc::Sender<NotifyMessage>,
}

pub(crate) struct Route {
    shard: Arc<OwnedShard>,
    /// As the shard's row has it: everything up to here has been acted on.
    checkpoint: Position,
    next: NextStages,
    /// Causes that the notify stage has not been told of.
    causes: Vec<NotificationCause>,
    /// In order; not yet appended.
    pending_routes: Vec<PendingRoute>,
}

/// The decision where an event goes.
struct PendingRoute {
    operation: Operation,
    /// The event's place in the trace.
    parent: Option<TraceContext>,
    event: (EventId, EventType),
    deliveries: usize,
    start: Timestamp,
}

/// What the scheduler must learn from records.
#[derive(Default)]
struct ScheduleUpdates {
    scheduled: Vec<(Delivery, Position)>,
    resumed: Vec<Resumed>,
}

const ROUTES: AppendPolicy =
    AppendPolicy { what: "cannot append", streams: Streams::Owned, on_defect: OnDefect::GiveUp };
/// Attempts may end while deliveries are cancelled.
const CANCELLATION: AppendPolicy = AppendPolicy { streams: Streams::Shared, ..ROUTES };

impl Route {
    pub(crate) fn new(
        shard: Arc<OwnedShard>,
        router: Router,
        checkpoint: Position,
        next: NextStages,
    ) -> Route {
        shard.router.lock().begin(router, checkpoint);
        let (causes, pending_routes) = (Vec::new(), Vec::new());
        Route { shard, checkpoint, next, causes, pending_routes }
    }

    pub(crate) async fn run(mut self) {
        self.shard.processed_position.store(self.checkpoint.0, Ordering::Relaxed);
        let mut follower = self.shard.log.follow(self.shard.lease.shard(), self.checkpoint);
        let stop = self.shard.stop.clone();
        let mut backoff = DATABASE_BACKOFF;
        while let Some(read) = stop.run_until_cancelled(follower.next(RECORDS_PER_READ)).await {
            match read {
                Ok(records) => {
                    backoff.reset();
                    if self.act_on(&records).await.is_err() {
                        return;
                    }
                    self.shard.router.lock().advance(follower.position());
                    self.shard.processed_position.store(follower.position().0, Ordering::Relaxed);
                }
                Err(error) => {
                    self.shard.note_failed_read("cannot read the log", OnDefect::GiveUp, &error);
                    backoff.wait().await;
                }
            }
        }
    }

    async fn act_on(&mut self, records: &[Arc<Record>]) -> Result<(), StageEnded> {
        let mut updates = ScheduleUpdates::default();
        for record in records {
            self.causes.extend(NotificationCause::of(record));
            match (&record.fact, record.stream) {
                (Fact::EventAccepted(accepted), Stream::Event(id)) if !accepted.is_routed => {
                    let pending_routes = self.route(id, accepted, record);
                    self.pending_routes.push(pending_routes);
                }
                (Fact::DeliveriesScheduled(_), _)
                | (Fact::Delivery(DeliveryFact::TestRequested { .. }), _)
                | (Fact::Delivery(DeliveryFact::Replayed { .. }), _) => {
                    let deliveries = scheduled_deliveries(record);
                    updates
                        .scheduled
                        .extend(deliveries.map(|delivery| (delivery, record.position)));
                }
                (Fact::Endpoint(_), Stream::Endpoint(id)) => self.note_endpoint(id, record).await?,
                (
                    Fact::Delivery(DeliveryFact::Resumed { endpoint_id, .. }),
                    Stream::Delivery(delivery_id),
                ) => {
                    updates.resumed.push(Resumed {
                        organization_id: record.organization_id.clone(),
                        endpoint_id: *endpoint_id,
                        delivery_id,
                        due_time: record.metadata.steady_time.unwrap_or(record.recorded_at),
                    });
                }
                (Fact::Delivery(DeliveryFact::RetryRequested), Stream::Delivery(id)) => {
                    // Order matters: the scheduler must know of a delivery before it changes.
                    self.send_schedule_updates(&mut updates).await?;
                    self.note_retry(id, record).await?;
                }
                (Fact::Delivery(DeliveryFact::CancelRequested), Stream::Delivery(id)) => {
                    // Order matters: what comes before this record is appended before it.
                    self.append_pending_routes().await?;
                    self.send_schedule_updates(&mut updates).await?;
                    self.cancel(id, record).await?;
                }
                (Fact::Replay(fact), Stream::Replay(id)) if replay::needs_refresh(fact) => {
                    // All events before this record are routed first, so that no event that the
                    // replay finds gets a delivery from routing as well.
                    self.append_pending_routes().await?;
                    let organization_id = record.organization_id.clone();
                    let changed = ReplayMessage::Changed { organization_id, replay_id: id };
                    self.next.to_replay.send(changed).await.map_err(|_| StageEnded)?;
                }
                (Fact::Channel(_), Stream::Channel(id)) => {
                    // Order matters: causes before this record are notified to the channels as they
                    // were.
                    self.notify_of_causes().await?;
                    let (done, committed) = oneshot::channel();
                    let changed = NotifyMessage::Channel(id, Arc::clone(record), done);
                    self.send_to_notify(changed).await?;
                    committed.await.map_err(|_| StageEnded)?;
                }
                (Fact::Notification(NotificationFact::Raised(new)), _)
                    if new.notification_type == NotificationType::Test =>
                {
                    self.send_to_notify(NotifyMessage::TestRequested(new.channel_id)).await?;
                }
                // The other stages have acted on their own records.
                _ => {}
            }
        }
        self.send_schedule_updates(&mut updates).await?;
        self.append_pending_routes().await
    }

    fn route(&self, event_id: EventId, accepted: &EventAccepted, record: &Record) -> PendingRoute {
        let now = (self.shard.clock)();
        let new_id = || DeliveryId::new(new_ulid(now));
        let event = (accepted.event_type, accepted.event_time);
        let routed = self.shard.router.lock().router.route(&record.organization_id, event, new_id);
        let deliveries = routed.deliveries.len();
        let routed = NewRecord {
            stream: Stream::Event(event_id),
            expected: ExpectedVersion::Any,
            fact: Fact::DeliveriesScheduled(routed),
        };
        let parent = record.metadata.trace.clone();
        let metadata =
            routing_metadata(&self.shard, event_id, Some(record.position), parent.as_ref());
        let mut operation = self.shard.operation(&record.organization_id, vec![routed], metadata);
        let from = self.last_step().unwrap_or(self.checkpoint);
        operation.checkpoint = Some(CheckpointAdvance { from, to: record.position });
        let event = (event_id, accepted.event_type);
        PendingRoute { operation, parent, event, deliveries, start: now }
    }

    async fn note_endpoint(&mut self, id: EndpointId, record: &Record) -> Result<(), StageEnded> {
        // The records after the checkpoint also bring the rewound router up to date.
        let applied = self.shard.router.lock().router.apply(id, record).cloned();
        let endpoint: Endpoint = match applied {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let error = error.of(self.shard.lease.shard());
                self.shard.give_up("cannot go on from the log", &error);
                return Err(StageEnded);
            }
        };
        if matches!(&record.fact, Fact::Endpoint(EndpointFact::Enabled | EndpointFact::Deleted)) {
            self.shard.failing.forget(id);
        }
        let ends_pause = matches!(&record.fact, Fact::Endpoint(fact) if fact.ends_pause());
        let known = self.shard.targets.get(id);
        if known.is_some_and(|known| known.endpoint.version >= endpoint.version) {
            return Ok(());
        }
        let target = DeliveryTarget::new(endpoint);
        let availability = target.availability();
        self.shard.targets.put(target);
        self.next.to_replay.send(ReplayMessage::EndpointChanged).await.map_err(|_| StageEnded)?;
        if ends_pause {
            self.shard.pauses.forget(id);
            self.send_to_schedule(ScheduleMessage::PauseEnded(id)).await?;
        }
        self.send_to_schedule(ScheduleMessage::Availability(id, availability)).await
    }

    async fn note_retry(&mut self, id: DeliveryId, record: &Record) -> Result<(), StageEnded> {
        let delivery = self.read_delivery(id, record).await;
        if let Some(Delivery { organization_id, endpoint_id, .. }) = delivery {
            self.send_to_schedule(ScheduleMessage::Changed {
                organization_id,
                endpoint_id,
                delivery_id: id,
            })
            .await?;
        }
        Ok(())
    }

    async fn cancel(&mut self, id: DeliveryId, record: &Record) -> Result<(), StageEnded> {
        let mut backoff = DATABASE_BACKOFF;
        loop {
            let Some(delivery) = self.read_delivery(id, record).await else { return Ok(()) };
            if delivery.state.has_ended() {
                return Ok(());
            }
            let reason = "cancelled on request".to_owned();
            // If an attempt ends at this moment, the delivery is read again.
            let cancelled = NewRecord::following(&delivery, DeliveryFact::Cancelled { reason });
            let mut operation = self.operation(record, delivery.event_id, cancelled);
            operation.checkpoint =
                Some(CheckpointAdvance { from: self.checkpoint, to: record.position });
            match self.shard.log.append(self.shard.lease.shard(), operation).await {
                Ok(_) => {
                    metrics::count_cancelled(1);
                    self.checkpoint = record.position;
                    let Delivery { organization_id, endpoint_id, .. } = delivery;
                    let changed =
                        ScheduleMessage::Changed { organization_id, endpoint_id, delivery_id: id };
                    return self.send_to_schedule(changed).await;
                }
                Err(error) => self.shard.wait_or_end(CANCELLATION, &error, &mut backoff).await?,
            }
        }
    }

    /// Appends the pending routes in order. Each operation's step begins where the one before ends,
    /// so that none is skipped if one cannot be appended.
    async fn append_pending_routes(&mut self) -> Result<(), StageEnded> {
        // First, since the checkpoint may move past a cause only when what follows from it is
        // committed.
        self.notify_of_causes().await?;
        let mut backoff = DATABASE_BACKOFF;
        while !self.pending_routes.is_empty() {
            let number = self.shard.lease.shard();
            let operations =
                self.pending_routes.iter().map(|pending_routes| pending_routes.operation.clone());
            let results = self.shard.log.append_all(number, operations.collect()).await;
            let appended = results.iter().take_while(|result| result.is_ok()).count();
            let end = (self.shard.clock)();
            for pending_routes in self.pending_routes.drain(..appended) {
                let PendingRoute { operation, parent, event, deliveries, start } = pending_routes;
                self.checkpoint = operation.checkpoint.map_or(self.checkpoint, |step| step.to);
                metrics::count_scheduled(deliveries);
                if let Some(parent) = parent {
                    let (organization, context) =
                        (&operation.organization_id, operation.metadata.trace);
                    let times = (start, end);
                    spans::export_routing(organization, context, parent, event, deliveries, times);
                }
            }
            if let Some(Err(error)) = results.into_iter().nth(appended) {
                self.shard.wait_or_end(ROUTES, &error, &mut backoff).await?;
            }
        }
        Ok(())
    }

    /// Waits until what follows from the causes is committed.
    async fn notify_of_causes(&mut self) -> Result<(), StageEnded> {
        if self.causes.is_empty() {
            return Ok(());
        }
        let (done, committed) = oneshot::channel();
        let causes = std::mem::take(&mut self.causes);
        self.send_to_notify(NotifyMessage::Causes(causes, done)).await?;
        committed.await.map_err(|_| StageEnded)
    }

    async fn send_to_notify(&self, message: NotifyMessage) -> Result<(), StageEnded> {
        self.next.to_notify.send(message).await.map_err(|_| StageEnded)
    }

    async fn read_delivery(&self, id: DeliveryId, record: &Record) -> Option<Delivery> {
        let (store, number) = (self.shard.log.store(), self.shard.lease.shard());
        let (organization, ids) = (&record.organization_id, [id]);
        let read = || store.deliveries(number, organization, &ids);
        self.shard.read(CANNOT_READ_DELIVERY, OnDefect::GiveUp, read).await.pop()
    }

    fn last_step(&self) -> Option<Position> {
        self.pending_routes.last()?.operation.checkpoint.map(|step| step.to)
    }

    fn operation(&self, cause: &Record, event_id: EventId, new: NewRecord) -> Operation {
        let trace = cause.metadata.trace.clone();
        let metadata = metadata(&self.shard, event_id, Some(cause.position), trace);
        self.shard.operation(&cause.organization_id, vec![new], metadata)
    }

    /// First what was scheduled: whatever was resumed has been scheduled before.
    async fn send_schedule_updates(&self, updates: &mut ScheduleUpdates) -> Result<(), StageEnded> {
        let ScheduleUpdates { scheduled, resumed } = std::mem::take(updates);
        if !scheduled.is_empty() {
            self.send_to_schedule(ScheduleMessage::Scheduled(scheduled)).await?;
        }
        if !resumed.is_empty() {
            self.send_to_schedule(ScheduleMessage::Resumed(resumed)).await?;
        }
        Ok(())
    }

    async fn send_to_schedule(&self, message: ScheduleMessage) -> Result<(), StageEnded> {
        self.next.to_schedule.send(message).await.map_err(|_| StageEnded)
    }
}

/// The metadata of an event's routing. Its span is below the event's, and attempts hang below it.
pub(super) fn routing_metadata(
    shard: &OwnedShard,
    event_id: EventId,
    causation: Option<Position>,
    event_trace: Option<&TraceContext>,
) -> Metadata {
    let trace = event_trace.map(|trace| match is_recorded(Some(trace)) {
        true => trace.child(new_span_id()),
        false => trace.clone(),
    });
    metadata(shard, event_id, causation, trace)
}

fn metadata(
    shard: &OwnedShard,
    event_id: EventId,
    causation: Option<Position>,
    trace: Option<TraceContext>,
) -> Metadata {
    Metadata {
        correlation_id: event_id.to_string(),
        causation,
        trace,
        steady_time: Some(shard.steady_clock.now()),
        ..Metadata::default()
    }
}
