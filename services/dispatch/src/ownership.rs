//! Decides which shards this process owns: takes leases, renews them, gives up what exceeds a fair
//! share.
//!
//! Decision: docs/decisions/leases-with-epochs.md

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::{
    ClusterState, ErrorChain, Lease, LogDamage, ShardLease, StoreError,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dependencies::Dependencies;
use crate::lease::HeldLease;
use crate::metrics::{self, LeaseChange};
use crate::pipeline::{self, OwnedShard};
use crate::status::DispatchStatus;

/// A lease whose end moves by more than this was renewed; the survey's own duration moves it by
/// less.
const RENEWAL_THRESHOLD: Duration = Duration::from_millis(500);

/// How long this process leaves a shard to the others after it could not work on it.
const UNFIT_BACKOFF: Duration = Duration::from_secs(60);

pub(crate) struct Ownership {
    /// This process's name among the members.
    member: String,
    dependencies: Dependencies,
    status: Arc<DispatchStatus>,
    held: BTreeMap<Shard, HeldShard>,
    /// The others' leases as of the last survey.
    others: BTreeMap<Shard, ForeignLease>,
    /// Since when shards have had no owner.
    unclaimed: BTreeMap<Shard, Instant>,
    /// Shards that this process could not work on.
    unfit: BTreeMap<Shard, UnfitShard>,
}

struct UnfitShard {
    /// Until then this process does not retry.
    until: Instant,
    /// The shard's damage, if that is the reason.
    damage: Option<String>,
}

impl UnfitShard {
    fn new(damage: Option<String>) -> UnfitShard {
        UnfitShard { until: Instant::now() + UNFIT_BACKOFF, damage }
    }
}

/// Another process's lease, and since when it was not renewed.
struct ForeignLease {
    /// When it ends, if the database's clock does not step.
    ends: Instant,
    since: Instant,
}

struct HeldShard {
    shard: Arc<OwnedShard>,
    work: JoinHandle<()>,
    /// No other process took it, though it was in another's share.
    was_unclaimed: bool,
}

impl Ownership {
    pub(crate) fn new(
        member: String,
        dependencies: Dependencies,
        status: Arc<DispatchStatus>,
    ) -> Ownership {
        Ownership {
            member,
            dependencies,
            status,
            held: BTreeMap::new(),
            others: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            unfit: BTreeMap::new(),
        }
    }

    /// Owns shards until `stop`; then finishes what is under way, until `give_up`, and gives the
    /// shards back.
    pub(crate) async fn run(mut self, stop: CancellationToken, give_up: CancellationToken) {
        loop {
            let next = self.maintain().await;
            // Where nobody else can take a lease, nothing is ever renewed (invariant 11).
            let wait = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => self.first_to_finish().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = wait => {}
            }
        }
        self.give_back_all(give_up).await;
    }

    /// Renews, gives up and takes leases; returns how long until the next time.
    async fn maintain(&mut self) -> Option<Duration> {
        let time_to_live = self.dependencies.settings.lease_time_to_live;
        self.collect_ended().await;
        let interval = match self.renew_all(time_to_live).await {
            true => time_to_live / 3,
            // Leaves several attempts before the lease ends.
            false => time_to_live / 10,
        };
        let mut cluster = match self
            .dependencies
            .log
            .store()
            .heartbeat(&self.member, time_to_live)
            .await
        {
            Ok(cluster) => cluster,
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "cannot see who owns which shard, trying again");
                self.status.lease_maintenance_failed(error.problem());
                return Some(interval.min(Duration::from_secs(1)));
            }
        };
        self.status.leases_maintained();
        self.note_rows(&mut cluster);
        let is_shared = self.dependencies.log.store().is_shared();
        let share = match is_shared {
            true => fair_share(&cluster, &self.member),
            false => cluster.shards.len(),
        };
        self.give_up_surplus(share);
        if is_shared {
            self.note_unclaimed(&cluster);
            self.release_stale_leases(&cluster, time_to_live).await;
        }
        self.take_free(&cluster, share, time_to_live).await;
        if !is_shared {
            let all = self.held.len() == cluster.shards.len();
            return if all { None } else { Some(interval) };
        }
        // Wakes when another's lease would end, to take the shard over at once.
        let others = cluster.shards.iter().filter(|lease| !self.held.contains_key(&lease.shard));
        let soonest = others.map(|lease| lease.expires_in).filter(|wait| !wait.is_zero()).min();
        let margin = Duration::from_millis(20);
        Some(soonest.map_or(interval, |wait| interval.min(wait + margin)))
    }

    /// Leaves out rows of shards that do not exist, and notes shards that have no row.
    fn note_rows(&mut self, cluster: &mut ClusterState) {
        let shard_count = self.dependencies.log.store().shard_count();
        cluster.shards.retain(|lease| lease.shard.0 < shard_count);
        let present: BTreeSet<_> = cluster.shards.iter().map(|lease| lease.shard).collect();
        for number in (0..shard_count).map(Shard).filter(|number| !present.contains(number)) {
            let damage = LogDamage::NoShardRow.of(number).to_string();
            self.unfit.insert(number, UnfitShard::new(Some(damage)));
        }
    }

    /// Whether all of them were renewed, or have passed to others.
    async fn renew_all(&mut self, time_to_live: Duration) -> bool {
        let store = self.dependencies.log.store();
        if !store.is_shared() {
            return true;
        }
        // All at the same time: one after the other, the last ones might come too late.
        let renewals = self.held.values().map(async |held| {
            let lease = &held.shard.lease;
            let requested_at = (self.dependencies.uptime)();
            match store.renew_lease(lease.lease(), time_to_live).await {
                Ok(true) if lease.is_valid() => lease.extend(requested_at, time_to_live),
                // It expired here, although the database still has it for us: the work has stopped.
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(shard = %lease.shard(), "the shard has passed to another process");
                    held.shard.abort.cancel();
                }
                Err(error) => {
                    tracing::warn!(shard = %lease.shard(), error = %ErrorChain(&error), "cannot renew a lease");
                    return false;
                }
            }
            true
        });
        join_all(renewals).await.into_iter().all(|renewed| renewed)
    }

    fn give_up_surplus(&self, share: usize) {
        let working = self.held.values().filter(|held| !held.shard.stop.is_cancelled());
        let mut working: Vec<_> = working.collect();
        // Shards that nobody else took are kept: the others may not be able to work on them.
        working.sort_by_key(|held| !held.was_unclaimed);
        for held in working.into_iter().skip(share) {
            tracing::info!(shard = %held.shard.lease.shard(), "giving the shard to another process");
            // Given back when what is under way has finished; renewed until then.
            held.shard.stop.cancel();
        }
    }

    /// Releases leases that outlast their owners: if the database's clock is set back, the lease of
    /// a dead process would not expire until the clock is where it was. A lease that ends later
    /// than any lease can, and was not renewed for twice its time to live, is stale. The next
    /// survey finds it free. If its owner is alive after all, it learns that when it renews.
    async fn release_stale_leases(&mut self, cluster: &ClusterState, time_to_live: Duration) {
        let now = Instant::now();
        let mut stale = Vec::new();
        for lease in &cluster.shards {
            let number = lease.shard;
            let is_foreign = lease.owner.is_some() && !self.held.contains_key(&number);
            let Some(ends) = now.checked_add(lease.expires_in).filter(|_| is_foreign) else {
                self.others.remove(&number);
                continue;
            };
            let seen = self.others.entry(number).or_insert(ForeignLease { ends, since: now });
            if ends > seen.ends + RENEWAL_THRESHOLD {
                *seen = ForeignLease { ends, since: now };
            }
            let outlasts = lease.expires_in > time_to_live;
            let is_stale = outlasts && now.duration_since(seen.since) >= 2 * time_to_live;
            if let Some(epoch) = lease.epoch.filter(|_| is_stale) {
                stale.push(Lease { shard: number, epoch });
            }
        }
        let store = self.dependencies.log.store();
        let releases = stale.into_iter().map(async |lease: Lease| {
            tracing::warn!(shard = %lease.shard, "a lease was not renewed, but would not run out: the database's clock was set back");
            if let Err(error) = store.release_lease(lease).await {
                let error = ErrorChain(&error);
                tracing::warn!(shard = %lease.shard, %error, "cannot release the lease, trying again");
            }
        });
        join_all(releases).await;
    }

    /// Notes which shards have no owner. If one stays without, the process in whose share it is
    /// could not work on it.
    fn note_unclaimed(&mut self, cluster: &ClusterState) {
        let now = Instant::now();
        for lease in &cluster.shards {
            match lease.owner {
                Some(_) => _ = self.unclaimed.remove(&lease.shard),
                None => _ = self.unclaimed.entry(lease.shard).or_insert(now),
            }
        }
    }

    async fn take_free(&mut self, cluster: &ClusterState, share: usize, time_to_live: Duration) {
        let store = self.dependencies.log.store();
        // If no other process can exist, the owner of any other lease is dead.
        let is_free = |lease: &&ShardLease| lease.is_free() || !store.is_shared();
        let now = Instant::now();
        let is_unclaimed = |shard: &Shard| {
            let since = self.unclaimed.get(shard);
            since.is_some_and(|since| now.duration_since(*since) >= time_to_live)
        };
        let mut wanted = Vec::new();
        for candidate in cluster.shards.iter().filter(is_free) {
            // Shards of a dead process, or of one that cannot work on them, are taken whatever the
            // share: they cannot wait.
            let was_unclaimed = is_unclaimed(&candidate.shard);
            let is_orphan = candidate.owner.is_some() || was_unclaimed;
            let has_room = self.held.len() + wanted.len() < share;
            let is_resting =
                self.unfit.get(&candidate.shard).is_some_and(|unfit| now < unfit.until);
            if !self.held.contains_key(&candidate.shard) && !is_resting && (has_room || is_orphan) {
                wanted.push((candidate.shard, was_unclaimed));
            }
        }
        // All at the same time: a dead process's shards have waited long enough.
        let taking = wanted.into_iter().map(async |(number, was_unclaimed)| {
            let requested_at = (self.dependencies.uptime)();
            match store.acquire_lease(number, &self.member, time_to_live).await {
                Ok(lease) => Ok(lease.map(|lease| (lease, requested_at, was_unclaimed))),
                Err(error) => {
                    let error = store.damage_or(number, error).await;
                    tracing::warn!(shard = %number, error = %ErrorChain(&error), "cannot take the shard");
                    Err((number, error))
                }
            }
        });
        let taken = join_all(taking).await;
        for (number, error) in taken.iter().filter_map(|taken| taken.as_ref().err()) {
            if let damage @ StoreError::DamagedLog { .. } = error {
                self.unfit.insert(*number, UnfitShard::new(Some(damage.to_string())));
            }
        }
        self.report_unfit();
        let taken = taken.into_iter().filter_map(Result::ok).flatten();
        for (lease, requested_at, was_unclaimed) in taken {
            tracing::info!(shard = %lease.shard, epoch = %lease.epoch, "took the shard");
            metrics::count_lease_change(LeaseChange::Taken);
            let lasts = self.dependencies.log.store().is_shared().then_some(time_to_live);
            let held =
                HeldLease::new(lease, requested_at, lasts, Arc::clone(&self.dependencies.uptime));
            let shard = Arc::new(OwnedShard::new(held, self.dependencies.clone()));
            let work = tokio::spawn(pipeline::work(Arc::clone(&shard)));
            self.status.add_shard(lease.shard, Arc::clone(&shard));
            self.held.insert(lease.shard, HeldShard { shard, work, was_unclaimed });
        }
    }

    /// Gives back the shards whose work has ended.
    async fn collect_ended(&mut self) {
        let ended: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| held.work.is_finished())
            .map(|(number, _)| *number)
            .collect();
        let ended: Vec<_> =
            ended.iter().filter_map(|number| self.held.remove_entry(number)).collect();
        for (number, held) in &ended {
            if held.shard.unfit.is_cancelled() {
                let damage = held.shard.damage.get().cloned();
                self.unfit.insert(*number, UnfitShard::new(damage));
            }
        }
        // A shard that this process works on again is no longer unfit.
        self.unfit.retain(|number, _| {
            let held = self.held.get(number);
            held.is_none_or(|held| !held.shard.is_ready.load(Ordering::Relaxed))
        });
        self.report_unfit();
        join_all(ended.into_iter().map(|(_, held)| self.give_back(held))).await;
    }

    fn report_unfit(&self) {
        let unfit = self.unfit.iter().map(|(number, unfit)| (*number, unfit.damage.clone()));
        self.status.set_unfit(unfit.collect());
    }

    async fn give_back(&self, held: HeldShard) {
        let number = held.shard.lease.shard();
        self.status.remove_shard(number);
        match self.dependencies.log.store().release_lease(held.shard.lease.lease()).await {
            // It was lost, which has been logged.
            Ok(()) if held.shard.abort.is_cancelled() => {}
            Ok(()) => {
                metrics::count_lease_change(LeaseChange::GivenBack);
                tracing::info!(shard = %number, "gave the shard back");
            }
            Err(error) => {
                tracing::warn!(shard = %number, error = %ErrorChain(&error), "cannot give the shard back");
            }
        }
    }

    /// Waits until the work on some shard ends.
    async fn first_to_finish(&mut self) {
        let mut works: Vec<_> = self.held.values_mut().map(|held| &mut held.work).collect();
        std::future::poll_fn(|context| {
            let finished =
                works.iter_mut().any(|work| Pin::new(&mut **work).poll(context).is_ready());
            if finished { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn give_back_all(&mut self, give_up: CancellationToken) {
        for held in self.held.values() {
            held.shard.stop.cancel();
        }
        // First, so that the others' shares grow: they take each shard as it is given back.
        let leaving = self.dependencies.log.store().leave(&self.member);
        if let Some(Err(error)) = give_up.run_until_cancelled(leaving).await {
            let error = ErrorChain(&error);
            tracing::warn!(%error, "cannot leave the list of processes; the entry will expire");
        }
        let time_to_live = self.dependencies.settings.lease_time_to_live;
        let finished = give_up.run_until_cancelled(async {
            while !self.held.is_empty() {
                // Attempts under way may take up to the request timeout, so the leases must be
                // renewed.
                self.renew_all(time_to_live).await;
                _ = tokio::time::timeout(time_to_live / 3, self.first_to_finish()).await;
                self.collect_ended().await;
            }
        });
        if finished.await.is_none() {
            tracing::warn!(
                "outcomes were not recorded in time; the next owner repeats those attempts"
            );
            self.held.values().for_each(|held| held.shard.abort.cancel());
            while !self.held.is_empty() {
                self.first_to_finish().await;
                self.collect_ended().await;
            }
        }
    }
}

/// How many shards a member should own: all of them, evenly divided; the first members own one
/// more.
fn fair_share(cluster: &ClusterState, member: &str) -> usize {
    let members = cluster.members.len().max(1);
    let index = cluster.members.iter().position(|other| other == member).unwrap_or(0);
    cluster.shards.len() / members + usize::from(index < cluster.shards.len() % members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_members_add_up_to_all_shards() {
        for member_count in 1..=20 {
            let members: Vec<_> = (0..member_count).map(|number| format!("{number:02}")).collect();
            let shards = (0..16).map(|number| ShardLease {
                shard: Shard(number),
                owner: None,
                epoch: None,
                expires_in: Duration::ZERO,
            });
            let cluster = ClusterState { members: members.clone(), shards: shards.collect() };
            let shares: usize = members.iter().map(|member| fair_share(&cluster, member)).sum();
            assert_eq!(shares, 16, "{member_count} members");
        }
    }
}
