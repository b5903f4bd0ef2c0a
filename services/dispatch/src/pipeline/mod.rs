//! The work of one shard's owner: **tail -> route -> schedule -> send -> record**, and beside
//! them **notify**, one task for each stage, joined by bounded channels. All that it writes goes through the log, fenced by
//! the lease's epoch; all that it must remember is in the log, so that the next owner goes on
//! where this one stopped.
//!
//! Decision: docs/decisions/an-unfit-owner-gives-its-shard-up.md

mod answered;
mod cancel;
mod failures;
mod health;
mod judged;
mod notify;
mod outgoing;
mod pauses;
mod receiver;
mod record;
mod replay;
mod request;
mod retention;
mod rewind;
mod route;
mod router;
mod schedule;
pub mod scheduler;
mod send;
pub(crate) mod steady;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_rendering::Renderer;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log, NewRecord, Operation, ShardState, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Parts;
use crate::lease::HeldLease;
use crate::mail::Mailer;
use crate::metrics::{self, LeaseChange};
use crate::settings::Settings;
use crate::transport::Transport;
use failures::OnDefect;
use health::FailingEndpoints;
use notify::Notify;
use pauses::Pauses;
use receiver::{Receiver, Receivers};
use rewind::{changed_since, rewind};
use router::Router;
use scheduler::Scheduler;
use steady::SteadyClock;

/// What the stages share.
pub(crate) struct Shard {
    pub(crate) lease: HeldLease,
    pub(crate) log: Arc<Log>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) mailer: Option<Arc<dyn Mailer>>,
    /// What people are told of time. Nothing waits by it: see [`steady`].
    pub(crate) clock: Clock,
    pub(crate) steady: SteadyClock,
    pub(crate) settings: Arc<Settings>,
    pub(crate) renderer: Renderer,
    /// Nothing new is begun any more; what is under way is finished.
    pub(crate) stop: CancellationToken,
    /// The lease is lost: everything is dropped where it stands.
    pub(crate) abort: CancellationToken,
    /// This process cannot work on the shard; another one may be able to.
    pub(crate) unfit: CancellationToken,
    /// What the last owner has left was read.
    pub(crate) is_prepared: AtomicBool,
    /// The last record of the log that was acted on.
    pub(crate) acted_on: AtomicI64,
    /// How many requests are under way.
    pub(crate) requests_under_way: AtomicUsize,
    receivers: Receivers,
    failing: FailingEndpoints,
    pub(crate) pauses: Pauses,
}

impl Shard {
    pub(crate) fn new(lease: HeldLease, parts: Parts) -> Shard {
        let Parts { log, keyring, transport, mailer, clock, uptime, settings, renderer } = parts;
        let steady = SteadyClock::beginning(clock(), uptime);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        Shard {
            lease,
            log,
            keyring,
            transport,
            mailer,
            clock,
            steady,
            settings,
            renderer,
            stop,
            abort,
            unfit: CancellationToken::new(),
            is_prepared: AtomicBool::new(false),
            acted_on: AtomicI64::new(0),
            requests_under_way: AtomicUsize::new(0),
            receivers: Receivers::default(),
            failing: FailingEndpoints::default(),
            pauses: Pauses::default(),
        }
    }

    /// Whether an endpoint may be sent to, as far as this process knows.
    pub(crate) fn is_open(&self, endpoint_id: EndpointId) -> bool {
        let receiver = self.receivers.get(endpoint_id);
        receiver.is_some_and(|receiver| receiver.availability() == receiver::Availability::Open)
    }

    /// Records of one organization, refused if the lease is lost (invariant 5).
    fn operation(
        &self,
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        metadata: Metadata,
    ) -> Operation {
        let metadata = Metadata { actor: "dispatch".into(), ..metadata };
        let operation = Operation::recording(organization, records, metadata, (self.clock)());
        Operation { fence: Some(self.lease.epoch()), ..operation }
    }
}

/// Works on a shard until it is told to stop, or until the lease is lost.
pub(crate) async fn work(shard: Arc<Shard>) {
    let expiry = tokio::spawn(abort_at_last(Arc::clone(&shard)));
    let abort = shard.abort.clone();
    let was_aborted = abort.run_until_cancelled(work_while_leased(&shard)).await.is_none();
    if was_aborted && !shard.unfit.is_cancelled() {
        tracing::warn!(shard = %shard.lease.shard(), "the lease is lost, stopped working on the shard");
        metrics::lease_changed(LeaseChange::Lost);
    }
    expiry.abort();
}

/// How long a shard that is given up may take to finish what is under way: longer than a request
/// does by default. What cannot be read may be what a stage waits for.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(30);

/// A process that cannot renew its lease stops before another may take it.
async fn abort_at_last(shard: Arc<Shard>) {
    let given_up = async {
        shard.unfit.cancelled().await;
        tokio::time::sleep(GIVE_UP_PATIENCE).await;
    };
    tokio::select! {
        () = shard.lease.expired() => {}
        () = given_up => {}
    }
    shard.abort.cancel();
}

async fn work_while_leased(shard: &Arc<Shard>) {
    let what = "cannot begin working on the shard";
    let prepared = shard.read(what, OnDefect::GiveUp, || prepare(shard));
    let Some(prepared) = shard.stop.run_until_cancelled(prepared).await else { return };
    let Prepared { router, scheduler, replays, notify, checkpoint } = prepared;
    shard.is_prepared.store(true, Ordering::Relaxed);
    let (to_schedule, scheduled) = mpsc::channel(STAGE_CAPACITY);
    let (to_record, outcomes) = mpsc::channel(STAGE_CAPACITY);
    let (to_advance, progress) = mpsc::channel(STAGE_CAPACITY);
    let (to_replay, replays_changed) = mpsc::channel(STAGE_CAPACITY);
    let mut stages = JoinSet::new();
    let (to_notify, happened) = mpsc::channel(STAGE_CAPACITY);
    let next = route::NextStages { to_schedule, to_replay, to_notify };
    let route = route::Route::new(Arc::clone(shard), router, checkpoint, next);
    stages.spawn(route.run());
    stages.spawn(notify.run(happened));
    let advance = (to_advance.clone(), progress);
    stages.spawn(schedule::run(Arc::clone(shard), scheduler, scheduled, advance, to_record));
    stages.spawn(record::run(Arc::clone(shard), outcomes, to_advance));
    stages.spawn(replay::run(Arc::clone(shard), replays, replays_changed));
    stages.spawn(retention::run(Arc::clone(shard)));
    while let Some(ended) = stages.join_next().await {
        if let Err(error) = ended {
            // A defect of ours, which is there again when this process begins anew.
            shard.give_up("a stage failed", &error);
            shard.abort.cancel();
        }
    }
}

const CANNOT_READ_DELIVERY: &str = "cannot read a delivery";
const CANNOT_READ_DATA_KEYS: &str = "cannot read data keys";

/// What one stage may hand to the next before it must wait.
const STAGE_CAPACITY: usize = 1_024;

/// The stages that remember something, where the last owner stopped.
struct Prepared {
    router: Router,
    scheduler: Scheduler,
    replays: Vec<Replay>,
    notify: Notify,
    checkpoint: Position,
}

/// Brings them there.
async fn prepare(shard: &Arc<Shard>) -> Result<Prepared, StoreError> {
    let store = shard.log.store();
    let number = shard.lease.shard();
    let ShardState { checkpoint, steady, .. } = store.shard_state(number).await?;
    if let Some(last) = steady {
        // Before any stage begins, so that nobody sees it step.
        shard.steady.go_on(last);
    }

    // The endpoints as they stand now; deliveries that wait are sent to these.
    let mut router = Router::default();
    let mut after = EndpointId::MIN;
    loop {
        let page = store.shard_endpoints(number, after, ENDPOINTS_PER_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for endpoint in page {
            shard.receivers.put(Receiver::new(endpoint.clone()));
            router.put(endpoint);
        }
    }
    let channels = notify::channels(shard).await?;
    // But events behind the checkpoint are routed as endpoints stood then (invariant 2).
    let changed = changed_since(shard, checkpoint).await?;
    for (_, id) in changed.endpoints {
        match rewind(shard, Stream::Endpoint(id), checkpoint).await?.endpoint(id) {
            Some(endpoint) => router.put(endpoint.clone()),
            None => router.remove(id),
        }
    }

    let failing = store.failing_endpoints(number, None).await?;
    shard.failing.put(failing, (shard.clock)(), shard.steady.now());
    shard.pauses.put(&store.endpoint_pauses(number, None).await?, (shard.clock)());
    let waiting = store.waiting_endpoints(number).await?;
    let mut scheduler = Scheduler::new(shard.settings.scheduler, waiting.as_of);
    for (endpoint_id, due_time) in waiting.endpoints {
        scheduler.found_waiting(endpoint_id, due_time);
    }
    let replays = replay::left_behind(shard, checkpoint).await?;
    let notify = notify::prepare(shard, checkpoint, channels, &changed.channels).await?;
    Ok(Prepared { router, scheduler, replays, notify, checkpoint })
}

const ENDPOINTS_PER_PAGE: usize = 500;
const RECORDS_PER_READ: usize = 1_000;
