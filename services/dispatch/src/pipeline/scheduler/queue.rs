//! The queue of one endpoint: its beginning in memory, and what is left to the database.

use std::collections::{BTreeMap, HashMap, HashSet};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::{DueKey, DuePage};
use ulid::Ulid;

use super::effect::{AttemptEnd, Effect};
use super::limits::SchedulerLimits;
use super::pace::Pace;
use super::pages_ahead::PagesAhead;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pages_ahead: PagesAhead,
    /// Manual retries and tests come first: they have been due since
    /// [`DUE_IMMEDIATELY`](keeptrusts_webhooks_domain::delivery::DUE_IMMEDIATELY).
    waiting: BTreeMap<DueKey, Delivery>,
    /// Goes first when a pause is over: a delivery that came back during it. It is in memory beside
    /// the others, even if its key is above theirs.
    probe: Option<Delivery>,
    /// The keys of all deliveries in memory.
    keys: HashMap<DeliveryId, DueKey>,
    rest: Option<Rest>,
    fetching: Option<Fetch>,
    fetches: u64,
    in_flight: HashMap<DeliveryId, Phase>,
    /// How many of these have ended their request.
    ended: usize,
    /// Being read again; neither waiting nor in flight. True: to be read once more after that.
    reloading: HashMap<DeliveryId, bool>,
    /// In flight, and to be read again afterwards because something else happened to them.
    pub(super) reload_when_finished: HashSet<DeliveryId>,
    /// Nothing is sent, whatever its trigger.
    closed: bool,
    pub(super) pace: Pace,
    pub(super) has_turn: bool,
    pub(super) alarm: Option<Timestamp>,
    failures_in_a_row: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    UnderWay,
    /// The request is over; the outcome is not committed.
    Ended,
}

/// The part of a queue that is not in memory.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// Everything up to this key is in memory; nothing above it is.
    after: DueKey,
    /// Nothing of it is due earlier.
    due: Timestamp,
}

/// A fetch that is under way, and what has happened since that its answer may not contain.
#[derive(Debug)]
struct Fetch {
    id: u64,
    after: DueKey,
    /// Deliveries whose state has changed; the answer's rows of them are stale.
    moved: HashSet<DeliveryId>,
    /// The least key that was left to the database meanwhile; the answer may lack it.
    left_out: Option<DueKey>,
}

impl Queue {
    /// Whether the delivery was fetched before the tail of the log came to `position`, where it was
    /// scheduled. Forgets the pages up to there.
    pub(super) fn was_fetched(&mut self, delivery: &Delivery, position: Position) -> bool {
        self.pages_ahead.forget_up_to(position);
        due_key(delivery).is_some_and(|key| self.pages_ahead.contains(position, key))
    }

    /// A delivery's known state is stale. Returns whether it has to be read again now.
    pub(super) fn changed(&mut self, delivery_id: DeliveryId) -> bool {
        self.note_move(delivery_id);
        if self.in_flight.contains_key(&delivery_id) {
            self.reload_when_finished.insert(delivery_id);
            return false;
        }
        self.remove(delivery_id);
        match self.reloading.get_mut(&delivery_id) {
            Some(again) => {
                *again = true;
                false
            }
            None => {
                self.reloading.insert(delivery_id, false);
                true
            }
        }
    }

    /// A delivery was read again. Returns whether it has changed meanwhile.
    pub(super) fn reloaded(&mut self, delivery_id: DeliveryId) -> bool {
        self.reloading.remove(&delivery_id) == Some(true)
    }

    /// A delivery that is neither in flight nor being read again waits at `key`, and is left to the
    /// database.
    pub(super) fn resumed(&mut self, key: DueKey) {
        // While the queue is closed, all of it is in the database anyway.
        if !self.closed {
            self.leave_to_database(just_before(key), key.due_time);
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, delivery_id: DeliveryId) {
        self.in_flight.insert(delivery_id, Phase::UnderWay);
        self.note_move(delivery_id);
    }

    /// A request is over. Returns whether it was under way.
    pub(super) fn request_ended(
        &mut self,
        delivery_id: DeliveryId,
        end: AttemptEnd,
        limits: &SchedulerLimits,
    ) -> bool {
        let Some(phase @ Phase::UnderWay) = self.in_flight.get_mut(&delivery_id) else {
            return false;
        };
        *phase = Phase::Ended;
        self.ended += 1;
        self.failures_in_a_row = match end {
            AttemptEnd::Succeeded => 0,
            AttemptEnd::Failed => self.failures_in_a_row.saturating_add(1),
        };
        self.pace.note_attempt(end, limits.requests_per_endpoint);
        true
    }

    /// An attempt's outcome is committed. Returns the attempt's phase before.
    pub(super) fn outcome_committed(&mut self, delivery_id: DeliveryId) -> Option<Phase> {
        self.note_move(delivery_id);
        let phase = self.in_flight.remove(&delivery_id)?;
        self.ended -= usize::from(phase == Phase::Ended);
        Some(phase)
    }

    /// Stops sending. Waiting deliveries stay in the database.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.probe = None;
        self.keys.clear();
        self.rest = None;
        // The answer to a fetch that is under way is not wanted any more.
        self.fetching = None;
    }

    /// Sends again, without remembering failures. Returns whether it was closed.
    pub(super) fn open(&mut self) -> bool {
        self.failures_in_a_row = 0;
        let was_closed = std::mem::take(&mut self.closed);
        if was_closed {
            self.leave_to_database(DueKey::MIN, Timestamp::MIN);
        }
        was_closed
    }

    /// Puts a delivery back whose attempt has ended.
    ///
    /// A receiver that asks for a pause has not accepted the event that it was sent. If that
    /// delivery waits no longer than the pause, it becomes the probe, before everything newer; of
    /// several candidates, the one with the oldest event.
    pub(super) fn reinsert(&mut self, delivery: Delivery, share: usize) {
        let is_due_then = |until| delivery.due_time().is_some_and(|due| due <= until);
        let is_older = self.probe.as_ref().is_none_or(|it| delivery.event_id < it.event_id);
        if self.closed
            || !waits_for_a_pause(&delivery)
            || !is_older
            || !self.pace.paused_until().is_some_and(is_due_then)
        {
            return self.insert(delivery, share);
        }
        self.remove(delivery.id);
        self.keys.extend(due_key(&delivery).map(|key| (delivery.id, key)));
        if let Some(newer) = self.probe.replace(delivery) {
            self.insert(newer, share);
        }
        self.shrink(share);
    }

    /// Puts a waiting delivery where it belongs: in memory, or left to the database.
    pub(super) fn insert(&mut self, delivery: Delivery, share: usize) {
        self.remove(delivery.id);
        let Some(key) = due_key(&delivery) else { return };
        if self.closed || self.rest.is_some_and(|rest| key > rest.after) {
            self.leave_out(key);
            return;
        }
        self.keys.insert(delivery.id, key);
        self.waiting.insert(key, delivery);
        self.shrink(share);
    }

    /// Leaves to the database what exceeds the endpoint's share of memory.
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
            self.probe.take_if(|probe| probe.id == delivery_id);
        }
    }

    /// Everything above `after` is only in the database from now on.
    pub(super) fn leave_to_database(&mut self, after: DueKey, due: Timestamp) {
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

    fn note_move(&mut self, delivery_id: DeliveryId) {
        if let Some(fetching) = &mut self.fetching {
            fetching.moved.insert(delivery_id);
        }
    }

    /// Takes the next delivery that is due and may be sent.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Delivery> {
        let may_be_sent =
            |delivery: &&Delivery| self.may_be_sent_at(delivery).is_some_and(|time| time <= now);
        let first = self.waiting.first_key_value().map(|(_, delivery)| delivery);
        let on_request = first.filter(|delivery| !waits_for_a_pause(delivery));
        let next =
            [on_request, self.probe.as_ref(), first].into_iter().flatten().find(may_be_sent)?;
        let id = next.id;
        let key = self.keys.remove(&id)?;
        self.probe.take_if(|probe| probe.id == id).or_else(|| self.waiting.remove(&key))
    }

    /// Whether something is due that may be sent.
    pub(super) fn has_due(&self, now: Timestamp) -> bool {
        self.next_in_memory().is_some_and(|due| due <= now)
    }

    /// When the next delivery in memory may be sent. None: none may, or not before another attempt
    /// has ended.
    fn next_in_memory(&self) -> Option<Timestamp> {
        let first = self.waiting.first_key_value().map(|(_, delivery)| delivery);
        let next = [first, self.probe.as_ref()].into_iter().flatten();
        next.filter_map(|delivery| self.may_be_sent_at(delivery)).min()
    }

    /// When a delivery in memory may be sent. None: not before another attempt has ended, or the
    /// queue is opened.
    fn may_be_sent_at(&self, delivery: &Delivery) -> Option<Timestamp> {
        let due = delivery.due_time().filter(|_| !self.closed)?;
        match waits_for_a_pause(delivery) {
            true => self.pace.next(due, self.under_way()),
            false => Some(due),
        }
    }

    /// When the next turn is useful. None: when an attempt has ended.
    pub(super) fn next_due(&self, share: usize) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        // During a pause the deliveries in memory are not used up, and no more are fetched.
        let is_fetched =
            self.fetching.is_none() && (self.pace == Pace::Full || self.runs_low(share));
        let in_database = self.rest.filter(|_| is_fetched).map(|rest| rest.due);
        [self.next_in_memory(), in_database].into_iter().flatten().min()
    }

    /// Fetches what follows the deliveries in memory, if it is due and will soon be needed.
    pub(super) fn begin_fetch(
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
        self.fetching =
            Some(Fetch { id: fetch_id, after: rest.after, moved: HashSet::new(), left_out: None });
        // Those in flight still have their row, and take places on the page.
        let limit = share + self.in_flight.len();
        Some(Effect::Fetch { endpoint_id, fetch_id, after: rest.after, limit })
    }

    /// The answer to a fetch of at most `limit`. Returns whether it is still wanted.
    pub(super) fn fetched(
        &mut self,
        fetch_id: u64,
        page: DuePage,
        limit: usize,
        share: usize,
    ) -> bool {
        let Some(fetching) = self.fetching.take_if(|fetching| fetching.id == fetch_id) else {
            return false;
        };
        let DuePage { as_of, deliveries: page } = page;
        self.pages_ahead.add(as_of, fetching.after);
        // Everything after the page is left to the database, and so is what was left out.
        let last_of_full_page = page.last().filter(|_| page.len() >= limit).and_then(due_key);
        self.rest = last_of_full_page.map(|after| Rest { after, due: after.due_time });
        if let Some(left_out) = fetching.left_out {
            self.leave_to_database(just_before(left_out), left_out.due_time);
        }
        for delivery in page {
            let known = self.is_in_flight_or_reloading(delivery.id)
                || self.keys.contains_key(&delivery.id)
                || fetching.moved.contains(&delivery.id);
            if !known {
                self.insert(delivery, share);
            }
        }
        true
    }

    /// Whether the deliveries in memory will soon be used up.
    fn runs_low(&self, share: usize) -> bool {
        self.waiting.len() <= share / 4
    }

    pub(super) fn in_memory(&self) -> usize {
        self.waiting.len() + usize::from(self.probe.is_some())
    }

    /// How many requests are under way.
    fn under_way(&self) -> usize {
        self.in_flight.len() - self.ended
    }

    /// How many more attempts may begin, whatever their trigger.
    pub(super) fn room(&self, limits: &SchedulerLimits) -> usize {
        let most = limits.requests_per_endpoint;
        let least = limits.requests_per_failing_endpoint.min(most);
        let requests = (most >> self.failures_in_a_row.min(16)).clamp(least, most);
        let uncommitted = limits.in_flight_per_endpoint.saturating_sub(self.in_flight.len());
        requests.saturating_sub(self.under_way()).min(uncommitted)
    }

    /// Whether its state is unknown until its outcome is committed or it is read again.
    pub(super) fn is_in_flight_or_reloading(&self, delivery_id: DeliveryId) -> bool {
        self.in_flight.contains_key(&delivery_id) || self.reloading.contains_key(&delivery_id)
    }

    pub(super) fn has_none_in_flight(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether the queue may be dropped. One that has fetched ahead of the log (as of the last
    /// record that scheduled something) must remember that.
    pub(super) fn is_idle(&self, last_scheduled: Position) -> bool {
        self.waiting.is_empty()
            && self.probe.is_none()
            && self.rest.is_none()
            && self.fetching.is_none()
            && self.in_flight.is_empty()
            && self.reloading.is_empty()
            && !self.closed
            && self.pace == Pace::Full
            && self.failures_in_a_row == 0
            && self.pages_ahead.is_up_to(last_scheduled)
    }
}

/// Whether a receiver's pause applies to it. Manual retries and tests are sent all the same.
fn waits_for_a_pause(delivery: &Delivery) -> bool {
    delivery.due_trigger() == Trigger::Automatic
}

pub(super) fn due_key(delivery: &Delivery) -> Option<DueKey> {
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
