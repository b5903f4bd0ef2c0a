//! The status of this process's dispatch work: its shards, whether it can work on them, and whether
//! its leases are maintained. Readiness and the gauges read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::DatabaseProblem;
use tokio::time::Instant;

use crate::pipeline::OwnedShard;

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
    /// Shards that this process cannot work on.
    unfit: Vec<Shard>,
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

    pub(crate) fn set_unfit(&self, shards: Vec<Shard>) {
        self.state().unfit = shards;
    }

    /// Whether this process can work on all its shards; otherwise the reason for people to read.
    pub(crate) fn check_shards(&self) -> Result<(), String> {
        let state = self.state();
        let given_up = state.shards.iter().filter(|(_, shard)| shard.unfit.is_cancelled());
        let unfit: BTreeSet<_> = given_up.map(|(number, _)| number).chain(&state.unfit).collect();
        if unfit.is_empty() {
            return Ok(());
        }
        let unfit: Vec<_> = unfit.into_iter().map(ToString::to_string).collect();
        Err(format!(
            "this process cannot work on shard {}, its log says why; a newer version may be able to, or `keeptrusts-webhooks log rebuild` may repair it",
            unfit.join(", ")
        ))
    }

    /// The shards that this process owns.
    pub(crate) fn owned(&self) -> Vec<Arc<OwnedShard>> {
        self.state().shards.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
