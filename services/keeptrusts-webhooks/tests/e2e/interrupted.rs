//! Operators interrupt long commands in the middle, and run them again.

use crate::platform::{Backend, Database, PATIENCE, Server, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use tokio::task::JoinHandle;

/// A database with an event that was delivered, and no server.
async fn database_with_a_delivery() -> Database {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Postgres).await;
    let mut server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    // On several shards.
    for organization in ["globex", "initech", "umbrella"] {
        let client = server.client(organization);
        client.create_endpoint(&receiver.url("/hook"), &["key.rotated"]).await;
    }
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["key.rotated"]).await;
    let event_id = client.publish("key.rotated", "{}").await;
    client.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
    server.stop().await;
    database
}

fn start(database: &Database, command: &[&str]) -> Process {
    Launch::binary("keeptrusts-webhooks").args(command).args(database.flags()).start()
}

async fn succeeds(database: &Database, command: &[&str]) {
    let mut process = start(database, command);
    let status = process.wait_exit(PATIENCE).await;
    assert!(status.success(), "{command:?} ended with {status}\n{}", process.output());
}

/// LockedRows rows, for which others wait.
struct LockedRows<'a> {
    database: &'a str,
    holder: JoinHandle<String>,
}

impl<'a> LockedRows<'a> {
    /// Locks the rows that the query finds.
    async fn lock(database: &'a Database, query: &str) -> LockedRows<'a> {
        let name = database.name_in_cluster().expect("it is on Postgres");
        let sql = format!(
            "DO $$ BEGIN
                 PERFORM {query} FOR UPDATE;
                 WHILE NOT EXISTS (SELECT FROM pg_tables WHERE tablename = 'release')
                     AND clock_timestamp() < now() + interval '1 minute' LOOP
                     PERFORM pg_sleep(0.02);
                 END LOOP;
             END $$"
        );
        let owned = name.to_owned();
        let holder = tokio::spawn(async move { Cluster::shared().await.query(&owned, &sql).await });
        let locked = LockedRows { database: name, holder };
        locked.wait_for_blocked("wait_event = 'PgSleep'").await;
        locked
    }

    async fn wait_for_blocked(&self, waits: &str) {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND {waits}"
        );
        let one = async || {
            let found = Cluster::shared().await.query(self.database, &count).await;
            (found.trim() == "1").then_some(())
        };
        eventually(waits, one).await;
    }

    /// Starts the command, and interrupts it when it waits for the rows.
    async fn interrupt(&self, database: &Database, command: &[&str]) -> Process {
        let process = start(database, command);
        self.wait_for_blocked("wait_event_type = 'Lock'").await;
        process.signal(Signal::Int);
        process
    }

    async fn release(self) {
        let cluster = Cluster::shared().await;
        cluster.query(self.database, "CREATE TABLE release ()").await;
        self.holder.await.expect("the rows were locked all the time");
        cluster.query(self.database, "DROP TABLE release").await;
    }
}

async fn assert_interrupted(mut process: Process, says: &str) {
    let status = process.wait_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(130), "{}", process.output());
    assert!(process.output().contains(says), "{}", process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rebuild_starts_again() {
    let database = &database_with_a_delivery().await;
    let locked = LockedRows::lock(database, "FROM shards").await;
    let process = locked.interrupt(database, &["log", "rebuild"]).await;
    assert_interrupted(process, "interrupted: shard 0 and those after it are as they were").await;
    locked.release().await;
    succeeds(database, &["log", "rebuild", "--check"]).await;
    succeeds(database, &["log", "rebuild"]).await;
    succeeds(database, &["log", "rebuild", "--check"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_erasure_ends_after_a_step_and_can_be_continued() {
    let database = &database_with_a_delivery().await;
    let command = ["organization", "erase", "acme", "--yes"];
    let locked = LockedRows::lock(database, "FROM bodies").await;
    let process = locked.interrupt(database, &command).await;
    process.wait_for_line(|line| line.contains("stopping"), PATIENCE).await;
    locked.release().await;
    assert_interrupted(process, "interrupted: 1 bodies were erased, and others are left").await;
    succeeds(database, &command).await;
    let left = Cluster::shared().await;
    let name = database.name_in_cluster().expect("it is on Postgres");
    assert_eq!(left.query(name, "SELECT count(*) FROM bodies").await.trim(), "0");
    succeeds(database, &["log", "rebuild", "--check"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_of_the_master_key_can_be_continued() {
    let database = &database_with_a_delivery().await;
    succeeds(database, &["rotate-master-key", "--prepare"]).await;
    let locked = LockedRows::lock(database, "FROM data_keys").await;
    let process = locked.interrupt(database, &["rotate-master-key"]).await;
    process.wait_for_line(|line| line.contains("stopping"), PATIENCE).await;
    locked.release().await;
    assert_interrupted(process, "run this again, which goes on where it was left").await;
    let mut process = start(database, &["rotate-master-key"]);
    assert!(process.wait_exit(PATIENCE).await.success(), "{}", process.output());
    assert!(process.output().contains("all 4 data keys are encrypted"), "{}", process.output());
    succeeds(database, &["rotate-master-key", "--retire"]).await;
}
