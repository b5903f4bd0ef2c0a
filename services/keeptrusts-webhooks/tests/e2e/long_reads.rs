//! Reads that go through much of an organization's history wait for their turn.

use crate::platform::{Backend, Client, Database, Server, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How many of one organization may wait; one more is under way.
const WAITING: usize = 16;
/// How many are requested beyond that.
const TOO_MANY: usize = 3;

async fn count_missed(client: Client, endpoint_id: String) -> Result<v1::Replay, Status> {
    let request = v1::CreateReplayRequest {
        organization_id: client.organization(),
        validate_only: true,
        replay: Some(v1::Replay {
            endpoint_id,
            scope: v1::replay::Scope::Missed.into(),
            ..v1::Replay::default()
        }),
        ..Default::default()
    };
    let answer = client.dispatch().create_replay(request).await?;
    Ok(answer.into_inner().replay.expect("a replay"))
}

/// Waits until so many statements wait for the table.
async fn until_waiting(cluster: &Cluster, name: &str, count: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("statements wait for the table", async || {
        (cluster.query(name, sql).await.trim() == count.to_string()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_8_an_organizations_long_reads_leave_others_their_places() {
    let database = Database::new(Backend::Postgres).await;
    // Statements wait for as long as the table is locked.
    let server = Server::all_in_one(&database).flag("--database-timeout", "60s").start().await;
    let (busy, other) = (server.client("acme"), server.client("globex"));
    let ours = busy.create_endpoint("https://hooks.example.com/", &["key.rotated"]).await.id;
    let theirs = other.create_endpoint("https://hooks.example.com/", &["key.rotated"]).await.id;
    let cluster = Cluster::shared().await;
    let name = database.name_in_cluster().expect("it is on Postgres");
    let hold = "DO $$ BEGIN
                    LOCK TABLE missed_events IN ACCESS EXCLUSIVE MODE;
                    WHILE NOT EXISTS (SELECT FROM pg_tables WHERE tablename = 'let_go')
                        AND clock_timestamp() < now() + interval '1 minute' LOOP
                        PERFORM pg_sleep(0.02);
                    END LOOP;
                END $$";
    let owned = name.to_owned();
    let holder = tokio::spawn(async move { Cluster::shared().await.query(&owned, hold).await });
    eventually("the table is locked", async || {
        let sql = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
                   WHERE relname = 'missed_events' AND mode = 'AccessExclusiveLock' AND granted";
        (cluster.query(name, sql).await.trim() == "1").then_some(())
    })
    .await;

    let mut counts = JoinSet::new();
    for _ in 0..1 + WAITING + TOO_MANY {
        counts.spawn(count_missed(busy.clone(), ours.clone()));
    }
    for _ in 0..TOO_MANY {
        let refused = counts.join_next().await.expect("there are more").expect("no panic");
        let status = refused.expect_err("too many");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let info = status.get_details_error_info().expect("it has a reason");
        assert_eq!(info.reason, "OVERLOADED");
        let retry = status.get_details_retry_info().expect("it says when to try again");
        assert!(retry.retry_delay.is_some());
    }
    until_waiting(cluster, name, 1).await;
    // Another organization publishes, and gets a turn for a long read of its own.
    other.publish("policy.violation", "{}").await;
    let counted = tokio::spawn(count_missed(other.clone(), theirs));
    until_waiting(cluster, name, 2).await;
    other.publish("policy.violation", "{}").await;

    cluster.query(name, "CREATE TABLE let_go ()").await;
    holder.await.expect("the table was locked all the time");
    assert_eq!(counted.await.expect("no panic").expect("it is counted").matched_count, 0);
    while let Some(count) = counts.join_next().await {
        assert_eq!(count.expect("no panic").expect("its turn came").matched_count, 0);
    }
}
