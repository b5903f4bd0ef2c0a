//! How dispatch stands, for those who watch: which shards this process owns, how far behind they
//! are, and whether its leases are looked after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::ON_REQUEST;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::{StoreError, Trouble};
use keeptrusts_webhooks_telemetry::{KeyValue, before_collecting, meter};
use tokio::time::Instant;

use crate::pipeline::OwnedShard;

/// What can be seen of the work from outside.
pub(crate) struct Standing {
    /// How long leases last; None: for ever.
    leases_last: Option<Duration>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    shards: BTreeMap<Shard, Arc<OwnedShard>>,
    tended: Option<Instant>,
    /// Why they were not since then, if the database has kept it from that.
    trouble: Option<Trouble>,
    /// Shards that this process cannot work on.
    unfit: Vec<Shard>,
}

impl Standing {
    pub(crate) fn new(leases_last: Option<Duration>) -> Arc<Standing> {
        Arc::new(Standing { leases_last, seen: Mutex::default() })
    }

    pub(crate) fn took(&self, number: Shard, shard: Arc<OwnedShard>) {
        self.seen().shards.insert(number, shard);
    }

    pub(crate) fn gave_back(&self, number: Shard) {
        self.seen().shards.remove(&number);
    }

    /// The leases were just looked after.
    pub(crate) fn tended(&self) {
        let mut seen = self.seen();
        (seen.tended, seen.trouble) = (Some(Instant::now()), None);
    }

    /// They could not be.
    pub(crate) fn not_tended(&self, trouble: Option<Trouble>) {
        self.seen().trouble = trouble;
    }

    /// Whether they were in the time that a lease lasts; otherwise what to make of it.
    pub(crate) fn is_tended(&self) -> Result<(), String> {
        let Seen { tended, trouble, .. } = *self.seen();
        let because = trouble.map(|trouble| format!(" (the database: {trouble})"));
        let because = because.unwrap_or_default();
        match (tended, self.leases_last) {
            (None, _) => Err(format!("no shard was looked for yet{because}")),
            (Some(time), Some(lasts)) if time.elapsed() >= lasts => {
                let seconds = time.elapsed().as_secs();
                Err(format!("the leases were not looked after for {seconds} s{because}"))
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// Which shards this process cannot work on.
    pub(crate) fn set_unfit(&self, shards: Vec<Shard>) {
        self.seen().unfit = shards;
    }

    /// Whether there is none; otherwise what to make of it.
    pub(crate) fn is_fit(&self) -> Result<(), String> {
        let seen = self.seen();
        let given_up = seen.shards.iter().filter(|(_, shard)| shard.unfit.is_cancelled());
        let unfit: BTreeSet<_> = given_up.map(|(number, _)| number).chain(&seen.unfit).collect();
        if unfit.is_empty() {
            return Ok(());
        }
        let unfit: Vec<_> = unfit.into_iter().map(ToString::to_string).collect();
        Err(format!(
            "this process cannot work on shard {}, its log says why; another version may be able to",
            unfit.join(", ")
        ))
    }

    fn owned(&self) -> Vec<Arc<OwnedShard>> {
        self.seen().shards.values().cloned().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The figures of the shards that this process owns, as they were last looked up. Those of
/// others are not among them: a shard has one owner, and one process tells of it.
static FIGURES: Mutex<BTreeMap<u16, Figures>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy)]
struct Figures {
    requests: u64,
    lag: u64,
    /// None: the database has not told.
    stored: Option<Stored>,
}

/// What only the database knows.
#[derive(Debug, Clone, Copy)]
struct Stored {
    waiting: u64,
    oldest_due_seconds: f64,
}

/// How long the database may take for one shard.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// Looks the figures up whenever metrics are collected.
pub(crate) fn show_before_collecting(standing: &Arc<Standing>) {
    LazyLock::force(&GAUGES);
    let standing = Arc::downgrade(standing);
    before_collecting(move || {
        let standing = standing.upgrade();
        async move {
            let Some(standing) = standing else { return false };
            // All at the same time: whoever collects waits.
            let looks = standing.owned().into_iter().map(async |shard| {
                let stored = tokio::time::timeout(LOOK_PATIENCE, look_up(&shard)).await;
                let stored = stored.ok().and_then(|looked| match looked {
                    Ok(stored) => Some(stored),
                    Err(error) => {
                        tracing::debug!(shard = %shard.lease.shard(), %error, "no figures");
                        None
                    }
                });
                let known = shard.log.watch(shard.lease.shard()).borrow().0;
                let figures = Figures {
                    requests: shard.requests_under_way.load(Ordering::Relaxed) as u64,
                    lag: (known - shard.acted_on.load(Ordering::Relaxed)).max(0).unsigned_abs(),
                    stored,
                };
                (shard.lease.shard().0, figures)
            });
            let figures = join_all(looks).await.into_iter().collect();
            *FIGURES.lock().unwrap_or_else(PoisonError::into_inner) = figures;
            true
        }
    });
}

async fn look_up(shard: &OwnedShard) -> Result<Stored, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let waiting = store.count_waiting(number).await?;
    let endpoints = store.waiting_endpoints(number).await?.endpoints;
    // What waits for a disabled endpoint is not late, nor what waits for the end of a pause; and
    // what somebody asks for has no due time.
    let is_late = |(id, due): &&(_, Timestamp)| *due > ON_REQUEST && shard.is_open(*id);
    let now = shard.steady_clock.now();
    let late = endpoints.iter().filter(is_late).map(|(id, due)| {
        let late = now.duration_since(*due).as_secs_f64();
        let since_pause = shard.pauses.since_end(*id).map(|since| since.as_secs_f64());
        since_pause.map_or(late, |since| late.min(since))
    });
    Ok(Stored { waiting, oldest_due_seconds: late.fold(0.0, f64::max) })
}

/// Made once: they are told by whatever the figures are then.
static GAUGES: LazyLock<()> = LazyLock::new(|| {
    type Told = fn(&Figures) -> Option<f64>;
    let gauges: [(&str, &str, &str, Told); 5] = [
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
        ("keeptrusts_webhooks.shard.owned", "", "1: this process owns the shard", |_| Some(1.0)),
    ];
    let meter = meter();
    for (name, unit, about, told) in gauges {
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(about);
        gauge
            .with_callback(move |observer| {
                let figures = FIGURES.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for (shard, figures) in figures {
                    if let Some(value) = told(&figures) {
                        observer.observe(value, &[KeyValue::new("shard", i64::from(shard))]);
                    }
                }
            })
            .build();
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leases_that_are_not_looked_after_are_told_with_what_keeps_us_from_it() {
        let lasts = Duration::from_secs(10);
        let standing = Standing::new(Some(lasts));
        standing.not_tended(Some(Trouble::Silent));
        let told = "no shard was looked for yet (the database: it does not answer)";
        assert_eq!(standing.is_tended(), Err(told.to_owned()));
        standing.tended();
        standing.not_tended(Some(Trouble::NoMoreConnections));
        assert_eq!(standing.is_tended(), Ok(()), "they last a while");
        tokio::time::advance(lasts).await;
        let told = "the leases were not looked after for 10 s (the database: it takes no more connections)";
        assert_eq!(standing.is_tended(), Err(told.to_owned()));
        standing.tended();
        tokio::time::advance(lasts).await;
        let told = "the leases were not looked after for 10 s";
        assert_eq!(standing.is_tended(), Err(told.to_owned()), "what was before is over");
    }
}
