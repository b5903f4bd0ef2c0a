//! Following a shard: every record once and in order, and no needless read.

use tokio::task::JoinSet;

use super::*;
use crate::limits::{MAX_TAIL_RECORDS, SLOW_POLL};

/// Reads this many records; fails if they are not the next ones.
async fn read_along(mut follower: Follower, last: i64) -> Vec<Arc<Record>> {
    let mut seen = Vec::<Arc<Record>>::new();
    while follower.position().0 < last {
        let before = follower.position();
        let records = follower.next(100).await.expect("reads");
        assert!((1..=100).contains(&records.len()));
        assert_eq!(records[0].position, before.next());
        seen.extend(records);
    }
    assert!(seen.windows(2).all(|two| two[1].position == two[0].position.next()));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_followers_read_every_record_once_and_in_order_while_many_append() {
    const WRITERS: usize = 16;
    const APPENDS: usize = 50;
    let store = FaultyStore::failing([Fault::LostAfter, Fault::LostBefore, Fault::LostAfter]);
    let log = start(&store).await;
    let endpoint = endpoint_id();
    log.append(SHARD, create_endpoint(endpoint)).await.expect("appended");
    let last = 1 + (WRITERS * APPENDS * 2) as i64;
    let mut followers = JoinSet::new();
    for after in [0, 0, 1] {
        followers.spawn(read_along(log.follow(SHARD, Position(after)), last));
    }
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            for _ in 0..APPENDS {
                let operations = vec![
                    publish(event_id()),
                    rename_endpoint(endpoint, version(0), "refused"),
                    rename_endpoint(endpoint, ExpectedVersion::Any, "renamed"),
                ];
                let results = log.append_all(SHARD, operations).await;
                assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
            }
        });
    }
    writers.join_all().await;
    let records = store.store().read(SHARD, Position::START, 10_000).await.expect("reads");
    assert_eq!(records.len() as i64, last);
    while let Some(seen) = followers.join_next().await {
        let seen = seen.expect("the follower reads along");
        assert!(seen.iter().map(Arc::as_ref).eq(&records[records.len() - seen.len()..]));
    }
}

#[tokio::test(start_paused = true)]
async fn new_records_are_read_from_memory_and_forgotten_ones_from_the_database() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let last = (MAX_TAIL_RECORDS + 1_000) as i64;
    let from_the_beginning = log.follow(SHARD, Position::START);
    for _ in 0..last / 92 + 1 {
        log.append_all(SHARD, events(92)).await;
    }
    let remembered = Position(log.watch(SHARD).borrow().0 - MAX_TAIL_RECORDS as i64);
    let seen = read_along(log.follow(SHARD, remembered), last).await;
    assert_eq!(store.reads(), 0);
    assert_eq!(seen.first().map(|record| record.position), Some(remembered.next()));

    let from_the_database = log.read(SHARD, Position(remembered.0 - 1), 1).await.expect("reads");
    assert_eq!(from_the_database[0].position, remembered);
    assert_eq!(store.reads(), 1);
    assert!(read_along(from_the_beginning, last).await.len() as i64 >= last);
}

#[tokio::test(start_paused = true)]
async fn a_follower_reads_across_records_of_another_process() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    log.append_all(SHARD, events(3)).await;
    store.store().append(SHARD, &events(2)).await.expect("appends");
    log.append_all(SHARD, events(3)).await;
    store.store().append(SHARD, &events(1)).await.expect("appends");
    let seen = read_along(log.follow(SHARD, Position::START), 8).await;
    assert_eq!(seen.len(), 9, "the database has one more than was heard of");
    log.append_all(SHARD, events(1)).await;
    assert_eq!(read_along(log.follow(SHARD, Position(2)), 10).await.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_events_are_kept_in_memory_and_those_of_attempts_are_not() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let (event, refused) = (event_id(), event_id());
    let [event_body, refused_body] = [event, refused].map(BodyId::Event);
    let attempt_body = BodyId::Attempt(attempt_id());
    let operations = vec![
        publish(event).with_body(event_body, "of the event", Timestamp::MAX).with_body(
            attempt_body,
            "of the attempt",
            Timestamp::MAX,
        ),
        publish(refused).with_body(refused_body, "refused", Timestamp::MAX).advancing(7, 8),
    ];
    log.append_all(SHARD, operations).await;
    let bodies = log.bodies(SHARD, &[event_body]).await.expect("reads");
    assert_eq!(bodies[&event_body], "of the event");
    assert_eq!(store.reads(), 0);
    let bodies = log.bodies(SHARD, &[refused_body, event_body, attempt_body]).await.expect("reads");
    assert_eq!(bodies[&attempt_body], "of the attempt");
    assert_eq!(bodies.len(), 2);
    assert_eq!(store.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_wakes_only_for_new_positions() {
    let store = FaultyStore::failing([]);
    let (announce, hints) = mpsc::channel(8);
    *store.hints.lock().unwrap() = Some(hints);
    let log = start(&store).await;
    let mut watch = log.watch(SHARD);
    let mut news = async |what: &str, expected: bool| {
        settle().await;
        assert_eq!(watch.has_changed().unwrap(), expected, "{what}");
        watch.borrow_and_update().0
    };
    log.append_all(SHARD, events(2)).await;
    assert_eq!(news("an append", true).await, 2);
    let absent = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent");
    log.append(SHARD, absent).await.expect_err("refused");
    news("a refusal", false).await;
    for (hint, is_news) in [(1, false), (2, false), (7, true), (7, false)] {
        announce.send((SHARD, Position(hint))).await.expect("the log listens");
        news("a hint", is_news).await;
    }
    announce.send((Shard(99), Position(9))).await.expect("the log listens");
    assert_eq!(news("a hint for a shard that is not there", false).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_follower_learns_of_other_processes_records_by_hints_and_by_the_slow_poll() {
    let store = FaultyStore::failing([]);
    let (announce, hints) = mpsc::channel(8);
    *store.hints.lock().unwrap() = Some(hints);
    let log = start(&store).await;
    let mut follower = log.follow(SHARD, Position::START);
    store.store().append(SHARD, &events(1)).await.expect("appends");
    let begun = Instant::now();
    announce.send((SHARD, Position(1))).await.expect("the log listens");
    assert_eq!(follower.next(10).await.expect("reads").len(), 1);
    assert!(begun.elapsed() < SLOW_POLL / 2, "by the hint");

    store.store().append(SHARD, &events(1)).await.expect("appends");
    assert_eq!(follower.next(10).await.expect("reads").len(), 1);
    assert!(begun.elapsed() <= SLOW_POLL + Duration::from_secs(1), "by the slow poll");
}

#[tokio::test(start_paused = true)]
async fn invariant_11_an_idle_log_asks_the_database_nothing() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let follower = log.follow(SHARD, Position::START);
    let at_start = store.states();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((store.reads(), store.states()), (0, at_start), "no other process");
    drop((follower, log));

    let shared = FaultyStore::failing([]);
    let (_announce, hints) = mpsc::channel(8);
    *shared.hints.lock().unwrap() = Some(hints);
    let log = start(&shared).await;
    let at_start = shared.states();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((shared.reads(), shared.states()), (0, at_start), "nobody reads along");
    let _follower = log.follow(SHARD, Position::START);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let polls = shared.states() - at_start;
    assert!(polls as u64 <= 3_600 / SLOW_POLL.as_secs() + 1, "{polls} polls in an hour");
    assert_eq!(shared.reads(), 0);
}
