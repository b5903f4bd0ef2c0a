use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A time that is far enough from the beginning of the clock to subtract from.
fn now() -> Instant {
    Instant::now() + 1_000 * SECOND
}

fn failed(problem: DatabaseProblem, ago: Duration, now: Instant) -> CommitState {
    let failure = Failure { problem, at: now - ago, number: 1 };
    CommitState { failure: Some(failure), ..CommitState::default() }
}

fn committed(ago: Duration, now: Instant) -> CommitState {
    CommitState { succeeded: Some(now - ago), ..CommitState::default() }
}

#[tokio::test]
async fn a_blocked_shard_does_not_fail_the_database_while_others_commit() {
    let now = now();
    for problem in [DatabaseProblem::Locked, DatabaseProblem::Conflict, DatabaseProblem::TooSlow] {
        // The other shard committed after the failure, or shortly before it.
        for ago in [SECOND, 9 * SECOND] {
            let shards = [failed(problem, 5 * SECOND, now), committed(ago, now)];
            let assessment = assess(&shards, None, now);
            assert_eq!(assessment.result, Ok(()), "{problem}");
            assert!(!assessment.needs_probe(), "the database is not asked");
        }
    }
    let silent = CommitState { is_unanswered: true, ..CommitState::default() };
    assert_eq!(assess(&[silent, committed(SECOND, now)], None, now).result, Ok(()));
}

#[tokio::test]
async fn a_blocked_shard_fails_the_database_until_an_idle_one_has_been_probed() {
    let now = now();
    let idle = committed(60 * SECOND, now);
    let shards = [failed(DatabaseProblem::Locked, SECOND, now), idle, CommitState::default()];
    let assessment = assess(&shards, None, now);
    assert_eq!(assessment.result, Err(DatabaseProblem::Locked), "until a probe shows more");
    assert_eq!(assessment.unblocked, [Shard(1), Shard(2)]);
    assert_eq!(assessment.blocked, [Shard(0)], "it may be free by now");
}

#[tokio::test]
async fn a_database_all_of_whose_shards_are_blocked_does_not_commit() {
    let now = now();
    let locked = CommitState {
        succeeded: Some(now - SECOND),
        ..failed(DatabaseProblem::Locked, SECOND / 2, now)
    };
    let assessment = assess(&[locked, locked], None, now);
    assert_eq!(assessment.result, Err(DatabaseProblem::Locked), "they are no proof of each other");
    let silent =
        CommitState { is_unanswered: true, succeeded: Some(now - 6 * SECOND), failure: None };
    let assessment = assess(&[silent], None, now);
    assert_eq!(assessment.result, Err(DatabaseProblem::Silent));
    assert!(!assessment.needs_probe(), "the commit that is under way will tell");
}

#[tokio::test]
async fn a_failure_of_the_database_counts_until_it_is_refuted() {
    let now = now();
    // A larger write may fail where a smaller one does not.
    let full = [failed(DatabaseProblem::DiskFull, 5 * SECOND, now), committed(SECOND, now)];
    let assessment = assess(&full, None, now);
    assert_eq!(assessment.result, Err(DatabaseProblem::DiskFull));
    assert!(!assessment.needs_probe(), "a probe would not count yet");
    let full = [failed(DatabaseProblem::DiskFull, MIN_FAILURE_AGE, now), committed(SECOND, now)];
    assert_eq!(assess(&full, None, now).recovering, [Shard(0)]);

    // One connection was cut.
    let cut = |commit_ago| {
        [failed(DatabaseProblem::Unreachable, 2 * SECOND, now), committed(commit_ago, now)]
    };
    assert_eq!(assess(&cut(SECOND), None, now).result, Ok(()));
    assert_eq!(assess(&cut(3 * SECOND), None, now).result, Err(DatabaseProblem::Unreachable));
}

#[tokio::test]
async fn a_failure_of_another_write_counts_as_well() {
    let now = now();
    let shards = [committed(SECOND, now)];
    let others =
        |ago| Some(Failure { problem: DatabaseProblem::ReadOnly, at: now - ago, number: 1 });
    let assessment = assess(&shards, others(SECOND), now);
    assert_eq!(assessment.result, Err(DatabaseProblem::ReadOnly));
    assert!(!assessment.needs_probe());
    assert!(assess(&shards, others(MIN_FAILURE_AGE), now).are_others_recovering);
}
