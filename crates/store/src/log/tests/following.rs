//! Following an organization: each of its records once and in order, and one read for all followers.

use super::*;
use crate::limits::FEED_BATCHES;
use crate::log::feed::{OrganizationFollower, OrganizationRecords};

/// Follows the organization of most tests.
fn follow(log: &Arc<Log>, after: i64) -> OrganizationFollower {
    log.follow_organization(SHARD, &organization(), Position(after))
}

fn positions_of(own: &OrganizationRecords) -> Vec<i64> {
    own.records.iter().map(|record| record.position.0).collect()
}

/// Reads up to a position; returns the positions of the records.
async fn read_until(follower: &mut OrganizationFollower, last: i64) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|seen| *seen < last) {
        let own = follower.next().await.expect("reads");
        assert!(own.after < own.records[0].position);
        assert!(own.records.iter().all(|record| record.organization_id == organization()));
        seen.extend(positions_of(&own));
    }
    seen
}

fn others(count: usize) -> Vec<Operation> {
    events(count).into_iter().map(|event| event.of(other_organization())).collect()
}

/// A log with another process that announces positions.
async fn shared() -> (Arc<FaultyStore>, mpsc::Sender<(Shard, Position)>, Arc<Log>) {
    let store = FaultyStore::failing([]);
    let (announce, hints) = mpsc::channel(8);
    *store.hints.lock().unwrap() = Some(hints);
    let log = start(&store).await;
    (store, announce, log)
}

#[tokio::test(start_paused = true)]
async fn records_of_another_process_are_read_once_for_all_followers() {
    let (store, announce, log) = shared().await;
    let mut followers: Vec<_> = (0..1_000).map(|_| follow(&log, 0)).collect();
    for round in 1..=3_i64 {
        store.store().append(SHARD, &events(1)).await.expect("appends");
        announce.send((SHARD, Position(round))).await.expect("the log listens");
        for follower in &mut followers {
            assert_eq!(positions_of(&follower.next().await.expect("reads")), [round]);
        }
        assert_eq!(store.reads() as i64, round, "one question for all of them");
    }
}

#[tokio::test(start_paused = true)]
async fn records_of_another_organization_wake_no_follower() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let mut follower = follow(&log, 0);
    let next = follower.next();
    tokio::pin!(next);
    log.append_all(SHARD, others(3)).await;
    assert!(tokio::time::timeout(PATIENCE, &mut next).await.is_err(), "nothing of its own");
    log.append_all(SHARD, events(1)).await;
    let own = next.await.expect("reads");
    assert_eq!((own.after, positions_of(&own)), (Position(0), vec![4]));
    assert_eq!(store.reads(), 0, "all of it was remembered");
}

#[tokio::test(start_paused = true)]
async fn a_slow_follower_reads_the_log_itself_and_misses_nothing() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let (mut quick, mut slow) = (follow(&log, 0), follow(&log, 0));
    let rounds = (FEED_BATCHES * 3) as i64;
    let mut own = Vec::new();
    for round in 0..rounds {
        log.append_all(SHARD, others(1)).await;
        log.append_all(SHARD, events(1)).await;
        own.push(2 * round + 2);
        settle().await;
        assert_eq!(read_until(&mut quick, 2 * round + 2).await, [2 * round + 2]);
    }
    assert_eq!(read_until(&mut slow, 2 * rounds).await, own);
    log.append_all(SHARD, events(2)).await;
    let next = [2 * rounds + 1, 2 * rounds + 2];
    assert_eq!(read_until(&mut slow, next[1]).await, next, "and keeps up again");
    assert_eq!(read_until(&mut quick, next[1]).await, next);
}

#[tokio::test(start_paused = true)]
async fn a_later_follower_begins_at_the_position_that_it_names() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    log.append_all(SHARD, events(3)).await;
    let mut from_now = follow(&log, 3);
    log.append_all(SHARD, events(1)).await;
    let mut from_the_beginning = follow(&log, 0);
    let mut from_the_second = follow(&log, 1);
    log.append_all(SHARD, events(1)).await;
    assert_eq!(read_until(&mut from_now, 5).await, [4, 5]);
    assert_eq!(read_until(&mut from_the_beginning, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(read_until(&mut from_the_second, 5).await, [2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn every_follower_gets_the_databases_error_and_can_go_on() {
    let (store, announce, log) = shared().await;
    let mut follower = follow(&log, 0);
    store.store().append(SHARD, &events(2)).await.expect("appends");
    // One read of the feed, and one of the follower.
    store.failing_reads.store(2, Ordering::SeqCst);
    announce.send((SHARD, Position(2))).await.expect("the log listens");
    assert!(follower.next().await.is_err());
    assert_eq!(read_until(&mut follower, 2).await, [1, 2], "nothing is lost");
    store.store().append(SHARD, &events(1)).await.expect("appends");
    announce.send((SHARD, Position(3))).await.expect("the log listens");
    assert_eq!(read_until(&mut follower, 3).await, [3]);
}

#[tokio::test(start_paused = true)]
async fn invariant_11_when_nobody_follows_nothing_is_read() {
    let (store, announce, log) = shared().await;
    drop(follow(&log, 0));
    settle().await;
    store.store().append(SHARD, &events(1)).await.expect("appends");
    announce.send((SHARD, Position(1))).await.expect("the log listens");
    let at_start = store.states();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((store.reads(), store.states()), (0, at_start));
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_that_come_and_go_while_many_append_see_every_record_once() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let appending = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            for _ in 0..300 {
                log.append_all(SHARD, others(1)).await;
                log.append_all(SHARD, events(2)).await;
            }
        }
    });
    let all: Vec<i64> = (1..=900).filter(|position| position % 3 != 1).collect();
    let mut readers = tokio::task::JoinSet::new();
    for after in (0..900).step_by(50) {
        let log = Arc::clone(&log);
        let expected: Vec<_> = all.iter().copied().filter(|position| *position > after).collect();
        readers.spawn(async move {
            let mut follower = follow(&log, after);
            assert_eq!(read_until(&mut follower, 900).await, expected, "after {after}");
        });
        tokio::task::yield_now().await;
    }
    while let Some(read) = readers.join_next().await {
        read.expect("it saw everything");
    }
    appending.await.expect("appends");
}
