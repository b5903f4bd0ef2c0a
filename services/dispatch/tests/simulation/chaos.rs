//! Everything at once: random receivers, publishers and operators, a database that fails, and
//! processes that die, freeze, stop and start at random moments. Then all faults end, time passes,
//! and the invariants must hold.
//!
//! The printed seed decides what happens. Runs of one seed may differ a little, since ids have
//! random bits of their own.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::SignedDuration;
use keeptrusts_webhooks_dispatch_service::Settings;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::{EndpointCommand, EndpointState};
use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{ReplayScope, ReplaySelection, ReplayState};
use keeptrusts_webhooks_domain::retry::RetrySchedule;
use keeptrusts_webhooks_testkit::random::{Random, seeds};

use crate::world::{EVENT_TYPE, ReceiverAnswer, World, hours, minutes, seconds};

const STEPS: usize = 120;

const SHARDS: u16 = 3;

#[test]
fn chaos_in_one_process() {
    for seed in seeds(0..24) {
        run(seed, async |seed| Chaos::begin(seed, World::embedded().await, &[]).await);
    }
}

#[test]
fn chaos_among_processes_that_share_a_database() {
    for seed in seeds(100..112) {
        run(seed, async |seed| {
            let mut world = World::shared(SHARDS).await;
            for name in PROCESSES {
                world.join(name).await;
            }
            Chaos::begin(seed, world, &PROCESSES).await
        });
    }
}

#[test]
fn chaos_in_one_process_while_clocks_step() {
    for seed in seeds((200..206).chain([20_261_132])) {
        run(seed, async |seed| {
            Chaos::begin(seed, World::embedded().await, &[]).await.with_clock_steps()
        });
    }
}

#[test]
fn chaos_among_processes_while_clocks_step() {
    for seed in seeds(300..304) {
        run(seed, async |seed| {
            let mut world = World::shared(SHARDS).await;
            for name in PROCESSES {
                world.join(name).await;
            }
            Chaos::begin(seed, world, &PROCESSES).await.with_clock_steps()
        });
    }
}

const PROCESSES: [&str; 2] = ["a", "b"];

fn run(seed: u64, begin: impl AsyncFnOnce(u64) -> Chaos) {
    println!("seed {seed}");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut chaos = begin(seed).await;
        for _ in 0..STEPS {
            chaos.step().await;
        }
        chaos.heal().await;
        chaos.check().await;
    });
}

struct Chaos {
    world: World,
    random: Random,
    /// The existing ones, with their names.
    endpoints: BTreeMap<EndpointId, String>,
    acknowledged: Vec<EventId>,
    /// None: the world is embedded. Otherwise each process with its condition.
    processes: BTreeMap<&'static str, Condition>,
    dispatches: bool,
    steps_clocks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Running,
    Frozen,
    Gone,
}

impl Chaos {
    async fn begin(seed: u64, world: World, processes: &[&'static str]) -> Chaos {
        let mut random = Random::of_seed(seed);
        let faults = random.below(12);
        world.database_faults.inject(seed, faults, Duration::from_millis(random.below(30)));
        let processes = processes.iter().map(|name| (*name, Condition::Running)).collect();
        let (endpoints, acknowledged) = (BTreeMap::new(), Vec::new());
        let mut chaos = Chaos {
            world,
            random,
            endpoints,
            acknowledged,
            processes,
            dispatches: true,
            steps_clocks: false,
        };
        for _ in 0..4 {
            chaos.create_endpoint().await;
        }
        chaos
    }

    fn with_clock_steps(self) -> Chaos {
        Chaos { steps_clocks: true, ..self }
    }

    async fn step(&mut self) {
        if self.steps_clocks && self.random.chance(20) {
            self.step_clocks();
        }
        match self.random.below(100) {
            0..35 => self.publish().await,
            35..50 => self.change_receiver(),
            50..60 => self.ask(DeliveryFact::RetryRequested).await,
            60..66 => self.ask(DeliveryFact::CancelRequested).await,
            66..72 => self.disable_or_enable().await,
            72..74 => self.replay_or_cancel().await,
            74..77 => self.create_endpoint().await,
            77..80 => self.delete_endpoint().await,
            _ if self.processes.is_empty() => self.disturb_the_process().await,
            _ => self.disturb_a_process().await,
        }
        let wait = match self.random.below(10) {
            0..3 => Duration::ZERO,
            3..6 => Duration::from_millis(self.random.below(100)),
            6..9 => seconds(self.random.below(15)),
            _ => minutes(self.random.below(8)),
        };
        self.world.pass(wait).await;
    }

    /// By up to three hours, forward or back; of processes, of the database, or of all.
    fn step_clocks(&mut self) {
        const LONGEST_MILLISECONDS: u64 = 3 * 60 * 60 * 1_000;
        let step = SignedDuration::from_millis(self.random.below(LONGEST_MILLISECONDS) as i64);
        let step = if self.random.chance(50) { step } else { -step };
        match self.random.below(3) {
            0 => self.world.step_all_clocks(step),
            1 => self.world.step_database_clock(step),
            _ => self.world.step_process_clocks(step),
        }
    }

    async fn publish(&mut self) {
        for _ in 0..self.random.below(15) {
            let organization = self.pick_organization();
            let published = self.world.try_publish(&organization, EVENT_TYPE).await;
            self.acknowledged.extend(published);
        }
    }

    fn pick_organization(&mut self) -> OrganizationId {
        self.random.pick(&self.world.organizations).expect("there is one").clone()
    }

    fn pick_endpoint(&mut self) -> Option<EndpointId> {
        let ids: Vec<_> = self.endpoints.keys().copied().collect();
        self.random.pick(&ids).copied()
    }

    fn change_receiver(&mut self) {
        let answers = [
            ReceiverAnswer::OK,
            ReceiverAnswer::OK,
            ReceiverAnswer::ERROR,
            ReceiverAnswer::Hang,
            ReceiverAnswer::Refuse,
            ReceiverAnswer::RetryAfter(429, 90),
            ReceiverAnswer::Slow(Duration::from_millis(300)),
            ReceiverAnswer::SlowStatus(seconds(3), 503),
        ];
        let Some(name) = self.pick_endpoint().map(|id| self.endpoints[&id].clone()) else { return };
        let always = *self.random.pick(&answers).expect("there are some");
        self.world.network.always(&name, always);
        // Some alternate before they settle.
        let flaps = (0..self.random.below(6)).filter_map(|_| self.random.pick(&answers).copied());
        let flaps: Vec<_> = flaps.collect();
        self.world.network.next(&name, flaps);
    }

    async fn ask(&mut self, request: DeliveryFact) {
        let deliveries = self.world.all_deliveries().await;
        for _ in 0..1 + self.random.below(3) {
            // Recent ones more often, since they are likely to be under way.
            let recent = &deliveries[..deliveries.len().min(20)];
            let from = if self.random.chance(50) { recent } else { &deliveries };
            if let Some(delivery) = self.random.pick(from) {
                _ = self.world.try_request(delivery.id, request.clone()).await;
            }
        }
    }

    async fn disable_or_enable(&mut self) {
        let Some(id) = self.pick_endpoint() else { return };
        let command = match self.random.chance(40) {
            true => EndpointCommand::Disable { reason: "chaos".to_owned() },
            false => EndpointCommand::Enable,
        };
        _ = self.world.try_command(id, command).await;
    }

    async fn replay_or_cancel(&mut self) {
        let replays = self.world.replays().await;
        if self.random.chance(20)
            && let Some(replay) = self.random.pick(&replays)
        {
            _ = self.world.try_cancel_replay(replay.id).await;
            return;
        }
        let Some(id) = self.pick_endpoint() else { return };
        let scopes = [ReplayScope::Missed, ReplayScope::Failed, ReplayScope::All];
        let scope = *self.random.pick(&scopes).expect("there are some");
        let selection = self.world.selection(id, scope);
        _ = self.world.try_replay(selection, 1 + self.random.below(50) as u32).await;
    }

    async fn create_endpoint(&mut self) {
        let organization = self.pick_organization();
        let name = format!("endpoint-{}", self.random.below(u64::MAX));
        let created = self.world.try_endpoint_of(&organization, &name, EVENT_TYPE).await;
        if let Ok(id) = created {
            self.endpoints.insert(id, name);
        }
    }

    async fn delete_endpoint(&mut self) {
        let Some(id) = self.pick_endpoint() else { return };
        if self.world.try_command(id, EndpointCommand::Delete).await.is_ok() {
            self.endpoints.remove(&id);
        }
    }

    /// The embedded process.
    async fn disturb_the_process(&mut self) {
        match (self.dispatches, self.random.below(4)) {
            (true, 0) => {
                self.world.stop().await;
                self.dispatches = false;
            }
            (true, 1) => {
                self.world.kill().await;
                self.dispatches = false;
            }
            (true, _) => self.world.restart().await,
            (false, _) => {
                self.world.start().await;
                self.dispatches = true;
            }
        }
    }

    /// One of the processes that share the database.
    async fn disturb_a_process(&mut self) {
        let name = *self.random.pick(&PROCESSES).expect("there are some");
        let condition = match (self.processes[name], self.random.below(3)) {
            (Condition::Running, 0) => {
                self.world.freeze(name);
                Condition::Frozen
            }
            (Condition::Running, 1) => {
                self.world.leave(name).await;
                Condition::Gone
            }
            (Condition::Running | Condition::Frozen, 2) => {
                self.world.crash(name);
                Condition::Gone
            }
            (Condition::Frozen, _) => {
                self.world.thaw(name);
                Condition::Running
            }
            _ => {
                self.world.join(name).await;
                Condition::Running
            }
        };
        self.processes.insert(name, condition);
    }

    async fn heal(&mut self) {
        self.world.database_faults.stop();
        self.world.network.heal();
        if self.processes.is_empty() && !self.dispatches {
            self.world.start().await;
        }
        for (name, condition) in self.processes.clone() {
            match condition {
                Condition::Running => {}
                Condition::Frozen => self.world.thaw(name),
                Condition::Gone => self.world.join(name).await,
            }
        }
        for id in self.endpoints.keys() {
            self.world.enable(*id).await;
        }
        // Longer than the longest wait of the schedule.
        self.world.pass(hours(13)).await;
        for id in self.endpoints.keys() {
            // Without an end: an event that was accepted while a clock was ahead is later than now.
            let selection = self.world.selection(*id, ReplayScope::All);
            let everything = ReplaySelection { end_time: None, ..selection };
            let requested = self.world.try_replay(everything, 100).await;
            requested.expect("no fault is simulated");
        }
        self.world.pass(minutes(5)).await;
        // One more event for everybody, so that degraded endpoints recover.
        for organization in self.world.organizations.clone() {
            let published = self.world.try_publish(&organization, EVENT_TYPE).await;
            self.acknowledged.push(published.expect("no fault is simulated"));
        }
        self.world.pass(minutes(1)).await;
    }

    async fn check(&self) {
        self.check_log().await;
        let deliveries = self.world.all_deliveries().await;
        for delivery in &deliveries {
            self.check_delivery(delivery).await;
        }
        self.check_waits(&deliveries).await;
        self.check_repetitions(&deliveries);
        for id in self.endpoints.keys() {
            assert_eq!(self.world.status(*id).await, EndpointState::Active, "{id}");
        }
        self.check_replays(&deliveries).await;
        self.world.assert_tables_match_the_log().await;
    }

    /// In the end everything was replayed: each endpoint has every event of its organization, each
    /// as one delivery.
    async fn check_replays(&self, deliveries: &[Delivery]) {
        for replay in self.world.replays().await {
            assert_ne!(replay.state, ReplayState::Running, "{replay:?}");
        }
        for id in self.endpoints.keys() {
            let organization = self.world.read_endpoint(*id).await.organization_id;
            let accepted = self.world.events_of(&organization).await;
            let mut delivered = BTreeSet::new();
            for delivery in deliveries.iter().filter(|delivery| delivery.endpoint_id == *id) {
                assert_eq!(delivery.state, DeliveryState::Delivered, "{delivery:?}");
                assert!(delivered.insert(delivery.event_id), "two of one event: {delivery:?}");
            }
            assert_eq!(delivered, accepted, "{id}");
        }
    }

    /// Invariants 1, 2 and 6.
    async fn check_log(&self) {
        let routings = self.world.routings().await;
        for (event, count) in &routings {
            assert_eq!(*count, 1, "{event} is routed once");
        }
        let accepted: BTreeSet<_> = routings.into_iter().map(|(event, _)| event).collect();
        let lost: Vec<_> = self.acknowledged.iter().filter(|id| !accepted.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged, but not in the log: {lost:?}");
        for log in self.world.logs().await {
            let positions: Vec<_> = log.iter().map(|record| record.position.0).collect();
            assert_eq!(positions, Vec::from_iter(1..=log.len() as i64));
            assert!(log.first().is_none_or(|first| first.position == Position(1)));
        }
    }

    /// Invariant 3.
    async fn check_delivery(&self, delivery: &Delivery) {
        let attempts = self.world.attempts(delivery.id).await;
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.details.number).collect();
        assert_eq!(numbers, Vec::from_iter(1..=delivery.attempt_count), "{delivery:?}");
        assert!(delivery.state.has_ended(), "{delivery:?}");
        assert_eq!(delivery.due_time(), None, "{delivery:?}");
        let succeeded = attempts.iter().any(|attempt| attempt.outcome == AttemptOutcome::Delivered);
        match delivery.state {
            DeliveryState::Delivered => assert!(succeeded, "{delivery:?}"),
            DeliveryState::Failed => assert_eq!(delivery.automatic_count, 6, "{delivery:?}"),
            _ => assert!(!delivery.end_reason.is_empty(), "{delivery:?}"),
        }
    }

    /// No automatic attempt is made before its time, whatever happens to the clocks, unless the
    /// shard has changed owners meanwhile. (Attempts that are too late would not be made in the
    /// time that the test gives them.)
    async fn check_waits(&self, deliveries: &[Delivery]) {
        let mut made: HashMap<_, Vec<_>> = HashMap::new();
        for request in self.world.requests() {
            made.entry((request.delivery(), request.number())).or_default().push(request.time);
        }
        for delivery in deliveries {
            self.check_waits_of(delivery, &made).await;
        }
    }

    async fn check_waits_of(
        &self,
        delivery: &Delivery,
        made: &HashMap<(DeliveryId, u32), Vec<Timestamp>>,
    ) {
        let attempts = self.world.attempts(delivery.id).await;
        let automatic =
            attempts.iter().filter(|attempt| attempt.details.trigger == Trigger::Automatic);
        let automatic: Vec<_> = automatic.collect();
        for pair in automatic.windows(2) {
            let (one, next) = (&pair[0].details, &pair[1].details);
            let wait = RetrySchedule::default().wait_after(one.automatic_count, None);
            let begun_anew = next.automatic_count != one.automatic_count + 1;
            let (Some(wait), false) = (wait, begun_anew) else { continue };
            let first = *made[&(delivery.id, one.number)].last().expect("it was made");
            let again = made[&(delivery.id, next.number)][0];
            if self.world.changed_hands(&delivery.organization_id, first, again) {
                continue;
            }
            let waited = again.duration_since(first + one.duration);
            assert!(
                waited >= SignedDuration::try_from(wait).expect("a short time"),
                "attempt {} of {} waited {waited} instead of {wait:?}",
                next.number,
                delivery.id,
            );
        }
    }

    /// Invariant 4: a request is repeated only if its shard changed owners meanwhile; and every
    /// attempt in the log was made.
    fn check_repetitions(&self, deliveries: &[Delivery]) {
        let deliveries: HashMap<_, _> =
            deliveries.iter().map(|delivery| (delivery.id, delivery)).collect();
        let mut earlier = HashMap::new();
        for request in self.world.requests() {
            let (delivery, number) = (deliveries[&request.delivery()], request.number());
            if let Some(before) = earlier.insert((delivery.id, number), request.time) {
                let organization = &delivery.organization_id;
                // If the database's clock is set forward, a lease ends before its owner knows.
                let lease = Settings::default().lease_time_to_live;
                let earliest = if self.steps_clocks { before - lease } else { before };
                assert!(
                    self.world.changed_hands(organization, earliest, request.time),
                    "attempt {number} of {} was made at {before} and at {}, by one owner",
                    delivery.id,
                    request.time,
                );
            }
        }
        for delivery in deliveries.values() {
            for number in 1..=delivery.attempt_count {
                assert!(earlier.contains_key(&(delivery.id, number)), "{delivery:?} {number}");
            }
        }
    }
}
