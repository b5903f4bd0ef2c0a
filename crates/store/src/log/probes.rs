//! Tries whether the database commits, when the last commits leave it open.
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
use crate::log::Log;
use crate::log::commits::Commits;

/// How long whoever asks waits for a try. It goes on, and the next who asks hears of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The shards of each kind that are tried at once.
const MAX_TRIES: usize = 4;

/// The tries of one process: one at a time, and not too often.
#[derive(Default)]
pub(crate) struct Probes(Mutex<Option<Last>>);

/// The last one.
struct Last {
    began: Instant,
    /// Changes when it is known whether the database commits; closed when it is over.
    progress: watch::Receiver<()>,
}

impl Probes {
    /// Waits for the try that is under way, or begins one unless the last is too recent.
    pub(crate) async fn run(&self, log: &Arc<Log>) {
        let Some(mut progress) = self.begin_or_join(log) else { return };
        // Late, or over: what is known by then counts.
        _ = timeout(PATIENCE, progress.changed()).await;
    }

    fn begin_or_join(&self, log: &Arc<Log>) -> Option<watch::Receiver<()>> {
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
        *last = Some(Last { began: Instant::now(), progress: progress.clone() });
        // Not in the future of whoever asks, which may be dropped in the middle.
        log.spawn(probe(Arc::clone(log), known));
        Some(progress)
    }
}

async fn probe(log: Arc<Log>, known: watch::Sender<()>) {
    let judgement = log.judge();
    for shard in &judgement.recovering {
        // One that the database fails says enough.
        if try_shard(&log, *shard)
            .await
            .is_err_and(|problem| problem.scope() == ProblemScope::Database)
        {
            break;
        }
    }
    if judgement.are_others_recovering {
        let others = log.store().other_writes();
        if let Some(failure) = others.failure() {
            let shard = judgement.witnesses.first().or(judgement.recovering.first());
            others.tried(failure, try_shard(&log, *shard.unwrap_or(&Shard(0))).await);
        }
    }
    for shard in judgement.witnesses.iter().take(MAX_TRIES) {
        if try_shard(&log, *shard).await.is_ok() {
            break;
        }
    }
    known.send_replace(());
    for shard in judgement.stuck.iter().take(MAX_TRIES) {
        _ = try_shard(&log, *shard).await;
    }
}

async fn try_shard(log: &Log, shard: Shard) -> Result<(), DatabaseProblem> {
    let commits: &Commits = log.commits(shard);
    let seen = commits.evidence().failure;
    let tried = log.store().try_commit(shard).await.map_err(|error| {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        tracing::warn!(%shard, trouble = %problem, error = %ErrorChain(&error), "tried in vain to commit");
        problem
    });
    commits.tried(seen, tried);
    tried
}
