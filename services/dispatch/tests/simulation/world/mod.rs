//! A simulated installation: the real dispatch code, a database in memory, receivers that answer by
//! script, and virtual time, so that hours of retries pass in milliseconds.
//!
//! - [`World::embedded`]: one process has the database for itself.
//! - [`World::shared`]: any number of dispatch processes share it; another process accepts the events.

mod channels;
mod clocks;
mod commands;
mod connection;
mod database_faults;
mod mail;
mod network;
mod observations;
mod process_state;
mod replaying;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use keeptrusts_webhooks_dispatch_service::{Dependencies, Dispatch, Mailer, Settings, Uptime};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::testing::memory::MemoryStore;
use keeptrusts_webhooks_store::vault::keyring::{Keyring, MasterKeySource};
use keeptrusts_webhooks_store::{Clock, Log, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use clocks::WallClock;
use connection::{Connection, Environment, UnreadableShards};
use network::Link;
use process_state::ProcessState;

pub(crate) use channels::ALL_BUT_SUMMARY;
pub(crate) use connection::Traffic;
pub(crate) use database_faults::{DatabaseFaults, Outage};
pub(crate) use mail::Outbox;
pub(crate) use network::{Network, REQUEST_TIMEOUT, ReceiverAnswer, Request};

/// What endpoints subscribe to and what is published, unless a test says otherwise.
pub(crate) const EVENT_TYPE: EventType = EventType::PolicyViolation;

/// The process of an embedded installation.
const EMBEDDED: &str = "embedded";

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(crate) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

/// Every endpoint's secret.
pub(crate) fn secret() -> Secret {
    Secret::new("correct horse battery staple".to_owned()).expect("long enough")
}

pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) database_faults: Arc<DatabaseFaults>,
    pub(crate) outbox: Arc<Outbox>,
    /// One on each shard.
    pub(crate) organizations: Vec<OrganizationId>,
    environment: Environment,
    /// Without simulated faults.
    database: Arc<dyn Store>,
    /// The true time.
    clock: Clock,
    database_clock: WallClock,
    settings: Arc<Settings>,
    /// Accepts events, commands and requests.
    api_process: Process,
    dispatchers: BTreeMap<String, Dispatcher>,
    starts: usize,
}

/// A process: its connections and its log.
#[derive(Clone)]
struct Process {
    clock: WallClock,
    /// For how many seconds its machine has been asleep.
    slept: Arc<AtomicU64>,
    process_state: Arc<ProcessState>,
    traffic: Arc<Traffic>,
    unreadable_shards: Arc<UnreadableShards>,
    log: Arc<Log>,
    keyring: Arc<Keyring>,
}

struct Dispatcher {
    process: Process,
    dispatch: Dispatch,
}

impl World {
    /// One process, dispatching, on a database with one shard.
    pub(crate) async fn embedded() -> World {
        let mut world = World::new(|clock| MemoryStore::new(1, clock)).await;
        world.start().await;
        world
    }

    /// A database of so many shards. No process dispatches yet: see [`World::join`].
    pub(crate) async fn shared(shard_count: u16) -> World {
        World::new(|clock| MemoryStore::shared(shard_count, clock)).await
    }

    /// One process on a database with one shard, in which a delivery has one attempt. It does not
    /// dispatch yet.
    pub(crate) async fn without_retries() -> World {
        let mut world = World::new(|clock| MemoryStore::new(1, clock)).await;
        let retry_schedule = "".parse().expect("no retries");
        world.settings = Arc::new(Settings { retry_schedule, ..Settings::default() });
        world
    }

    /// Sets the limits of mail, from the next start on.
    pub(crate) fn limit_mail(&mut self, mail_limits: MailLimits) {
        self.settings = Arc::new(Settings { mail_limits, ..(*self.settings).clone() });
    }

    async fn new(database: impl FnOnce(Clock) -> MemoryStore) -> World {
        let clock = virtual_clock();
        let database_clock = WallClock::right(Arc::clone(&clock));
        let database: Arc<dyn Store> = Arc::new(database(database_clock.as_clock()));
        let network = Arc::new(Network::new(Arc::clone(&clock)));
        let database_faults = Arc::new(DatabaseFaults::none());
        let environment = Environment {
            database: Arc::clone(&database),
            clock: Arc::clone(&clock),
            database_faults: Arc::clone(&database_faults),
            announcements: Arc::default(),
            acquisitions: Arc::default(),
        };
        let api_process = Process::boot(&environment).await;
        World {
            network,
            database_faults,
            outbox: Arc::new(Outbox::new(Arc::clone(&clock))),
            organizations: one_on_each_shard(database.shard_count()),
            environment,
            database,
            clock,
            database_clock,
            settings: Arc::new(Settings::default()),
            api_process,
            dispatchers: BTreeMap::new(),
            starts: 0,
        }
    }

    // --- the embedded process ---

    /// Begins to dispatch.
    pub(crate) async fn start(&mut self) {
        self.begin(EMBEDDED, self.api_process.clone());
    }

    /// Ends dispatching gracefully; events are still accepted.
    pub(crate) async fn stop(&mut self) {
        self.leave(EMBEDDED).await;
    }

    /// Kills the process. Another one accepts events at once, and dispatches after `start`.
    pub(crate) async fn kill(&mut self) {
        self.api_process.process_state.kill();
        self.dispatchers.remove(EMBEDDED);
        self.api_process = Process::boot(&self.environment).await;
    }

    /// Kills the process and starts another one.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        self.start().await;
    }

    /// The log of the process that accepts events.
    pub(crate) fn api_log(&self) -> &Arc<Log> {
        &self.api_process.log
    }

    /// The database calls of the embedded process, or of the one that accepts events.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.api_process.traffic
    }

    // --- processes that share the database ---

    /// A process begins to dispatch.
    pub(crate) async fn join(&mut self, name: &str) {
        let process = Process::boot(&self.environment).await;
        self.begin(name, process);
    }

    /// A process ends, gracefully.
    pub(crate) async fn leave(&mut self, name: &str) {
        let dispatcher = self.dispatchers.remove(name).expect("it dispatches");
        dispatcher.dispatch.stop(Duration::from_secs(30)).await;
    }

    /// Kills a process.
    pub(crate) fn crash(&mut self, name: &str) {
        let dispatcher = self.dispatchers.remove(name).expect("it dispatches");
        dispatcher.process.process_state.kill();
    }

    /// Stops a process at any point, as SIGSTOP does.
    pub(crate) fn freeze(&self, name: &str) {
        self.dispatchers[name].process.process_state.freeze();
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self, name: &str) {
        self.dispatchers[name].process.process_state.thaw();
    }

    /// The database calls of a process.
    pub(crate) fn traffic_of(&self, name: &str) -> &Traffic {
        &self.dispatchers[name].process.traffic
    }

    /// Sets whether a process cannot read a shard's log.
    pub(crate) fn set_unreadable(&self, name: &str, shard: Shard, is_unreadable: bool) {
        self.dispatchers[name].process.unreadable_shards.set(shard, is_unreadable);
    }

    /// A process's readiness report.
    pub(crate) async fn readiness_of(&self, name: &str) -> String {
        let readiness = Readiness::new(CancellationToken::new());
        self.dispatchers[name].dispatch.needed_by(&readiness);
        readiness.started();
        readiness.report().await.to_string()
    }

    // --- time ---

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The clock that [`now`](Self::now) reads.
    pub(crate) fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// Sets every wall clock: the processes' and the database's.
    pub(crate) fn step_all_clocks(&self, step: SignedDuration) {
        self.step_database_clock(step);
        self.step_process_clocks(step);
    }

    /// Sets the database's clock.
    pub(crate) fn step_database_clock(&self, step: SignedDuration) {
        self.database_clock.step(step);
    }

    /// Sets the clocks of all processes that run.
    pub(crate) fn step_process_clocks(&self, step: SignedDuration) {
        self.api_process.clock.step(step);
        let others = self.dispatchers.iter().filter(|(name, _)| *name != EMBEDDED);
        others.for_each(|(_, dispatcher)| dispatcher.process.clock.step(step));
    }

    /// Sets the clock of one process.
    pub(crate) fn step_clock_of(&self, name: &str, step: SignedDuration) {
        self.dispatchers[name].process.clock.step(step);
    }

    /// A process's machine has been asleep for so long. Timers stood still meanwhile; its uptime did
    /// not.
    pub(crate) fn wake(&self, name: &str, slept: Duration) {
        self.dispatchers[name].process.slept.fetch_add(slept.as_secs(), Ordering::Relaxed);
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets everything that is due now finish: paused time advances only when no task has anything
    /// left to do.
    pub(crate) async fn settle(&self) {
        self.pass(Duration::from_millis(1)).await;
    }

    fn begin(&mut self, name: &str, process: Process) {
        self.starts += 1;
        let link = Link {
            from: name.to_owned(),
            network: Arc::clone(&self.network),
            process_state: Arc::clone(&process.process_state),
        };
        let dependencies = Dependencies {
            log: Arc::clone(&process.log),
            keyring: Arc::clone(&process.keyring),
            transport: Arc::new(link),
            mailer: Some(Arc::clone(&self.outbox) as Arc<dyn Mailer>),
            clock: process.clock.as_clock(),
            uptime: uptime_of(&process),
            settings: Arc::clone(&self.settings),
            renderer: Renderer::new(RendererLimits::of_this_machine(None)),
        };
        // A process that is started again is a new member.
        let dispatch = Dispatch::start(format!("{name}-{}", self.starts), dependencies);
        let earlier = self.dispatchers.insert(name.to_owned(), Dispatcher { process, dispatch });
        assert!(earlier.is_none(), "{name} dispatches already");
    }

    fn shard_of(&self, organization: &OrganizationId) -> Shard {
        Shard::of(organization, self.database.shard_count())
    }
}

impl Process {
    async fn boot(environment: &Environment) -> Process {
        let (process_state, traffic) = (Arc::new(ProcessState::new_running()), Arc::default());
        let unreadable_shards = Arc::default();
        let clock = WallClock::right(Arc::clone(&environment.clock));
        let connection = Connection {
            environment: environment.clone(),
            process_state: Arc::clone(&process_state),
            traffic: Arc::clone(&traffic),
            unreadable_shards: Arc::clone(&unreadable_shards),
        };
        let store = connection.open();
        loop {
            let started = Arc::clone(&store);
            if let Ok(keyring) = Keyring::start(Arc::clone(&store), master_key()).await
                && let Ok(log) = Log::start(started).await
            {
                let (slept, keyring) = (Arc::default(), Arc::new(keyring));
                return Process {
                    clock,
                    slept,
                    process_state,
                    traffic,
                    unreadable_shards,
                    log,
                    keyring,
                };
            }
            // As a supervisor restarts a process that cannot start.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// All processes have the same.
fn master_key() -> MasterKeySource {
    MasterKeySource::Environment("7".repeat(64).into())
}

fn uptime_of(process: &Process) -> Uptime {
    let (begun, slept) = (Instant::now(), Arc::clone(&process.slept));
    Arc::new(move || begun.elapsed() + seconds(slept.load(Ordering::Relaxed)))
}

fn virtual_clock() -> Clock {
    let base: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
    let begun = Instant::now();
    Arc::new(move || base + begun.elapsed())
}

fn one_on_each_shard(shard_count: u16) -> Vec<OrganizationId> {
    let mut found = BTreeMap::new();
    for number in 0.. {
        if found.len() == usize::from(shard_count) {
            break;
        }
        let organization: OrganizationId = format!("org-{number}").parse().expect("an id");
        found.entry(Shard::of(&organization, shard_count)).or_insert(organization);
    }
    found.into_values().collect()
}
