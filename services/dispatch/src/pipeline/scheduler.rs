//! Decides which delivery is attempted next. Pure: events go in, effects come out, time is an
//! argument.
//!
//! Each endpoint has a queue of its own, ordered by due time. Only the queue's beginning is in
//! memory. The rest waits in the database, where every waiting delivery is a row, and is fetched
//! when the beginning runs low. So memory does not grow with the backlog (invariant 9), and a busy
//! endpoint delays no other (invariant 8).
//!
//! ```text
//!   in flight         | in memory, complete up to here -> | rest: only in the database,
//!   under way, ended  |                                   | from `rest.due` on
//!   d7 d3 d9   d2 d0  | d1 d4 d8 …                  d6    | (d5 d0 …)
//! ```
//!
//! A delivery is in flight from the beginning of its attempt until the outcome is committed. When
//! the receiver has answered (ended), the next request may begin at once. But the number of
//! outcomes that wait for their commit is limited, because a crash repeats those attempts.
//!
//! A receiver may ask for a pause: then automatic attempts wait for its end, and come back slowly
//! (see `pace`). Manual retries and tests are due before all else: they wait neither for a pause
//! nor behind a backlog.
//!
//! Decision: docs/decisions/queues-keep-their-beginning-in-memory.md

mod effect;
mod limits;
mod pace;
mod pages_ahead;
mod queue;

use std::collections::{BTreeSet, HashMap, VecDeque};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::{DueKey, DuePage};

pub use effect::{AttemptEnd, Effect};
pub use limits::SchedulerLimits;
use queue::{Phase, Queue};

/// The queues of one shard's endpoints.
#[derive(Debug)]
pub struct Scheduler {
    limits: SchedulerLimits,
    queues: HashMap<EndpointId, Queue>,
    /// Endpoints that may have something to do, each once, in the order of their turns.
    turns: VecDeque<EndpointId>,
    /// When endpoints will have something to do.
    alarms: BTreeSet<(Timestamp, EndpointId)>,
    in_flight: usize,
    /// How many of these have a request under way.
    under_way: usize,
    reloads: Vec<Effect>,
    /// What was scheduled up to this record was in the database when the scheduler began.
    as_of: Position,
    /// The last record that scheduled something.
    last_scheduled: Position,
}

impl Scheduler {
    /// A scheduler without queues. [`add_backlog`](Self::add_backlog) adds what the database has as
    /// of a position.
    pub fn new(limits: SchedulerLimits, as_of: Position) -> Scheduler {
        Scheduler {
            limits,
            queues: HashMap::new(),
            turns: VecDeque::new(),
            alarms: BTreeSet::new(),
            in_flight: 0,
            under_way: 0,
            reloads: Vec::new(),
            as_of,
            last_scheduled: as_of,
        }
    }

    /// Deliveries for this endpoint wait in the database; the earliest is due at `due`.
    pub fn add_backlog(&mut self, endpoint_id: EndpointId, due: Timestamp) {
        let queue = self.queues.entry(endpoint_id).or_default();
        queue.leave_to_database(DueKey::MIN, due);
        self.give_turn(endpoint_id);
    }

    /// The record at `position` has scheduled a delivery.
    pub fn scheduled(&mut self, delivery: Delivery, position: Position) {
        let endpoint_id = delivery.endpoint_id;
        let share = self.share();
        self.last_scheduled = self.last_scheduled.max(position);
        let queue = self.queues.entry(endpoint_id).or_default();
        if queue.was_fetched(&delivery, position) || position <= self.as_of {
            // It was fetched before the record was read, and may have been attempted since.
            return;
        }
        queue.insert(delivery, share);
        self.give_turn(endpoint_id);
    }

    /// Something other than an attempt happened to a delivery (a manual retry was requested, it was
    /// cancelled): its known state is stale.
    pub fn changed(
        &mut self,
        organization_id: &OrganizationId,
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
    ) {
        let queue = self.queues.entry(endpoint_id).or_default();
        if queue.changed(delivery_id) {
            let organization_id = organization_id.clone();
            self.reloads.push(Effect::Reload { organization_id, endpoint_id, delivery_id });
        }
    }

    /// A replay has restarted a delivery's schedule: it is due, as its row says.
    ///
    /// It is left to the database, to be fetched together with what comes after it: a replay
    /// resumes many deliveries, and reading each of them would cost a query each.
    pub fn resumed(
        &mut self,
        organization_id: &OrganizationId,
        endpoint_id: EndpointId,
        key: DueKey,
    ) {
        let queue = self.queues.entry(endpoint_id).or_default();
        let delivery_id = key.delivery_id;
        if queue.is_in_flight_or_reloading(delivery_id) {
            // The outcome of a read that is under way may be older than this.
            return self.changed(organization_id, endpoint_id, delivery_id);
        }
        queue.resumed(key);
        self.give_turn(endpoint_id);
    }

    /// The answer to [`Effect::Reload`]: the current row.
    pub fn reloaded(&mut self, delivery: Delivery) {
        let (endpoint_id, delivery_id) = (delivery.endpoint_id, delivery.id);
        let share = self.share();
        let queue = self.queues.entry(endpoint_id).or_default();
        if queue.reloaded(delivery_id) {
            self.changed(&delivery.organization_id, endpoint_id, delivery_id);
            return;
        }
        queue.insert(delivery, share);
        self.give_turn(endpoint_id);
    }

    /// An attempt's request is over, so the next may begin. Its outcome is not committed yet.
    pub fn request_ended(
        &mut self,
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
        end: AttemptEnd,
    ) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        if queue.request_ended(delivery_id, end, &self.limits) {
            self.under_way -= 1;
            self.give_turn(endpoint_id);
        }
    }

    /// An attempt's outcome is committed; `delivery` is the state after it.
    pub fn outcome_committed(&mut self, delivery: Delivery) {
        let (endpoint_id, delivery_id) = (delivery.endpoint_id, delivery.id);
        let share = self.share();
        let queue = self.queues.entry(endpoint_id).or_default();
        if let Some(phase) = queue.outcome_committed(delivery_id) {
            self.in_flight -= 1;
            self.under_way -= usize::from(phase == Phase::UnderWay);
        }
        if queue.reload_when_finished.remove(&delivery_id) {
            self.changed(&delivery.organization_id, endpoint_id, delivery_id);
        } else {
            queue.reinsert(delivery, share);
        }
        self.give_turn(endpoint_id);
    }

    /// The answer to [`Effect::Fetch`]: waiting deliveries in order, at most `limit`.
    pub fn fetched(&mut self, endpoint_id: EndpointId, fetch_id: u64, page: DuePage, limit: usize) {
        let share = self.share();
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        if queue.fetched(fetch_id, page, limit, share) {
            self.give_turn(endpoint_id);
        }
    }

    /// The receiver asks for a pause. Automatic attempts wait until then, and begin with one as a
    /// probe. Of several pauses the one that ends last counts.
    pub fn pause(&mut self, endpoint_id: EndpointId, until: Timestamp) {
        self.queues.entry(endpoint_id).or_default().pace.pause(until);
        self.give_turn(endpoint_id);
    }

    /// The pause does not count any more.
    pub fn end_pause(&mut self, endpoint_id: EndpointId) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        queue.pace.end_pause();
        self.give_turn(endpoint_id);
    }

    /// Stops sending to an endpoint. Its waiting deliveries stay in the database.
    pub fn close(&mut self, endpoint_id: EndpointId) {
        self.queues.entry(endpoint_id).or_default().close();
    }

    /// Sends to an endpoint again.
    pub fn open(&mut self, endpoint_id: EndpointId) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        if queue.open() {
            self.give_turn(endpoint_id);
        }
    }

    /// When [`poll`](Self::poll) will next have something to do, if nothing happens before.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(time, _)| *time)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many attempts have their request under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    pub fn waiting_in_memory(&self) -> usize {
        self.queues.values().map(Queue::in_memory).sum()
    }

    /// Returns what is to be done now. Endpoints take turns, so that none waits for another's
    /// backlog.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Effect> {
        while let Some((time, endpoint_id)) =
            self.alarms.first().copied().filter(|(time, _)| *time <= now)
        {
            self.alarms.remove(&(time, endpoint_id));
            if let Some(queue) = self.queues.get_mut(&endpoint_id) {
                queue.alarm = None;
            }
            self.give_turn(endpoint_id);
        }
        let mut effects = std::mem::take(&mut self.reloads);
        // Endpoints that still have something to send when the shard is full keep their turn.
        let mut kept = VecDeque::new();
        while let Some(endpoint_id) = self.turns.pop_front() {
            match self.take_turn(endpoint_id, now, &mut effects) {
                TurnResult::Over => {}
                TurnResult::Again => self.turns.push_back(endpoint_id),
                TurnResult::ShardFull => kept.push_back(endpoint_id),
            }
        }
        self.turns = kept;
        effects
    }

    fn take_turn(
        &mut self,
        endpoint_id: EndpointId,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> TurnResult {
        /// Attempts that an endpoint may begin in one turn.
        const PER_TURN: usize = 8;
        let limit = self.share();
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return TurnResult::Over };
        queue.pace.end_pause_if_over(now);
        let room = queue.room(&self.limits);
        let is_full = |queue: &Queue, in_flight, under_way| {
            let is_first = queue.has_none_in_flight();
            in_flight >= self.limits.in_flight || under_way >= self.limits.requests_for(is_first)
        };
        let mut sent = 0;
        while sent < room.min(PER_TURN) && !is_full(queue, self.in_flight, self.under_way) {
            let Some(delivery) = queue.take_due(now) else { break };
            queue.begin(delivery.id);
            self.in_flight += 1;
            self.under_way += 1;
            sent += 1;
            effects.push(Effect::Send(Box::new(delivery)));
        }
        effects.extend(queue.begin_fetch(endpoint_id, now, limit));
        if room > sent && queue.has_due(now) {
            return match is_full(queue, self.in_flight, self.under_way) {
                true => TurnResult::ShardFull,
                false => TurnResult::Again,
            };
        }
        queue.has_turn = false;
        // Without room, the next attempt to end or to be committed gives the next turn.
        let alarm = if room > sent { queue.next_due(limit) } else { None };
        if queue.alarm != alarm {
            let old = std::mem::replace(&mut queue.alarm, alarm);
            old.map(|time| self.alarms.remove(&(time, endpoint_id)));
            alarm.map(|time| self.alarms.insert((time, endpoint_id)));
        }
        if queue.is_idle(self.last_scheduled) {
            self.queues.remove(&endpoint_id);
        }
        TurnResult::Over
    }

    fn give_turn(&mut self, endpoint_id: EndpointId) {
        if let Some(queue) = self.queues.get_mut(&endpoint_id)
            && !std::mem::replace(&mut queue.has_turn, true)
        {
            self.turns.push_back(endpoint_id);
        }
    }

    /// How many deliveries each endpoint may have in memory.
    fn share(&self) -> usize {
        const LEAST: usize = 16;
        let even = self.limits.waiting / self.queues.len().max(1);
        even.clamp(LEAST.min(self.limits.waiting_per_endpoint), self.limits.waiting_per_endpoint)
    }
}

enum TurnResult {
    Over,
    /// It has more to send, after the others.
    Again,
    /// It has more to send when an attempt of any endpoint has ended.
    ShardFull,
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;

#[cfg(test)]
mod model_tests;
