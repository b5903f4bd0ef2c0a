//! The work of one shard's owner: **tail -> route -> schedule -> send -> record**, and beside them
//! **notify**. Each stage is a task; bounded channels join them. Every write goes through the log
//! and is fenced by the lease's epoch. Everything that must be remembered is in the log, so that
//! the next owner continues where this one stopped.
//!
//! Decision: docs/decisions/an-unfit-owner-gives-its-shard-up.md

mod blocked_work;
mod cancel;
mod connections;
mod current_router;
mod delivery_target;
mod evaluation;
mod failures;
mod health;
mod limits;
mod notify;
mod owned_shard;
mod pauses;
mod record;
mod replay;
mod request;
mod request_body;
mod response_text;
mod retention;
mod rewind;
mod route;
mod route_at_acceptance;
mod router;
mod schedule;
pub mod scheduler;
mod send;
mod send_result;
mod spans;
pub(crate) mod steady_clock;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_store::{EventRouter, ShardState, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::metrics::{self, LeaseChange};
use delivery_target::DeliveryTarget;
use failures::OnDefect;
use limits::{ENDPOINTS_PER_PAGE, STAGE_CAPACITY};
use notify::Notify;
pub(crate) use owned_shard::OwnedShard;
use rewind::{changed_since, rewind};
use router::Router;
use scheduler::Scheduler;

/// Works on a shard until it is stopped or the lease is lost.
pub(crate) async fn work(shard: Arc<OwnedShard>) {
    let expiry = tokio::spawn(abort_when_lease_ends(Arc::clone(&shard)));
    let abort = shard.abort.clone();
    let was_aborted = abort.run_until_cancelled(work_while_leased(&shard)).await.is_none();
    if was_aborted && !shard.unfit.is_cancelled() {
        tracing::warn!(shard = %shard.lease.shard(), "the lease is lost, stopped working on the shard");
        metrics::count_lease_change(LeaseChange::Lost);
    }
    expiry.abort();
}

/// How long a shard that is given up may take to finish what is under way: longer than a request
/// takes by default. A stage may be waiting for what cannot be read.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that cannot renew its lease stops before another may take it.
async fn abort_when_lease_ends(shard: Arc<OwnedShard>) {
    let given_up = async {
        shard.unfit.cancelled().await;
        tokio::time::sleep(GIVE_UP_TIMEOUT).await;
    };
    tokio::select! {
        () = shard.lease.expired() => {}
        () = given_up => {}
    }
    shard.abort.cancel();
}

async fn work_while_leased(shard: &Arc<OwnedShard>) {
    let what = "cannot begin working on the shard";
    let prepared = shard.read(what, OnDefect::GiveUp, || prepare(shard));
    let Some(prepared) = shard.stop.run_until_cancelled(prepared).await else { return };
    let Prepared { router, scheduler, replays, notify, checkpoint } = prepared;
    shard.is_ready.store(true, Ordering::Relaxed);
    let (to_schedule, schedule_messages) = mpsc::channel(STAGE_CAPACITY);
    let (to_record, outcomes) = mpsc::channel(STAGE_CAPACITY);
    let (to_advance, progress) = mpsc::channel(STAGE_CAPACITY);
    let (to_replay, replay_messages) = mpsc::channel(STAGE_CAPACITY);
    let mut stages = JoinSet::new();
    let (to_notify, notify_messages) = mpsc::channel(STAGE_CAPACITY);
    let next = route::NextStages { to_schedule, to_replay, to_notify };
    let route = route::Route::new(Arc::clone(shard), router, checkpoint, next);
    let router: Arc<dyn EventRouter> = Arc::<OwnedShard>::clone(shard);
    let _routing = shard.log.route_accepted(shard.lease.shard(), router);
    stages.spawn(route.run());
    stages.spawn(notify.run(notify_messages));
    let advance = (to_advance.clone(), progress);
    stages.spawn(schedule::run(
        Arc::clone(shard),
        scheduler,
        schedule_messages,
        advance,
        to_record,
    ));
    stages.spawn(record::run(Arc::clone(shard), outcomes, to_advance));
    stages.spawn(replay::run(Arc::clone(shard), replays, replay_messages));
    stages.spawn(retention::run(Arc::clone(shard)));
    while let Some(ended) = stages.join_next().await {
        if let Err(error) = ended {
            // A defect of ours, which stays when this process begins again.
            shard.give_up("a stage failed", &error);
            shard.abort.cancel();
        }
    }
}

/// The stages that have a state, as the last owner left it.
struct Prepared {
    router: Router,
    scheduler: Scheduler,
    replays: Vec<Replay>,
    notify: Notify,
    checkpoint: Position,
}

async fn prepare(shard: &Arc<OwnedShard>) -> Result<Prepared, StoreError> {
    let store = shard.log.store();
    let number = shard.lease.shard();
    let ShardState { checkpoint, steady, .. } = store.shard_state(number).await?;
    if let Some(last) = steady {
        // Before any stage begins, so that no stage sees the clock step.
        shard.steady_clock.go_on(last);
    }

    // The endpoints as they are now; waiting deliveries are sent to these.
    let mut router = Router::default();
    let mut after = EndpointId::MIN;
    loop {
        let page = store.shard_endpoints(number, after, ENDPOINTS_PER_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for endpoint in page {
            shard.targets.put(DeliveryTarget::new(endpoint.clone()));
            router.put(endpoint);
        }
    }
    let channels = notify::channels(shard).await?;
    // But events after the checkpoint are routed by the endpoints at their position (invariant 2).
    let changed = changed_since(shard, checkpoint).await?;
    for (_, id) in changed.endpoints {
        match rewind(shard, Stream::Endpoint(id), checkpoint).await?.endpoint(id) {
            Some(endpoint) => router.put(endpoint.clone()),
            None => router.remove(id),
        }
    }

    let failing = store.failing_endpoints(number, None).await?;
    shard.failing.put(failing, (shard.clock)(), shard.steady_clock.now());
    shard.pauses.put(&store.endpoint_pauses(number, None).await?, (shard.clock)());
    let waiting = store.waiting_endpoints(number).await?;
    let mut scheduler = Scheduler::new(shard.settings.scheduler, waiting.as_of);
    for (endpoint_id, due_time) in waiting.endpoints {
        scheduler.add_backlog(endpoint_id, due_time);
    }
    let replays = replay::unfinished(shard, checkpoint).await?;
    let notify = notify::prepare(shard, checkpoint, channels, &changed.channels).await?;
    Ok(Prepared { router, scheduler, replays, notify, checkpoint })
}
