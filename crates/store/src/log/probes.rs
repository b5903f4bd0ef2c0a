//! Probes: writes that change nothing, to learn whether the database commits when its last commits
//! leave that open.
//!
//! Decision: docs/decisions/health-is-looked-at-when-somebody-asks.md

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::database_problem::{DatabaseProblem, ProblemScope};
use crate::error_chain::ErrorChain;
use crate::limits::PROBE_INTERVAL;
use crate::log::background::BackgroundTasks;
use crate::log::shards::Shards;

/// How long a caller waits for a probe. The probe goes on; the next caller learns its result.
const CALLER_WAIT: Duration = Duration::from_secs(1);
/// How many shards of each kind one probe tries.
const MAX_SHARDS: usize = 4;

/// The probes of one process: one at a time, and at most one in each [`PROBE_INTERVAL`].
#[derive(Default)]
pub(crate) struct Probes(Mutex<Option<LastProbe>>);

struct LastProbe {
    began: Instant,
    /// Changes when it is known whether the database commits; closed when the probe has ended.
    progress: watch::Receiver<()>,
}

impl Probes {
    /// Waits for the probe that is running, or begins one unless the last is too recent.
    pub(crate) async fn run(&self, shards: &Arc<Shards>, tasks: &BackgroundTasks) {
        let Some(mut progress) = self.begin_or_join(shards, tasks) else { return };
        // Whether it changed, ended or took too long: what is known by then counts.
        _ = timeout(CALLER_WAIT, progress.changed()).await;
    }

    fn begin_or_join(
        &self,
        shards: &Arc<Shards>,
        tasks: &BackgroundTasks,
    ) -> Option<watch::Receiver<()>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            if last.progress.has_changed().is_ok() {
                return Some(last.progress.clone());
            }
            if last.began.elapsed() < PROBE_INTERVAL {
                return None;
            }
        }
        let (known, progress) = watch::channel(());
        *last = Some(LastProbe { began: Instant::now(), progress: progress.clone() });
        // A task of its own, because the caller's future may be dropped in the middle.
        tasks.spawn(probe(Arc::clone(shards), known));
        Some(progress)
    }
}

async fn probe(shards: Arc<Shards>, known: watch::Sender<()>) {
    let assessment = shards.assess();
    for shard in &assessment.recovering {
        // One failure of the database says enough.
        let outcome = try_shard(&shards, *shard).await;
        if outcome.is_err_and(|problem| problem.scope() == ProblemScope::Database) {
            break;
        }
    }
    if assessment.are_others_recovering {
        let others = shards.store().other_writes();
        if let Some(failure) = others.failure() {
            let shard = assessment.unblocked.first().or(assessment.recovering.first());
            others.probed(failure, try_shard(&shards, *shard.unwrap_or(&Shard(0))).await);
        }
    }
    for shard in assessment.unblocked.iter().take(MAX_SHARDS) {
        if try_shard(&shards, *shard).await.is_ok() {
            break;
        }
    }
    known.send_replace(());
    for shard in assessment.blocked.iter().take(MAX_SHARDS) {
        _ = try_shard(&shards, *shard).await;
    }
}

async fn try_shard(shards: &Shards, shard: Shard) -> Result<(), DatabaseProblem> {
    let commits = &shards.local(shard).commits;
    let failure_before = commits.state().failure;
    let outcome = shards.store().try_commit(shard).await.map_err(|error| {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        tracing::warn!(%shard, trouble = %problem, error = %ErrorChain(&error), "tried in vain to commit");
        problem
    });
    commits.probed(failure_before, outcome);
    outcome
}
