//! The status of this process's dispatch work: its shards, whether it can work on them, and whether
//! its leases are maintained. Readiness and the gauges read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::DatabaseProblem;
use tokio::time::Instant;

use crate::pipeline::OwnedShard;

/// Shards that this process cannot work on, and their damage, if it is known to be the reason.
pub(crate) type UnfitShards = BTreeMap<Shard, Option<String>>;

pub(crate) struct DispatchStatus {
    /// The time to live of leases. None: they never end.
    leases_last: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shards: BTreeMap<Shard, Arc<OwnedShard>>,
    maintained_at: Option<Instant>,
    /// Why maintenance fails since then, if the database is the reason.
    problem: Option<DatabaseProblem>,
    unfit: UnfitShards,
}

impl DispatchStatus {
    pub(crate) fn new(leases_last: Option<Duration>) -> Arc<DispatchStatus> {
        Arc::new(DispatchStatus { leases_last, state: Mutex::default() })
    }

    pub(crate) fn add_shard(&self, number: Shard, shard: Arc<OwnedShard>) {
        self.state().shards.insert(number, shard);
    }

    pub(crate) fn remove_shard(&self, number: Shard) {
        self.state().shards.remove(&number);
    }

    pub(crate) fn leases_maintained(&self) {
        let mut state = self.state();
        (state.maintained_at, state.problem) = (Some(Instant::now()), None);
    }

    pub(crate) fn lease_maintenance_failed(&self, problem: Option<DatabaseProblem>) {
        self.state().problem = problem;
    }

    /// Whether the leases were maintained within their time to live; otherwise the reason for
    /// people to read.
    pub(crate) fn check_leases(&self) -> Result<(), String> {
        let State { maintained_at, problem, .. } = *self.state();
        let because = problem.map(|problem| format!(" (the database: {problem})"));
        let because = because.unwrap_or_default();
        match (maintained_at, self.leases_last) {
            (None, _) => Err(format!("no shard was looked for yet{because}")),
            (Some(time), Some(lasts)) if time.elapsed() >= lasts => {
                let seconds = time.elapsed().as_secs();
                Err(format!("the leases were not looked after for {seconds} s{because}"))
            }
            (Some(_), _) => Ok(()),
        }
    }

    pub(crate) fn set_unfit(&self, shards: UnfitShards) {
        self.state().unfit = shards;
    }

    /// Whether this process can work on all its shards; otherwise the reason for people to read.
    pub(crate) fn check_shards(&self) -> Result<(), String> {
        let state = self.state();
        let given_up = state.shards.iter().filter(|(_, shard)| shard.unfit.is_cancelled());
        let given_up = given_up.map(|(number, shard)| (*number, shard.damage.get().cloned()));
        let unfit: UnfitShards = state.unfit.clone().into_iter().chain(given_up).collect();
        match unfit.is_empty() {
            true => Ok(()),
            false => Err(unfit_reason(&unfit)),
        }
    }

    /// The shards that this process owns.
    pub(crate) fn owned(&self) -> Vec<Arc<OwnedShard>> {
        self.state().shards.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unfit_reason(unfit: &UnfitShards) -> String {
    let damages = unfit.values().flatten();
    let damages = damages.map(|damage| format!("{damage}; restore the database from a backup"));
    let others = unfit.iter().filter(|(_, damage)| damage.is_none());
    let others: Vec<_> = others.map(|(number, _)| number.to_string()).collect();
    let others = (!others.is_empty()).then(|| {
        format!(
            "this process cannot work on shard {}, its log says why; a newer version may be able to, or `keeptrusts-webhooks log rebuild` may repair it",
            others.join(", ")
        )
    });
    damages.chain(others).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leases_that_are_not_maintained_are_reported_with_the_cause() {
        let lasts = Duration::from_secs(10);
        let status = DispatchStatus::new(Some(lasts));
        status.lease_maintenance_failed(Some(DatabaseProblem::Silent));
        let expected = "no shard was looked for yet (the database: it does not answer)";
        assert_eq!(status.check_leases(), Err(expected.to_owned()));
        status.leases_maintained();
        status.lease_maintenance_failed(Some(DatabaseProblem::NoMoreConnections));
        assert_eq!(status.check_leases(), Ok(()), "they last a while");
        tokio::time::advance(lasts).await;
        let expected = "the leases were not looked after for 10 s (the database: it takes no more connections)";
        assert_eq!(status.check_leases(), Err(expected.to_owned()));
        status.leases_maintained();
        tokio::time::advance(lasts).await;
        let expected = "the leases were not looked after for 10 s";
        assert_eq!(status.check_leases(), Err(expected.to_owned()), "what was before is over");
    }

    #[test]
    fn damaged_shards_are_named_with_their_damage() {
        let status = DispatchStatus::new(None);
        assert_eq!(status.check_shards(), Ok(()));
        let damage = "the log of shard 2 is damaged: record 7 is missing";
        status.set_unfit(UnfitShards::from([
            (Shard(1), None),
            (Shard(2), Some(damage.to_owned())),
            (Shard(3), None),
        ]));
        let reason = status.check_shards().expect_err("some are unfit");
        assert!(
            reason.starts_with(&format!("{damage}; restore the database from a backup; ")),
            "{reason}"
        );
        assert!(
            reason.contains("this process cannot work on shard 1, 3, its log says"),
            "{reason}"
        );
    }
}
