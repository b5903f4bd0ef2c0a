//! Whether the database can do its work, judged by its last writes. Pure.
//!
//! What blocks one shard (its row is locked) says nothing of the others, and is told apart from what
//! stops the database: see [`assess`].
//!
//! Decision: docs/decisions/a-locked-row-leaves-the-process-ready.md

use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use tokio::time::Instant;

use crate::database_problem::{DatabaseProblem, ProblemScope};
use crate::log::commits::{CommitState, Failure};

/// How old the last failure must be before a small write counts as proof that it has passed: a full
/// disk may have room for the small write and not for an append. While appends go on failing, the
/// database is not ready. There is no probe before this age.
pub(crate) const MIN_FAILURE_AGE: Duration = Duration::from_secs(10);

/// How long a commit on one shard proves that the database commits, while other shards are blocked:
/// longer than from one probe to the next.
const PROOF_LIFETIME: Duration = Duration::from_secs(10);

/// What follows from the last writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assessment {
    /// Whether the database commits. The error says why not.
    pub(crate) result: Result<(), DatabaseProblem>,
    /// Shards on which the database failed, long enough ago for a small write to count.
    pub(crate) recovering: Vec<Shard>,
    /// The same of the writes that are not appends.
    pub(crate) are_others_recovering: bool,
    /// Blocked shards, if nothing shows that the other shards are not blocked.
    pub(crate) blocked: Vec<Shard>,
    /// Shards that are not known to be blocked, if a probe has to show whether all are.
    pub(crate) unblocked: Vec<Shard>,
}

impl Assessment {
    /// Whether a probe would tell more.
    pub(crate) fn needs_probe(&self) -> bool {
        let Assessment { recovering, are_others_recovering, blocked, unblocked, .. } = self;
        *are_others_recovering
            || !(recovering.is_empty() && blocked.is_empty() && unblocked.is_empty())
    }
}

/// Assesses the database by the commits of its shards and by the last failure of other writes.
///
/// - A failure of the database (its disk is full) counts until its shard commits again. If the
///   problem does not depend on the size of a write, a later commit on any shard refutes it too:
///   then it was the problem of one connection.
/// - A blocked shard (its row is locked, its commit is not answered) is a problem of that shard
///   only, as long as another shard has committed since, or within [`PROOF_LIFETIME`]. If none has,
///   a probe has to show it.
pub(crate) fn assess(shards: &[CommitState], others: Option<Failure>, now: Instant) -> Assessment {
    let is_old = |failure: &Failure| now.duration_since(failure.at) >= MIN_FAILURE_AGE;
    let last_commit = shards.iter().filter_map(|shard| shard.succeeded).max();
    let is_refuted = |failure: &Failure| {
        !failure.problem.depends_on_size() && last_commit.is_some_and(|time| time > failure.at)
    };
    let mut assessment = Assessment {
        result: others.map_or(Ok(()), |failure| Err(failure.problem)),
        recovering: Vec::new(),
        are_others_recovering: others.as_ref().is_some_and(is_old),
        blocked: Vec::new(),
        unblocked: Vec::new(),
    };
    // Since when shards are blocked, as far as is known, and why.
    let mut blocked = Vec::new();
    for (number, state) in (0..).zip(shards) {
        match state.failure {
            _ if state.is_unanswered => blocked.push((now, DatabaseProblem::Silent)),
            Some(failure) if failure.problem.scope() == ProblemScope::Rows => {
                assessment.blocked.push(Shard(number));
                blocked.push((failure.at, failure.problem));
            }
            Some(failure) if !is_refuted(&failure) => {
                assessment.result = assessment.result.and(Err(failure.problem));
                if is_old(&failure) {
                    assessment.recovering.push(Shard(number));
                }
            }
            _ => assessment.unblocked.push(Shard(number)),
        }
    }
    let of_unblocked = assessment.unblocked.iter().map(|shard| shards[usize::from(shard.0)]);
    let proof = of_unblocked.filter_map(|state| state.succeeded).max();
    let is_proven = |since: Instant| {
        proof.is_some_and(|time| time > since || now.duration_since(time) < PROOF_LIFETIME)
    };
    match blocked.into_iter().max_by_key(|(since, _)| *since) {
        Some((since, problem)) if !is_proven(since) => {
            assessment.result = assessment.result.and(Err(problem));
        }
        _ => {
            assessment.blocked.clear();
            assessment.unblocked.clear();
        }
    }
    assessment
}

#[cfg(test)]
#[path = "assessment_tests.rs"]
mod tests;
