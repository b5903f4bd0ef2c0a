//! Several processes on one database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::Connection;
use sqlx::postgres::PgListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{connect, database, open, waiting_session};
use crate::log::operation::Refusal;
use crate::postgres::session::fetch;
use crate::store::Store;
use crate::testing::conformance::given::{SHARD, create_endpoint, endpoint_id, event_id, publish};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_two_processes_append_to_one_shard_without_a_gap() {
    const APPENDS: usize = 50;
    let url = database().await;
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let mut processes = JoinSet::new();
    for store in &stores {
        let store = Arc::clone(store);
        processes.spawn(async move {
            for _ in 0..APPENDS {
                let batch = [publish(event_id()), publish(event_id())];
                store.append(SHARD, &batch).await.expect("appends");
            }
        });
    }
    processes.join_all().await;
    let log = stores[0].read(SHARD, Position::START, 1_000).await.expect("reads");
    let positions: Vec<_> = log.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, (1..=4 * APPENDS as i64).collect::<Vec<_>>());
    assert!(log.is_sorted_by_key(|record| record.recorded_at), "time goes with the positions");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_has_the_time_of_the_databases_clock_also_after_that_was_set() {
    const HOUR: i64 = 3_600_000_000;
    let url = database().await;
    let store = open(&url).await;
    let mut connection = connect(&url).await;
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    for believed in [0, HOUR, -HOUR] {
        store.append(SHARD, &[publish(event_id())]).await.expect("appends");
        store.shift_remembered_clocks(believed).await;
        let before: i64 =
            sqlx::query_scalar(clock).fetch_one(&mut connection).await.expect("reads");
        let appended = store.append(SHARD, &[publish(event_id())]).await.expect("appends");
        let after: i64 = sqlx::query_scalar(clock).fetch_one(&mut connection).await.expect("reads");
        let recorded = appended.records[0].recorded_at.as_microsecond();
        // What is known of the clock is behind by the time that an answer takes.
        let earliest = before - 1_000_000;
        assert!((earliest..=after).contains(&recorded), "{before}, {recorded}, {after}");
    }
    let log = store.read(SHARD, Position::START, 1_000).await.expect("reads");
    assert!(log.is_sorted_by_key(|record| record.recorded_at), "time goes with the positions");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_5_an_owner_that_loses_its_lease_while_its_append_waits_is_refused() {
    let url = database().await;
    let store = Arc::new(open(&url).await);
    let lease = store.acquire_lease(SHARD, "us", PATIENCE).await.expect("asks").expect("is free");

    let mut successor = connect(&url).await;
    let mut taking_over = successor.begin().await.expect("begins");
    let take_over = "UPDATE shards SET epoch = epoch + 1, lease_owner = 'them' WHERE shard = 0";
    sqlx::raw_sql(take_over).execute(&mut *taking_over).await.expect("takes over");
    let append = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(SHARD, &[publish(event_id()).fenced(lease.epoch)]).await }
    });
    waiting_session(&mut connect(&url).await).await;
    taking_over.commit().await.expect("commits");

    let appended = append.await.expect("no panic").expect("answers");
    assert!(matches!(appended.results[..], [Err(Refusal::LeaseLost { .. })]), "{appended:?}");
    assert!(!store.renew_lease(lease, PATIENCE).await.expect("asks"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_reads_delays_no_append_and_no_lease() {
    let url = database().await;
    let store = open(&url).await;
    let mut reads = JoinSet::new();
    for _ in 0..20 {
        let readers = store.readers.clone();
        let sleep = sqlx::query_as::<_, (String,)>("SELECT pg_sleep(2)::text");
        reads.spawn(async move { fetch(&readers, sleep).await });
    }
    let mut connection = connect(&url).await;
    super::eventually("the readers are busy", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("answers");
        (count == i64::from(store.readers.size())).then_some(())
    })
    .await;

    let flooded = Instant::now();
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    store.acquire_lease(SHARD, "us", PATIENCE).await.expect("asks").expect("is free");
    assert!(flooded.elapsed() < Duration::from_secs(1), "{:?}", flooded.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_receive_the_newest_position() {
    let url = database().await;
    let (store, other) = (open(&url).await, open(&url).await);
    let mut hints = other.take_hints().expect("another process");
    assert!(other.take_hints().is_none(), "hints are taken once");

    let shard = Shard(3);
    let heard = async {
        // Announcements are lost until the other process listens.
        let mut announced = 0;
        loop {
            announced += 1_000;
            (announced - 1_000..=announced)
                .for_each(|position| store.announce(shard, Position(position)));
            let pause = Duration::from_millis(200);
            while let Ok(Some(hint)) = timeout(pause, hints.recv()).await {
                if hint == (shard, Position(announced)) {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("the position is heard");
    store.announce(Shard(16), Position(1));
    store.close().await;
    store.announce(shard, Position(i64::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_alone_announces_nothing_until_another_one_listens() {
    let url = database().await;
    let store = open(&url).await;
    let mut stranger = PgListener::connect(&url).await.expect("connects");
    stranger.listen("keeptrusts_webhooks_log").await.expect("listens");
    let shard = Shard(3);
    // At first it announces, because nobody could greet it before it listened.
    let mut announced = 0;
    super::eventually("the process finds that it is alone", async || {
        announced += 1;
        store.announce(shard, Position(announced));
        let heard = timeout(Duration::from_millis(100), stranger.recv()).await;
        heard.is_err().then_some(())
    })
    .await;

    let other = open(&url).await;
    let mut hints = other.take_hints().expect("another process");
    let heard = async { while hints.recv().await != Some((shard, Position(announced))) {} };
    timeout(PATIENCE, heard).await.expect("what was announced before is announced again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_differences_that_a_check_finds_do_not_show_secrets() {
    let url = database().await;
    let store = open(&url).await;
    let endpoint = endpoint_id();
    store.append(SHARD, &[create_endpoint(endpoint)]).await.expect("appends");
    let damage = r#"
        UPDATE endpoints
        SET document = replace(replace(document, '"ciphertext":"', '"ciphertext":"dead'),
                               '"description":""', '"description":"two\nlines"')"#;
    sqlx::raw_sql(damage).execute(&mut connect(&url).await).await.expect("damages");

    let differences = store.check(SHARD, 10, &|_| ()).await.expect("checks");
    let [difference] = &differences[..] else { panic!("one row differs: {differences:?}") };
    let (stored, rebuilt) = (difference.stored.as_deref(), difference.rebuilt.as_deref());
    let (stored, rebuilt) = (stored.expect("it stands"), rebuilt.expect("the log has it"));
    assert_eq!(difference.table, "endpoints");
    for row in [stored, rebuilt] {
        assert!(row.contains(&format!(r#"endpoint_id="{endpoint}""#)), "{row}");
        assert!(row.contains("ciphertext=\"(hidden)\""), "{row}");
        assert!(!row.contains('\n') && !row.contains("dead"), "{row}");
    }
    assert!(stored.contains(r#"document.config.description="two\nlines""#), "{stored}");
    assert!(rebuilt.contains(r#"document.config.description="""#), "{rebuilt}");
}
