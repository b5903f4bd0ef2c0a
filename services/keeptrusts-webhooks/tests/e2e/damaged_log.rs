//! A log that somebody has damaged: commands and servers name the shard, and the others go on.

use crate::platform::{Backend, Database, PATIENCE, Server, eventually, seen_at, watched};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::Launch;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use tonic::Code;

const EVENT_TYPE: &str = "key.rotated";

/// What a command says that is not done because of a damaged log.
async fn refusal(command: &[&str], database: &Database) -> String {
    let launch = Launch::binary("keeptrusts-webhooks").args(command).args(database.flags());
    let mut process = launch.start();
    let status = process.wait_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(3), "{command:?}: {}", process.output());
    process.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_shard_is_named_and_the_others_go_on() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Postgres).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let (mut server, _) = watched(server).await;
    // On shards 4 and 13.
    for organization in ["org-1", "default"] {
        let client = server.client(organization);
        client.create_endpoint(&receiver.url("/hook"), &[EVENT_TYPE]).await;
    }
    server.stop().await;

    let name = database.name_in_cluster().expect("it is on Postgres");
    let cluster = Cluster::shared().await;
    cluster.query(name, "UPDATE shards SET checkpoint = 1000 WHERE shard = 4").await;
    let damage = "the log of shard 4 is damaged: checkpoint is 1000 in its row of shards";
    for command in [&["log", "rebuild", "--check"][..], &["log", "rebuild"][..]] {
        let said = refusal(command, &database).await;
        assert!(said.contains(damage), "{said}");
        assert!(said.contains("restore the database from a backup"), "{said}");
    }

    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let (server, url) = watched(server).await;
    let seen = eventually("it is not ready", async || {
        let (status, text) = seen_at(&url, "/readyz").await;
        (status != 200 && text.contains("damaged")).then_some(text)
    });
    let seen = seen.await;
    assert!(seen.contains(damage), "{seen}");
    let damaged = server.client("org-1");
    let published = damaged.ingest().publish_event(damaged.event(EVENT_TYPE, "{}")).await;
    assert_eq!(published.expect_err("nobody would deliver it").code(), Code::Internal);
    let sound = server.client("default");
    let event_id = sound.publish(EVENT_TYPE, "{}").await;
    sound.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
}
