//! A model of everything that can happen to a scheduler, in random order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::ids::EventId;
use proptest::prelude::*;

use super::queue::due_key;
use super::tests::{BEGIN, LIMITS, at, delivery, endpoint, organization};
use super::*;

/// A database with one row for each waiting delivery, and reads that return late.
struct Model {
    scheduler: Scheduler,
    now: i64,
    position: i64,
    rows: BTreeMap<DeliveryId, Delivery>,
    in_flight: HashMap<DeliveryId, Delivery>,
    /// Deliveries after committed outcomes that the scheduler has not been given yet.
    unreported: Vec<Outcome>,
    /// Results of reads that the scheduler has not been given yet.
    read_results: Vec<ReadResult>,
    /// Records that the tail of the log has not come to.
    unread_records: Vec<UnreadRecord>,
    attempts: usize,
    /// When the pauses of endpoints end.
    pauses: BTreeMap<EndpointId, i64>,
    /// The events of deliveries that came back during a pause and wait no longer than it.
    answered: BTreeMap<EndpointId, BTreeSet<EventId>>,
    /// To be read again when their attempt has ended, because the tail came to their resumption
    /// only then.
    read_again: BTreeSet<DeliveryId>,
}

#[allow(clippy::large_enum_variant, reason = "the model has few of them")]
enum UnreadRecord {
    Scheduled(Delivery, Position),
    Resumed(EndpointId, DueKey),
}

#[allow(clippy::large_enum_variant, reason = "the model has few of them")]
enum ReadResult {
    Page(EndpointId, u64, DuePage, usize),
    Row(Delivery),
}

/// A delivery after an attempt.
struct Outcome {
    delivery: Delivery,
    trigger: Trigger,
}

#[derive(Debug, Clone)]
enum Step {
    Publish { endpoint: u128, delay: i64 },
    Tail,
    EndRequest { which: usize, end: AttemptEnd },
    Commit { which: usize, again: Option<i64> },
    Report,
    ReturnRead { which: usize },
    RequestRetry { which: usize },
    Resume { which: usize },
    Pause { endpoint: u128, seconds: i64 },
    EndPause { endpoint: u128 },
    Wait { seconds: i64 },
    Restart,
}

impl Model {
    fn new() -> Model {
        Model {
            scheduler: Scheduler::new(LIMITS, Position(0)),
            now: 0,
            position: 0,
            rows: BTreeMap::new(),
            in_flight: HashMap::new(),
            unreported: Vec::new(),
            read_results: Vec::new(),
            unread_records: Vec::new(),
            attempts: 0,
            pauses: BTreeMap::new(),
            answered: BTreeMap::new(),
            read_again: BTreeSet::new(),
        }
    }

    fn act(&mut self) {
        for effect in self.scheduler.poll(at(self.now)) {
            match effect {
                Effect::Send(delivery) => {
                    let row = &self.rows[&delivery.id];
                    let counts = (row.attempt_count, delivery.attempt_count);
                    assert_eq!(counts.0, counts.1, "sent from before its last attempt");
                    assert!(
                        row.due_time().is_some_and(|due| due <= at(self.now)),
                        "sent too early"
                    );
                    let pause_end = self.pauses.get(&delivery.endpoint_id).copied();
                    assert!(
                        delivery.due_trigger() != Trigger::Automatic
                            || pause_end.is_none_or(|end| end <= self.now),
                        "sent during a pause"
                    );
                    if delivery.due_trigger() == Trigger::Automatic {
                        let answered = self.answered.remove(&delivery.endpoint_id);
                        let oldest = answered.and_then(|events| events.first().copied());
                        assert!(
                            oldest.is_none_or(|oldest| delivery.event_id <= oldest),
                            "a newer event than the one that was answered goes first"
                        );
                    }
                    self.attempts += 1;
                    let twice = self.in_flight.insert(delivery.id, *delivery);
                    assert!(twice.is_none(), "sent twice at the same time");
                }
                Effect::Fetch { endpoint_id, fetch_id, after, limit } => {
                    let of_endpoint =
                        self.rows.values().filter(|row| row.endpoint_id == endpoint_id);
                    let mut due: Vec<_> =
                        of_endpoint.filter_map(|row| Some((due_key(row)?, row.clone()))).collect();
                    due.sort_by_key(|(key, _)| *key);
                    let page = due.into_iter().filter(|(key, _)| *key > after).take(limit);
                    let deliveries = page.map(|(_, row)| row).collect();
                    let page = DuePage { as_of: Position(self.position), deliveries };
                    self.read_results.push(ReadResult::Page(endpoint_id, fetch_id, page, limit));
                }
                Effect::Reload { delivery_id, .. } => {
                    self.read_results.push(ReadResult::Row(self.rows[&delivery_id].clone()));
                }
            }
        }
        let alarm = self.scheduler.next_alarm();
        assert!(
            alarm.is_none_or(|alarm| alarm > at(self.now)),
            "it would be woken at once, for nothing"
        );
        assert!(self.in_flight.len() <= LIMITS.in_flight);
        assert!(self.scheduler.waiting_in_memory() <= 3 * LIMITS.waiting_per_endpoint);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { endpoint: number, delay } => {
                self.position += 1;
                let id = self.position as u128;
                let delivery = delivery(id, endpoint(number), at(self.now + delay));
                self.rows.insert(delivery.id, delivery.clone());
                self.unread_records
                    .push(UnreadRecord::Scheduled(delivery, Position(self.position)));
            }
            Step::Resume { which } => {
                // A manual attempt may be under way, or be requested already.
                let ended = self.rows.values_mut().filter(|row| row.next_attempt_time.is_none());
                let mut ended: Vec<_> = ended.collect();
                let count = ended.len().max(1);
                let Some(row) = ended.get_mut(which % count) else { return };
                self.position += 1;
                row.version = row.version.next();
                row.next_attempt_time = Some(at(self.now));
                let key = DueKey { due_time: at(self.now), delivery_id: row.id };
                self.unread_records.push(UnreadRecord::Resumed(row.endpoint_id, key));
            }
            Step::Tail => {
                for record in self.unread_records.drain(..) {
                    match record {
                        UnreadRecord::Scheduled(delivery, position) => {
                            self.scheduler.scheduled(delivery, position);
                        }
                        UnreadRecord::Resumed(endpoint_id, key) => {
                            self.read_again.insert(key.delivery_id);
                            self.scheduler.resumed(&organization(), endpoint_id, key);
                        }
                    }
                }
            }
            Step::EndRequest { which, end } => {
                let ids: Vec<_> = self.in_flight.keys().copied().collect();
                if let Some(id) = ids.get(which % ids.len().max(1)) {
                    self.scheduler.request_ended(self.in_flight[id].endpoint_id, *id, end);
                }
            }
            Step::Commit { which, again } => {
                let ids: Vec<_> = self.in_flight.keys().copied().collect();
                if let Some(id) = ids.get(which % ids.len().max(1)) {
                    let sent = self.in_flight.remove(id).expect("in flight");
                    let row = self.rows.get_mut(id).expect("a row");
                    row.version = row.version.next();
                    row.attempt_count += 1;
                    // A retry that was requested meanwhile is still to be made.
                    if sent.retry_request_time.is_some() {
                        row.retry_request_time = None;
                    }
                    // A manual attempt does not change the schedule, which may have been restarted.
                    if sent.next_attempt_time.is_some() {
                        row.next_attempt_time = again.map(|delay| at(self.now + delay));
                    }
                    let trigger = sent.due_trigger();
                    self.unreported.push(Outcome { delivery: row.clone(), trigger });
                }
            }
            Step::Report => {
                for unreported in std::mem::take(&mut self.unreported) {
                    self.note_outcome(&unreported);
                    self.scheduler.outcome_committed(unreported.delivery);
                }
            }
            Step::ReturnRead { which } => {
                if !self.read_results.is_empty() {
                    let answer = self.read_results.remove(which % self.read_results.len());
                    self.deliver(answer);
                }
            }
            Step::RequestRetry { which } => {
                let ids: Vec<_> = self.rows.keys().copied().collect();
                let Some(id) = ids.get(which % ids.len().max(1)) else { return };
                let row = self.rows.get_mut(id).expect("a row");
                row.version = row.version.next();
                row.retry_request_time = Some(at(self.now));
                let row = row.clone();
                // It is read again, and then one of many.
                self.answered.remove(&row.endpoint_id);
                // The log is read in order.
                self.step(Step::Tail);
                self.scheduler.changed(&row.organization_id, row.endpoint_id, row.id);
            }
            Step::Pause { endpoint: number, seconds } => {
                let end = self.now + seconds;
                let known = self.pauses.entry(endpoint(number)).or_insert(end);
                *known = end.max(*known);
                self.scheduler.pause(endpoint(number), at(end));
            }
            Step::EndPause { endpoint: number } => {
                self.pauses.remove(&endpoint(number));
                self.answered.remove(&endpoint(number));
                self.scheduler.end_pause(endpoint(number));
            }
            Step::Wait { seconds } => self.now += seconds,
            Step::Restart => self.restart(),
        }
        self.act();
    }

    /// A delivery's attempt has ended. During a pause it may become the probe.
    fn note_outcome(&mut self, Outcome { delivery, trigger }: &Outcome) {
        let row = &self.rows[&delivery.id];
        let pause_end = self.pauses.get(&delivery.endpoint_id).filter(|end| **end > self.now);
        let is_read_again = self.read_again.remove(&delivery.id);
        if !is_read_again
            && *trigger == Trigger::Automatic
            && row.version == delivery.version
            && delivery.due_trigger() == Trigger::Automatic
            && pause_end.zip(delivery.due_time()).is_some_and(|(end, due)| due <= at(*end))
        {
            self.answered.entry(delivery.endpoint_id).or_default().insert(delivery.event_id);
        }
    }

    fn deliver(&mut self, answer: ReadResult) {
        match answer {
            ReadResult::Page(endpoint_id, fetch_id, page, limit) => {
                self.scheduler.fetched(endpoint_id, fetch_id, page, limit);
            }
            ReadResult::Row(row) => self.scheduler.reloaded(row),
        }
    }

    /// Another owner begins with the database's rows.
    fn restart(&mut self) {
        self.in_flight.clear();
        self.unreported.clear();
        self.answered.clear();
        self.read_again.clear();
        self.read_results.clear();
        self.scheduler = Scheduler::new(LIMITS, Position(self.position));
        let mut earliest = BTreeMap::new();
        for row in self.rows.values() {
            if let Some(due) = row.due_time() {
                let entry = earliest.entry(row.endpoint_id).or_insert(due);
                *entry = due.min(*entry);
            }
        }
        for (endpoint_id, due) in earliest {
            self.scheduler.add_backlog(endpoint_id, due);
        }
        for (endpoint_id, end) in &self.pauses {
            self.scheduler.pause(*endpoint_id, at(*end));
        }
    }

    /// Lets everything end: every receiver answers well from now on.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.step(Step::Tail);
            while !self.read_results.is_empty() {
                self.step(Step::ReturnRead { which: 0 });
            }
            while !self.in_flight.is_empty() {
                self.step(Step::Commit { which: 0, again: None });
            }
            self.step(Step::Report);
            if self.rows.values().all(|row| row.due_time().is_none()) {
                return;
            }
            let is_quiet = self.read_results.is_empty() && self.in_flight.is_empty();
            let is_asked_for = |row: &Delivery| row.retry_request_time.is_some();
            assert!(!is_quiet || !self.rows.values().any(is_asked_for), "a manual retry waits");
            if let Some(alarm) = self.scheduler.next_alarm() {
                self.now = self.now.max(alarm.as_second() - BEGIN);
            }
            self.act();
        }
        let forgotten: Vec<_> = self.rows.values().filter(|row| row.due_time().is_some()).collect();
        panic!("forgotten: {forgotten:?}");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u128, prop_oneof![4 => Just(0), 1 => 0..30_i64])
            .prop_map(|(endpoint, delay)| Step::Publish { endpoint, delay }),
        4 => Just(Step::Tail),
        4 => (any::<usize>(), prop_oneof![Just(AttemptEnd::Succeeded), Just(AttemptEnd::Failed)])
            .prop_map(|(which, end)| Step::EndRequest { which, end }),
        6 => (any::<usize>(), prop_oneof![2 => Just(None), 1 => (0..20_i64).prop_map(Some)])
            .prop_map(|(which, again)| Step::Commit { which, again }),
        6 => Just(Step::Report),
        4 => any::<usize>().prop_map(|which| Step::ReturnRead { which }),
        1 => any::<usize>().prop_map(|which| Step::RequestRetry { which }),
        2 => any::<usize>().prop_map(|which| Step::Resume { which }),
        2 => (0..3_u128, 0..30_i64)
            .prop_map(|(endpoint, seconds)| Step::Pause { endpoint, seconds }),
        1 => (0..3_u128).prop_map(|endpoint| Step::EndPause { endpoint }),
        2 => (0..10_i64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn invariants_3_4_and_9_no_delivery_is_lost_sent_twice_or_kept_beyond_the_limits(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}
