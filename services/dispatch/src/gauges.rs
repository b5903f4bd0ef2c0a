//! Gauges of the shards that this process owns: the backlog, how late it is, and the lag behind the
//! log.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::DUE_IMMEDIATELY;
use keeptrusts_webhooks_store::StoreError;
use keeptrusts_webhooks_telemetry::{KeyValue, before_collecting, meter};

use crate::pipeline::OwnedShard;
use crate::status::DispatchStatus;

/// The figures of the shards that this process owns, as of the last collection. Each shard has one
/// owner, whose process reports it.
static FIGURES: Mutex<BTreeMap<u16, ShardFigures>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy)]
struct ShardFigures {
    requests: u64,
    lag: u64,
    blocked: u64,
    /// None: the database did not answer.
    stored: Option<BacklogFigures>,
}

/// The figures that only the database has.
#[derive(Debug, Clone, Copy)]
struct BacklogFigures {
    waiting: u64,
    oldest_due_seconds: f64,
}

/// How long the database may take for one shard.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the figures whenever metrics are collected.
pub(crate) fn observe(status: &Arc<DispatchStatus>) {
    LazyLock::force(&GAUGES);
    let status = Arc::downgrade(status);
    before_collecting(move || {
        let status = status.upgrade();
        async move {
            let Some(status) = status else { return false };
            // All at the same time, since the collector waits.
            let queries = status.owned().into_iter().map(async |shard| {
                let stored = tokio::time::timeout(QUERY_TIMEOUT, query_backlog(&shard)).await;
                let stored = stored.ok().and_then(|looked| match looked {
                    Ok(stored) => Some(stored),
                    Err(error) => {
                        tracing::debug!(shard = %shard.lease.shard(), %error, "no figures");
                        None
                    }
                });
                let known = shard.log.watch(shard.lease.shard()).borrow().0;
                let figures = ShardFigures {
                    requests: shard.requests_under_way.load(Ordering::Relaxed) as u64,
                    lag: (known - shard.processed_position.load(Ordering::Relaxed))
                        .max(0)
                        .unsigned_abs(),
                    blocked: shard.blocked_work.count(),
                    stored,
                };
                (shard.lease.shard().0, figures)
            });
            let figures = join_all(queries).await.into_iter().collect();
            *FIGURES.lock().unwrap_or_else(PoisonError::into_inner) = figures;
            true
        }
    });
}

async fn query_backlog(shard: &OwnedShard) -> Result<BacklogFigures, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let waiting = store.count_waiting(number).await?;
    let endpoints = store.waiting_endpoints(number).await?.endpoints;
    // Deliveries to a disabled endpoint, or during a pause, are not late; and those that somebody
    // has requested have no due time.
    let is_late = |(id, due): &&(_, Timestamp)| *due > DUE_IMMEDIATELY && shard.is_open(*id);
    let now = shard.steady_clock.now();
    let late = endpoints.iter().filter(is_late).map(|(id, due)| {
        let late = now.duration_since(*due).as_secs_f64();
        let since_pause = shard.pauses.since_end(*id).map(|since| since.as_secs_f64());
        since_pause.map_or(late, |since| late.min(since))
    });
    Ok(BacklogFigures { waiting, oldest_due_seconds: late.fold(0.0, f64::max) })
}

/// Registered once; each collection reads the current figures.
static GAUGES: LazyLock<()> = LazyLock::new(|| {
    type Value = fn(&ShardFigures) -> Option<f64>;
    let gauges: [(&str, &str, &str, Value); 6] = [
        (
            "keeptrusts_webhooks.deliveries.waiting",
            "",
            "deliveries of the shard that wait for an attempt",
            |figures| Some(figures.stored?.waiting as f64),
        ),
        (
            "keeptrusts_webhooks.oldest_due",
            "s",
            "for how long the delivery that is due the longest has been due",
            |figures| Some(figures.stored?.oldest_due_seconds),
        ),
        (
            "keeptrusts_webhooks.requests.in_flight",
            "",
            "attempts whose request is under way",
            |figures| Some(figures.requests as f64),
        ),
        (
            "keeptrusts_webhooks.shard.lag.records",
            "",
            "records that this process knows of and has not acted on",
            |figures| Some(figures.lag as f64),
        ),
        (
            "keeptrusts_webhooks.shard.blocked",
            "",
            "channels, replays and deleted endpoints that need a row which this version cannot read",
            |figures| Some(figures.blocked as f64),
        ),
        ("keeptrusts_webhooks.shard.owned", "", "1: this process owns the shard", |_| Some(1.0)),
    ];
    let meter = meter();
    for (name, unit, about, value_of) in gauges {
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(about);
        gauge
            .with_callback(move |observer| {
                let figures = FIGURES.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for (shard, figures) in figures {
                    if let Some(value) = value_of(&figures) {
                        observer.observe(value, &[KeyValue::new("shard", i64::from(shard))]);
                    }
                }
            })
            .build();
    }
});
