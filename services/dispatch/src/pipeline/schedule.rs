//! Schedule: runs the [`Scheduler`] in real time and carries out its effects.
//!
//! Decision: docs/decisions/scheduled-deliveries-come-from-the-log.md

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::{DueKey, DuePage};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::delivery_target::Availability;
use super::failures::{CANNOT_READ_DELIVERY, OnDefect};
use super::limits::STAGE_CAPACITY;
use super::owned_shard::OwnedShard;
use super::scheduler::{Effect, Scheduler};
use super::send_result::{AttemptProgress, SendResult};
use super::{cancel, send};

pub(crate) enum ScheduleMessage {
    /// New deliveries, each with the position of its record.
    Scheduled(Vec<(Delivery, Position)>),
    /// Something other than an attempt happened to a delivery.
    Changed {
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
    },
    /// Replays have restarted the schedules of deliveries.
    Resumed(Vec<Resumed>),
    Availability(EndpointId, Availability),
    /// The pause that an endpoint's receiver asked for does not count any more.
    PauseEnded(EndpointId),
}

/// A delivery whose schedule was restarted.
pub(crate) struct Resumed {
    pub(crate) organization_id: OrganizationId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) delivery_id: DeliveryId,
    /// On the steady clock.
    pub(crate) due_time: Timestamp,
}

/// The result of a read from the database.
enum ReadResult {
    Fetched { endpoint_id: EndpointId, fetch_id: u64, limit: usize, page: DuePage },
    Reloaded(Box<Delivery>),
}

struct Schedule {
    shard: Arc<OwnedShard>,
    scheduler: Scheduler,
    /// For senders, which report their progress.
    to_schedule: mpsc::Sender<AttemptProgress>,
    to_record: mpsc::Sender<SendResult>,
    answers: mpsc::Sender<ReadResult>,
    tasks: TaskTracker,
}

/// Timers stop while the machine is asleep; the steady clock does not. Deliveries that became due
/// meanwhile are noticed at most this long after.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub(crate) async fn run(
    shard: Arc<OwnedShard>,
    scheduler: Scheduler,
    mut messages: mpsc::Receiver<ScheduleMessage>,
    (to_schedule, mut progress): (mpsc::Sender<AttemptProgress>, mpsc::Receiver<AttemptProgress>),
    to_record: mpsc::Sender<SendResult>,
) {
    let (answers, mut answered) = mpsc::channel(STAGE_CAPACITY);
    let stop = shard.stop.clone();
    let tasks = TaskTracker::new();
    let mut schedule = Schedule { shard, scheduler, to_schedule, to_record, answers, tasks };
    schedule.apply_availability();
    schedule.apply_pauses();
    loop {
        let alarm = schedule.act();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(first) = progress.recv() => {
                schedule.advance(first);
                while let Ok(next) = progress.try_recv() {
                    schedule.advance(next);
                }
            }
            Some(answer) = answered.recv() => schedule.take(answer),
            message = messages.recv() => match message {
                Some(message) => schedule.handle(message),
                None => break,
            },
            () = sleep_for(alarm) => {}
        }
    }
    // Attempts under way are finished, and their outcomes recorded; nothing new begins. The
    // outcomes need not be scheduled any more, but are received, so that the recorder does not wait
    // for a full channel.
    let Schedule { tasks, to_schedule, to_record, .. } = schedule;
    drop((to_schedule, to_record));
    tasks.close();
    while progress.recv().await.is_some() {}
}

pub(crate) async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl Schedule {
    /// Does what is to be done now; returns how long until there may be more.
    fn act(&mut self) -> Option<Duration> {
        let mut deliveries = Vec::new();
        for effect in self.scheduler.poll(self.shard.steady_clock.now()) {
            match effect {
                Effect::Send(delivery) => deliveries.push(*delivery),
                Effect::Fetch { endpoint_id, fetch_id, after, limit } => {
                    self.fetch(endpoint_id, fetch_id, after, limit);
                }
                Effect::Reload { organization_id, delivery_id, .. } => {
                    self.reload(organization_id, delivery_id);
                }
            }
        }
        self.shard.requests_under_way.store(self.scheduler.under_way(), Ordering::Relaxed);
        if !deliveries.is_empty() {
            let (to_schedule, to_record) = (self.to_schedule.clone(), self.to_record.clone());
            let shard = Arc::clone(&self.shard);
            self.spawn(send::send_all(shard, deliveries, to_schedule, to_record));
        }
        let alarm = self.scheduler.next_alarm()?;
        let wait = Duration::try_from(alarm.duration_since(self.shard.steady_clock.now()));
        Some(wait.unwrap_or(Duration::ZERO).min(LONGEST_SLEEP))
    }

    fn handle(&mut self, message: ScheduleMessage) {
        match message {
            ScheduleMessage::Scheduled(deliveries) => {
                let mut gone = HashSet::new();
                for (delivery, position) in deliveries {
                    let endpoint_id = delivery.endpoint_id;
                    if self.availability(endpoint_id).is_gone() {
                        // It was routed before the endpoint was deleted.
                        gone.insert(endpoint_id);
                    }
                    self.scheduler.scheduled(delivery, position);
                }
                gone.into_iter().for_each(|endpoint_id| self.cancel_waiting(endpoint_id));
            }
            ScheduleMessage::Changed { organization_id, endpoint_id, delivery_id } => {
                if self.availability(endpoint_id).is_gone() {
                    self.cancel_waiting(endpoint_id);
                }
                self.scheduler.changed(&organization_id, endpoint_id, delivery_id);
            }
            ScheduleMessage::Resumed(deliveries) => {
                let mut gone = HashSet::new();
                for Resumed { organization_id, endpoint_id, delivery_id, due_time } in deliveries {
                    if self.availability(endpoint_id).is_gone() {
                        gone.insert(endpoint_id);
                    }
                    let key = DueKey { due_time, delivery_id };
                    self.scheduler.resumed(&organization_id, endpoint_id, key);
                }
                gone.into_iter().for_each(|endpoint_id| self.cancel_waiting(endpoint_id));
            }
            ScheduleMessage::Availability(endpoint_id, availability) => {
                self.set_availability(endpoint_id, availability);
            }
            ScheduleMessage::PauseEnded(endpoint_id) => self.scheduler.end_pause(endpoint_id),
        }
    }

    fn advance(&mut self, progress: AttemptProgress) {
        match progress {
            AttemptProgress::RequestEnded { endpoint_id, delivery_id, end, pause } => {
                if let Some(pause) = pause {
                    self.pause(endpoint_id, pause);
                }
                self.scheduler.request_ended(endpoint_id, delivery_id, end);
            }
            AttemptProgress::Committed(delivery) => self.scheduler.outcome_committed(*delivery),
        }
    }

    fn take(&mut self, answer: ReadResult) {
        match answer {
            ReadResult::Fetched { endpoint_id, fetch_id, limit, page } => {
                self.scheduler.fetched(endpoint_id, fetch_id, page, limit);
            }
            ReadResult::Reloaded(delivery) => self.scheduler.reloaded(*delivery),
        }
    }

    fn pause(&mut self, endpoint_id: EndpointId, pause: Duration) {
        let until = self.shard.steady_clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        self.scheduler.pause(endpoint_id, until);
    }

    /// Continues the pauses that receivers have asked the last owner for.
    fn apply_pauses(&mut self) {
        for (endpoint_id, remaining) in self.shard.pauses.remaining() {
            self.pause(endpoint_id, remaining);
        }
    }

    /// Closes disabled endpoints, and cancels what waits for deleted ones.
    fn apply_availability(&mut self) {
        for target in self.shard.targets.all() {
            let availability = target.availability();
            if availability != Availability::Open {
                self.set_availability(target.endpoint.id, availability);
            }
        }
    }

    fn set_availability(&mut self, endpoint_id: EndpointId, availability: Availability) {
        match availability {
            Availability::Open => self.scheduler.open(endpoint_id),
            Availability::Closed => self.scheduler.close(endpoint_id),
            Availability::Gone => {
                self.scheduler.close(endpoint_id);
                self.cancel_waiting(endpoint_id);
            }
        }
    }

    fn availability(&self, endpoint_id: EndpointId) -> Availability {
        let target = self.shard.targets.get(endpoint_id);
        target.map_or(Availability::Open, |target| target.availability())
    }

    fn cancel_waiting(&self, endpoint_id: EndpointId) {
        self.spawn(cancel::cancel_waiting(Arc::clone(&self.shard), endpoint_id));
    }

    fn fetch(&self, endpoint_id: EndpointId, fetch_id: u64, after: DueKey, limit: usize) {
        let (shard, answers) = (Arc::clone(&self.shard), self.answers.clone());
        self.spawn(async move {
            let number = shard.lease.shard();
            let store = shard.log.store();
            let read = || store.due_deliveries(number, endpoint_id, after, limit);
            let page = shard.read("cannot fetch waiting deliveries", OnDefect::GiveUp, read).await;
            _ = answers.send(ReadResult::Fetched { endpoint_id, fetch_id, limit, page }).await;
        });
    }

    fn reload(&self, organization_id: OrganizationId, delivery_id: DeliveryId) {
        let (shard, answers) = (Arc::clone(&self.shard), self.answers.clone());
        self.spawn(async move {
            let number = shard.lease.shard();
            let (store, ids) = (shard.log.store(), [delivery_id]);
            let read = || store.deliveries(number, &organization_id, &ids);
            let read = shard.read(CANNOT_READ_DELIVERY, OnDefect::GiveUp, read);
            if let Some(delivery) = read.await.pop() {
                _ = answers.send(ReadResult::Reloaded(Box::new(delivery))).await;
            }
        });
    }

    /// Runs a task that ends when the lease is lost.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.shard.abort.clone();
        self.tasks.spawn(async move {
            abort.run_until_cancelled(task).await;
        });
    }
}
