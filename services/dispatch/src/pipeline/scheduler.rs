//! Which delivery is attempted next. Pure: events go in, effects come out, time is an argument.
//!
//! Each endpoint has a queue of its own, ordered by when its deliveries are due. In memory a
//! queue holds only its beginning; the rest waits in the database, where every waiting delivery
//! is a row, and is fetched when the beginning runs low. So memory does not grow with the
//! backlog (invariant 9), and a busy endpoint delays no other (invariant 8).
//!
//! ```text
//!   in flight         | in memory, complete up to here -> | rest: only in the database,
//!   under way, ended  |                                   | from `rest.due` on
//!   d7 d3 d9   d2 d0  | d1 d4 d8 …                  d6    | (d5 d0 …)
//! ```
//!
//! A delivery is in flight from the moment when its attempt begins until the outcome is
//! committed. When the receiver has answered (ended) the next request may begin at once; but
//! only so many outcomes may wait for their commit, because a crash repeats those attempts.
//!
//! A receiver may ask for a pause: then automatic attempts wait for its end, and come back slowly
//! (see `pace`). What somebody has asked for, a manual retry or a test, is held apart in memory: it
//! waits neither for a pause nor behind a backlog.

mod pace;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::{DueKey, DuePage};
use ulid::Ulid;

use pace::Pace;

/// The limits of one shard's scheduler.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerLimits {
    /// Requests under way to one endpoint, as long as it answers well.
    pub requests_per_endpoint: usize,
    /// The same for an endpoint that keeps failing: a hanging one occupies no more.
    pub requests_per_failing_endpoint: usize,
    /// Requests under way in all.
    pub requests: usize,
    /// Of these, how many are kept for endpoints that have none in flight: others, however many
    /// of them hang, leave them room.
    pub requests_reserved: usize,
    /// Attempts at one endpoint whose outcome is not committed: those under way, and those that
    /// have ended. A crash repeats them. A commit under load takes many times as long as a
    /// request: with too few of these, requests wait for commits.
    pub in_flight_per_endpoint: usize,
    /// The same in all.
    pub in_flight: usize,
    /// Deliveries of one endpoint held in memory.
    pub waiting_per_endpoint: usize,
    /// Deliveries held in memory in all: many endpoints share it evenly.
    pub waiting: usize,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        SchedulerLimits {
            requests_per_endpoint: 64,
            requests_per_failing_endpoint: 4,
            requests: 2_048,
            requests_reserved: 1_024,
            in_flight_per_endpoint: 512,
            in_flight: 4_096,
            waiting_per_endpoint: 512,
            waiting: 65_536,
        }
    }
}

impl SchedulerLimits {
    /// How many requests may be under way in all for this endpoint to begin another.
    fn requests_for(&self, queue: &Queue) -> usize {
        match queue.in_flight.is_empty() {
            true => self.requests,
            false => self.requests.saturating_sub(self.requests_reserved),
        }
    }
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Attempt this delivery. [`Scheduler::finished`] must follow; [`Scheduler::ended`] should
    /// come before it, as soon as the request is over.
    Send(Box<Delivery>),
    /// Fetch up to `limit` waiting deliveries after a key. [`Scheduler::fetched`] must follow.
    Fetch {
        /// Whose.
        endpoint_id: EndpointId,
        /// Tells the answers of different fetches apart.
        fetch_id: u64,
        /// After which.
        after: DueKey,
        /// How many.
        limit: usize,
    },
    /// Read this delivery again. [`Scheduler::reloaded`] must follow.
    Reload {
        /// Whose it is.
        organization_id: OrganizationId,
        /// Where it goes.
        endpoint_id: EndpointId,
        /// Which.
        delivery_id: DeliveryId,
    },
}

/// How an attempt ended, as far as pacing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The receiver answered 2xx.
    Good,
    /// It did not.
    Bad,
}

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
    /// How many of these are under way.
    under_way: usize,
    reloads: Vec<Effect>,
    /// What records up to here say was in the database when the scheduler began.
    as_of: Position,
    /// The last record that scheduled something.
    last_scheduled: Position,
}

#[derive(Debug, Default)]
struct Queue {
    /// What has been read from the database ahead of the log's tail.
    seen: SeenPages,
    waiting: BTreeMap<DueKey, Delivery>,
    /// What somebody has asked for; it waits for no pause. In memory beside the rest, also if its
    /// key is above it.
    requested: BTreeMap<DueKey, Delivery>,
    /// Where in one of these two a delivery is.
    keys: HashMap<DeliveryId, DueKey>,
    rest: Option<Rest>,
    fetching: Option<Fetching>,
    fetches: u64,
    in_flight: HashMap<DeliveryId, Phase>,
    /// How many of these have ended.
    ended: usize,
    /// Being read again; neither waiting nor in flight. True: and once more after that.
    reloading: HashMap<DeliveryId, bool>,
    /// In flight, and to be read again afterwards: something else happened to them.
    reload_when_finished: HashSet<DeliveryId>,
    /// Nothing is sent, whatever caused it.
    closed: bool,
    pace: Pace,
    has_turn: bool,
    alarm: Option<Timestamp>,
    failures_in_a_row: u32,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    UnderWay,
    /// The request is over; the outcome is not committed.
    Ended,
}

/// The part of a queue that is not in memory.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// Everything up to this key is in memory; nothing above it is.
    after: DueKey,
    /// Nothing of it is due before.
    due: Timestamp,
}

/// What happens while a fetch is under way, which its answer may not know of.
#[derive(Debug)]
struct Fetching {
    id: u64,
    after: DueKey,
    /// Deliveries that moved; what the answer says of them is stale.
    moved: HashSet<DeliveryId>,
    /// The least key that was left to the database meanwhile; the answer may lack it.
    left_out: Option<DueKey>,
}

impl Scheduler {
    /// No queues yet. What is in the database as of a position is told by
    /// [`found_waiting`](Self::found_waiting).
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

    /// Deliveries wait for this endpoint in the database, the earliest from `due` on.
    pub fn found_waiting(&mut self, endpoint_id: EndpointId, due: Timestamp) {
        let queue = self.queues.entry(endpoint_id).or_default();
        queue.leave_to_database(DueKey::MIN, due);
        self.give_turn(endpoint_id);
    }

    /// A delivery waits: the record at `position` has scheduled it.
    pub fn scheduled(&mut self, delivery: Delivery, position: Position) {
        let endpoint_id = delivery.endpoint_id;
        let share = self.share();
        self.last_scheduled = self.last_scheduled.max(position);
        let queue = self.queues.entry(endpoint_id).or_default();
        queue.seen.forget_up_to(position);
        let key = due_key(&delivery);
        if position <= self.as_of || key.is_some_and(|key| queue.seen.contains(position, key)) {
            // Read from the database before the record was: attempted already, maybe.
            return;
        }
        queue.insert(delivery, share);
        self.give_turn(endpoint_id);
    }

    /// Something else happened to a delivery (a manual retry was asked for, it was cancelled):
    /// what is known of it is stale.
    pub fn changed(
        &mut self,
        organization_id: &OrganizationId,
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
    ) {
        let queue = self.queues.entry(endpoint_id).or_default();
        queue.moved(delivery_id);
        if queue.in_flight.contains_key(&delivery_id) {
            queue.reload_when_finished.insert(delivery_id);
            return;
        }
        queue.remove(delivery_id);
        match queue.reloading.get_mut(&delivery_id) {
            Some(again) => *again = true,
            None => {
                queue.reloading.insert(delivery_id, false);
                let organization_id = organization_id.clone();
                self.reloads.push(Effect::Reload { organization_id, endpoint_id, delivery_id });
            }
        }
    }

    /// A replay has begun a delivery's schedule anew: it is due, as its row says.
    ///
    /// It is left to the database, to be fetched together with what comes after it: a replay
    /// resumes many, and to read each of them would cost a query each.
    pub fn resumed(
        &mut self,
        organization_id: &OrganizationId,
        endpoint_id: EndpointId,
        key: DueKey,
    ) {
        let queue = self.queues.entry(endpoint_id).or_default();
        let delivery_id = key.delivery_id;
        if queue.in_flight.contains_key(&delivery_id) || queue.reloading.contains_key(&delivery_id)
        {
            // What becomes of it then may be of before.
            return self.changed(organization_id, endpoint_id, delivery_id);
        }
        // While it is closed, all of it is in the database anyway.
        if !queue.closed {
            queue.leave_to_database(just_before(key), key.due_time);
        }
        self.give_turn(endpoint_id);
    }

    /// The answer to [`Effect::Reload`]: the row as it stands.
    pub fn reloaded(&mut self, delivery: Delivery) {
        let (endpoint_id, delivery_id) = (delivery.endpoint_id, delivery.id);
        let share = self.share();
        let queue = self.queues.entry(endpoint_id).or_default();
        if queue.reloading.remove(&delivery_id) == Some(true) {
            self.changed(&delivery.organization_id, endpoint_id, delivery_id);
            return;
        }
        queue.insert(delivery, share);
        self.give_turn(endpoint_id);
    }

    /// An attempt's request is over: the next may begin. Its outcome is yet to be committed.
    pub fn ended(&mut self, endpoint_id: EndpointId, delivery_id: DeliveryId, health: Health) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        let Some(phase @ Phase::UnderWay) = queue.in_flight.get_mut(&delivery_id) else { return };
        *phase = Phase::Ended;
        self.under_way -= 1;
        queue.ended += 1;
        queue.failures_in_a_row = match health {
            Health::Good => 0,
            Health::Bad => queue.failures_in_a_row.saturating_add(1),
        };
        queue.pace.ended(health, self.limits.requests_per_endpoint);
        self.give_turn(endpoint_id);
    }

    /// An attempt's outcome is committed: the delivery as it is after it.
    pub fn finished(&mut self, delivery: Delivery) {
        let (endpoint_id, delivery_id) = (delivery.endpoint_id, delivery.id);
        let share = self.share();
        let queue = self.queues.entry(endpoint_id).or_default();
        if let Some(phase) = queue.in_flight.remove(&delivery_id) {
            self.in_flight -= 1;
            match phase {
                Phase::UnderWay => self.under_way -= 1,
                Phase::Ended => queue.ended -= 1,
            }
        }
        queue.moved(delivery_id);
        if queue.reload_when_finished.remove(&delivery_id) {
            self.changed(&delivery.organization_id, endpoint_id, delivery_id);
        } else {
            queue.insert(delivery, share);
        }
        self.give_turn(endpoint_id);
    }

    /// The answer to [`Effect::Fetch`]: waiting deliveries in order, at most `limit`.
    pub fn fetched(&mut self, endpoint_id: EndpointId, fetch_id: u64, page: DuePage, limit: usize) {
        let share = self.share();
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        let Some(fetching) = queue.fetching.take_if(|fetching| fetching.id == fetch_id) else {
            return;
        };
        let DuePage { as_of, deliveries: page } = page;
        queue.seen.add(as_of, fetching.after);
        // Everything after the page is left to the database, and so is what was left out.
        let last_of_full_page = page.last().filter(|_| page.len() >= limit).and_then(due_key);
        queue.rest = last_of_full_page.map(|after| Rest { after, due: after.due_time });
        if let Some(left_out) = fetching.left_out {
            queue.leave_to_database(just_before(left_out), left_out.due_time);
        }
        for delivery in page {
            let known = queue.in_flight.contains_key(&delivery.id)
                || queue.reloading.contains_key(&delivery.id)
                || queue.keys.contains_key(&delivery.id)
                || fetching.moved.contains(&delivery.id);
            if !known {
                queue.insert(delivery, share);
            }
        }
        self.give_turn(endpoint_id);
    }

    /// The fetch failed; it will be asked for again.
    pub fn fetch_failed(&mut self, endpoint_id: EndpointId, fetch_id: u64) {
        if let Some(queue) = self.queues.get_mut(&endpoint_id) {
            queue.fetching.take_if(|fetching| fetching.id == fetch_id);
            self.give_turn(endpoint_id);
        }
    }

    /// The receiver asks to be left alone until then: automatic attempts wait, and then begin
    /// with one as a probe. Of several pauses the one that ends last counts.
    pub fn pause(&mut self, endpoint_id: EndpointId, until: Timestamp) {
        self.queues.entry(endpoint_id).or_default().pace.pause(until);
        self.give_turn(endpoint_id);
    }

    /// Whatever the receiver asked for does not count any more.
    pub fn end_pause(&mut self, endpoint_id: EndpointId) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        queue.pace = Pace::Full;
        self.give_turn(endpoint_id);
    }

    /// Stops sending to an endpoint. What waits, waits in the database.
    pub fn close(&mut self, endpoint_id: EndpointId) {
        let queue = self.queues.entry(endpoint_id).or_default();
        queue.closed = true;
        queue.forget_waiting();
    }

    /// Sends to an endpoint again.
    pub fn open(&mut self, endpoint_id: EndpointId) {
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return };
        queue.failures_in_a_row = 0;
        if std::mem::take(&mut queue.closed) {
            queue.leave_to_database(DueKey::MIN, Timestamp::MIN);
            self.give_turn(endpoint_id);
        }
    }

    /// When [`poll`](Self::poll) will next have something to do, if nothing happens before.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(time, _)| *time)
    }

    /// How many attempts are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many of these have their request under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many deliveries are held in memory.
    pub fn waiting_in_memory(&self) -> usize {
        self.queues.values().map(Queue::in_memory).sum()
    }

    /// What is to be done now. Endpoints take turns, so that none waits for another's backlog.
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
        // Whoever still has something to send when the shard is full keeps its turn.
        let mut kept = VecDeque::new();
        while let Some(endpoint_id) = self.turns.pop_front() {
            match self.take_turn(endpoint_id, now, &mut effects) {
                Turn::Over => {}
                Turn::Again => self.turns.push_back(endpoint_id),
                Turn::ShardFull => kept.push_back(endpoint_id),
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
    ) -> Turn {
        /// How many attempts an endpoint may begin before it is the next one's turn.
        const PER_TURN: usize = 8;
        let limit = self.share();
        let Some(queue) = self.queues.get_mut(&endpoint_id) else { return Turn::Over };
        queue.pace.pass(now);
        let room = queue.room(&self.limits);
        let is_full = |queue: &Queue, in_flight, under_way| {
            in_flight >= self.limits.in_flight || under_way >= self.limits.requests_for(queue)
        };
        let mut sent = 0;
        while !queue.closed
            && sent < room.min(PER_TURN)
            && !is_full(queue, self.in_flight, self.under_way)
        {
            let Some(delivery) = queue.take_due(now) else { break };
            queue.in_flight.insert(delivery.id, Phase::UnderWay);
            queue.moved(delivery.id);
            self.in_flight += 1;
            self.under_way += 1;
            sent += 1;
            effects.push(Effect::Send(Box::new(delivery)));
        }
        effects.extend(queue.begin_fetch(endpoint_id, now, limit));
        if room > sent && queue.has_due(now) {
            return match is_full(queue, self.in_flight, self.under_way) {
                true => Turn::ShardFull,
                false => Turn::Again,
            };
        }
        queue.has_turn = false;
        // With no room, the next attempt to end or to be committed gives the next turn.
        let alarm = if room > sent { queue.next_due(limit) } else { None };
        if queue.alarm != alarm {
            let old = std::mem::replace(&mut queue.alarm, alarm);
            old.map(|time| self.alarms.remove(&(time, endpoint_id)));
            alarm.map(|time| self.alarms.insert((time, endpoint_id)));
        }
        // A queue that has read ahead of the log must not forget that it has.
        if queue.is_idle() && queue.seen.is_up_to(self.last_scheduled) {
            self.queues.remove(&endpoint_id);
        }
        Turn::Over
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

/// Pages that were read from the database, as far as they are ahead of the log's tail: a
/// delivery on one of them must not be taken for new when the tail comes to its record.
///
/// A page shows what lies above `after` as of a position. Kept in ascending order of both: a
/// page that was read later and from further below shows all that an earlier one does.
#[derive(Debug, Default)]
struct SeenPages(VecDeque<(Position, DueKey)>);

impl SeenPages {
    fn add(&mut self, as_of: Position, after: DueKey) {
        while self.0.back().is_some_and(|(_, earlier)| *earlier >= after) {
            self.0.pop_back();
        }
        self.0.push_back((as_of, after));
    }

    fn contains(&self, position: Position, key: DueKey) -> bool {
        let first = self.0.partition_point(|(as_of, _)| *as_of < position);
        self.0.get(first).is_some_and(|(_, after)| key > *after)
    }

    fn forget_up_to(&mut self, position: Position) {
        while self.0.front().is_some_and(|(as_of, _)| *as_of < position) {
            self.0.pop_front();
        }
    }

    fn is_up_to(&self, position: Position) -> bool {
        self.0.back().is_none_or(|(as_of, _)| *as_of <= position)
    }
}

enum Turn {
    Over,
    Again,
    ShardFull,
}

impl Queue {
    /// Puts a waiting delivery where it belongs: in memory, or left to the database.
    fn insert(&mut self, delivery: Delivery, share: usize) {
        self.remove(delivery.id);
        let Some(key) = due_key(&delivery) else { return };
        if delivery.due_trigger() != Trigger::Automatic
            && !self.closed
            && self.requested.len() < share / 2
        {
            self.keys.insert(delivery.id, key);
            self.requested.insert(key, delivery);
            return self.shrink(share);
        }
        if self.closed || self.rest.is_some_and(|rest| key > rest.after) {
            self.leave_out(key);
            return;
        }
        self.keys.insert(delivery.id, key);
        self.waiting.insert(key, delivery);
        self.shrink(share);
    }

    /// Leaves to the database what is more than the endpoint's share of the memory.
    fn shrink(&mut self, share: usize) {
        while self.in_memory() > share {
            let Some((last, delivery)) = self.waiting.pop_last() else { break };
            self.keys.remove(&delivery.id);
            self.leave_to_database(just_before(last), last.due_time);
        }
    }

    fn remove(&mut self, delivery_id: DeliveryId) {
        if let Some(key) = self.keys.remove(&delivery_id) {
            self.waiting.remove(&key);
            self.requested.remove(&key);
        }
    }

    /// What is above `after` is only in the database from now on.
    fn leave_to_database(&mut self, after: DueKey, due: Timestamp) {
        let rest = self.rest.get_or_insert(Rest { after, due });
        rest.after = rest.after.min(after);
        rest.due = rest.due.min(due);
        let above = self.waiting.split_off(&after);
        for (key, delivery) in above {
            if key > after {
                self.keys.remove(&delivery.id);
            } else {
                self.waiting.insert(key, delivery);
            }
        }
        if let Some(fetching) = &mut self.fetching {
            let left_out = just_after(after);
            fetching.left_out =
                Some(fetching.left_out.map_or(left_out, |least| least.min(left_out)));
        }
    }

    fn leave_out(&mut self, key: DueKey) {
        if let Some(rest) = &mut self.rest {
            rest.due = rest.due.min(key.due_time);
        }
        if let Some(fetching) = &mut self.fetching {
            fetching.left_out = Some(fetching.left_out.map_or(key, |least| least.min(key)));
        }
    }

    fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.requested.clear();
        self.keys.clear();
        self.rest = None;
        // The answer of a fetch that is under way is not wanted any more.
        self.fetching = None;
    }

    fn moved(&mut self, delivery_id: DeliveryId) {
        if let Some(fetching) = &mut self.fetching {
            fetching.moved.insert(delivery_id);
        }
    }

    fn take_due(&mut self, now: Timestamp) -> Option<Delivery> {
        let is_due = |key: &DueKey| key.due_time <= now;
        let requested = self.requested.first_entry().filter(|entry| is_due(entry.key()));
        let entry = match requested {
            Some(entry) => entry,
            None if self.pace.room(self.in_flight.len() - self.ended) == 0 => return None,
            None => self.waiting.first_entry().filter(|entry| is_due(entry.key()))?,
        };
        let delivery = entry.remove();
        self.keys.remove(&delivery.id);
        Some(delivery)
    }

    fn has_due(&self, now: Timestamp) -> bool {
        self.next_in_memory().is_some_and(|due| due <= now)
    }

    /// When the next of what is in memory may be sent. None: nothing may, or not before another
    /// attempt has ended.
    fn next_in_memory(&self) -> Option<Timestamp> {
        let first = |queue: &BTreeMap<DueKey, Delivery>| {
            queue.first_key_value().map(|(key, _)| key.due_time)
        };
        let automatic = first(&self.waiting).and_then(|due| self.pace.next(due, self.under_way()));
        let next = [first(&self.requested), automatic].into_iter().flatten().min();
        next.filter(|_| !self.closed)
    }

    fn next_due(&self, share: usize) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        // During a pause what is in memory is not used up, and nothing is fetched after it.
        let is_fetched =
            self.fetching.is_none() && (self.pace == Pace::Full || self.runs_low(share));
        let in_database = self.rest.filter(|_| is_fetched).map(|rest| rest.due);
        [self.next_in_memory(), in_database].into_iter().flatten().min()
    }

    fn begin_fetch(
        &mut self,
        endpoint_id: EndpointId,
        now: Timestamp,
        share: usize,
    ) -> Option<Effect> {
        let rest = self.rest.filter(|rest| rest.due <= now)?;
        if self.closed || self.fetching.is_some() || !self.runs_low(share) {
            return None;
        }
        self.fetches += 1;
        let fetch_id = self.fetches;
        self.fetching = Some(Fetching {
            id: fetch_id,
            after: rest.after,
            moved: HashSet::new(),
            left_out: None,
        });
        // Those in flight still have their row, and would take places on the page.
        let limit = share + self.in_flight.len();
        Some(Effect::Fetch { endpoint_id, fetch_id, after: rest.after, limit })
    }

    /// Whether what is in memory will soon be used up.
    fn runs_low(&self, share: usize) -> bool {
        self.waiting.len() <= share / 4
    }

    fn in_memory(&self) -> usize {
        self.waiting.len() + self.requested.len()
    }

    /// How many requests are under way.
    fn under_way(&self) -> usize {
        self.in_flight.len() - self.ended
    }

    /// How many more attempts may begin, whatever causes them.
    fn room(&self, limits: &SchedulerLimits) -> usize {
        let most = limits.requests_per_endpoint;
        let least = limits.requests_per_failing_endpoint.min(most);
        let requests = (most >> self.failures_in_a_row.min(16)).clamp(least, most);
        let uncommitted = limits.in_flight_per_endpoint.saturating_sub(self.in_flight.len());
        requests.saturating_sub(self.under_way()).min(uncommitted)
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.requested.is_empty()
            && self.rest.is_none()
            && self.fetching.is_none()
            && self.in_flight.is_empty()
            && self.reloading.is_empty()
            && !self.closed
            && self.pace == Pace::Full
            && self.failures_in_a_row == 0
    }
}

fn due_key(delivery: &Delivery) -> Option<DueKey> {
    Some(DueKey { due_time: delivery.due_time()?, delivery_id: delivery.id })
}

/// The greatest key below `key`.
fn just_before(key: DueKey) -> DueKey {
    match key.delivery_id.ulid().0.checked_sub(1) {
        Some(ulid) => DueKey { delivery_id: DeliveryId::new(Ulid(ulid)), ..key },
        None => {
            let earlier = key.due_time.checked_sub(jiff::SignedDuration::from_micros(1));
            DueKey { due_time: earlier.unwrap_or(Timestamp::MIN), delivery_id: DeliveryId::MAX }
        }
    }
}

/// The least key above `key`.
fn just_after(key: DueKey) -> DueKey {
    match key.delivery_id.ulid().0.checked_add(1) {
        Some(ulid) => DueKey { delivery_id: DeliveryId::new(Ulid(ulid)), ..key },
        None => {
            let later = key.due_time.checked_add(jiff::SignedDuration::from_micros(1));
            DueKey { due_time: later.unwrap_or(Timestamp::MAX), delivery_id: DeliveryId::MIN }
        }
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
