use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// When something is judged, far enough from the beginning of the clock for what was before.
fn now() -> Instant {
    Instant::now() + 1_000 * SECOND
}

fn failed(problem: DatabaseProblem, ago: Duration, now: Instant) -> Evidence {
    let failure = Failure { problem, at: now - ago, number: 1 };
    Evidence { failure: Some(failure), ..Evidence::default() }
}

fn committed(ago: Duration, now: Instant) -> Evidence {
    Evidence { succeeded: Some(now - ago), ..Evidence::default() }
}

#[tokio::test]
async fn a_stuck_shard_is_its_own_trouble_while_others_commit() {
    let now = now();
    for problem in [DatabaseProblem::Locked, DatabaseProblem::Conflict, DatabaseProblem::TooSlow] {
        // Since then, or a moment before.
        for ago in [SECOND, 9 * SECOND] {
            let shards = [failed(problem, 5 * SECOND, now), committed(ago, now)];
            let judgement = judge(&shards, None, now);
            assert_eq!(judgement.verdict, Ok(()), "{problem}");
            assert!(!judgement.is_open(), "nothing is asked");
        }
    }
    let silent = Evidence { is_silent: true, ..Evidence::default() };
    assert_eq!(judge(&[silent, committed(SECOND, now)], None, now).verdict, Ok(()));
}

#[tokio::test]
async fn a_stuck_shard_whose_others_are_idle_is_judged_by_what_they_say() {
    let now = now();
    let idle = committed(60 * SECOND, now);
    let shards = [failed(DatabaseProblem::Locked, SECOND, now), idle, Evidence::default()];
    let judgement = judge(&shards, None, now);
    assert_eq!(judgement.verdict, Err(DatabaseProblem::Locked), "as long as nobody knows better");
    assert_eq!(judgement.witnesses, [Shard(1), Shard(2)]);
    assert_eq!(judgement.stuck, [Shard(0)], "it may not be any more");
}

#[tokio::test]
async fn a_database_whose_every_shard_is_stuck_does_not_commit() {
    let now = now();
    let locked = Evidence {
        succeeded: Some(now - SECOND),
        ..failed(DatabaseProblem::Locked, SECOND / 2, now)
    };
    let judgement = judge(&[locked, locked], None, now);
    assert_eq!(judgement.verdict, Err(DatabaseProblem::Locked), "they are no proof of each other");
    let silent = Evidence { is_silent: true, succeeded: Some(now - 6 * SECOND), failure: None };
    let judgement = judge(&[silent], None, now);
    assert_eq!(judgement.verdict, Err(DatabaseProblem::Silent));
    assert!(!judgement.is_open(), "the commit that is under way will tell");
}

#[tokio::test]
async fn what_the_database_lacks_stands_until_it_is_refuted() {
    let now = now();
    // A larger write may fail where a smaller one does not.
    let full = [failed(DatabaseProblem::DiskFull, 5 * SECOND, now), committed(SECOND, now)];
    let judgement = judge(&full, None, now);
    assert_eq!(judgement.verdict, Err(DatabaseProblem::DiskFull));
    assert!(!judgement.is_open(), "a try would not be believed yet");
    let full = [failed(DatabaseProblem::DiskFull, DOUBT, now), committed(SECOND, now)];
    assert_eq!(judge(&full, None, now).recovering, [Shard(0)]);

    // One connection was cut.
    let cut = |commit_ago| {
        [failed(DatabaseProblem::Unreachable, 2 * SECOND, now), committed(commit_ago, now)]
    };
    assert_eq!(judge(&cut(SECOND), None, now).verdict, Ok(()));
    assert_eq!(judge(&cut(3 * SECOND), None, now).verdict, Err(DatabaseProblem::Unreachable));
}

#[tokio::test]
async fn writes_that_are_no_appends_say_whether_the_database_takes_any() {
    let now = now();
    let shards = [committed(SECOND, now)];
    let others =
        |ago| Some(Failure { problem: DatabaseProblem::ReadOnly, at: now - ago, number: 1 });
    let judgement = judge(&shards, others(SECOND), now);
    assert_eq!(judgement.verdict, Err(DatabaseProblem::ReadOnly));
    assert!(!judgement.is_open());
    assert!(judge(&shards, others(DOUBT), now).are_others_recovering);
}

fn unavailable(problem: DatabaseProblem) -> Result<(), StoreError> {
    Err(StoreError::Unavailable(problem.into()))
}

#[tokio::test(start_paused = true)]
async fn of_writes_that_are_no_appends_only_what_stops_all_writes_counts() {
    let writes = OtherWrites::default();
    for problem in [
        DatabaseProblem::Locked,
        DatabaseProblem::Conflict,
        DatabaseProblem::TooSlow,
        DatabaseProblem::Silent,
    ] {
        writes.note(&unavailable(problem));
        assert_eq!(writes.failure(), None, "{problem}");
    }
    for problem in
        [DatabaseProblem::DiskFull, DatabaseProblem::ReadOnly, DatabaseProblem::FilesFail]
    {
        writes.note(&unavailable(problem));
        assert_eq!(writes.failure().map(|failure| failure.problem), Some(problem));
    }
    // Of several small writes one may have had the last room.
    writes.note(&Ok::<_, StoreError>(()));
    assert!(writes.failure().is_some());
    tokio::time::advance(DOUBT).await;
    writes.note(&Ok::<_, StoreError>(()));
    assert_eq!(writes.failure(), None);
    writes.note(&unavailable(DatabaseProblem::ReadOnly));
    writes.passed();
    assert_eq!(writes.failure(), None, "an append was committed");
}
