//! Postgres becomes unavailable under a running platform, and comes back.

use std::time::{Duration, Instant};

use crate::chaos::{
    Load, assert_every_event_delivered_once_recorded, check_tables, wait_until_received,
};
use crate::platform::{Database, PATIENCE, Server, eventually};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use tonic::Code;
use tonic_types::StatusExt;

const PUBLISHERS: usize = 4;
/// A publisher is answered within 5 seconds; the rest is for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// Waits until so many more events have been acknowledged.
async fn go_on(load: &Load, more: usize) {
    let until = load.acknowledged_count() + more;
    eventually("publishing goes on", async || (load.acknowledged_count() >= until).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_not_available_publishers_are_told_to_retry_and_everything_recovers() {
    let cluster = Cluster::create().await;
    let receiver = Receiver::start(Script::default());
    let database = Database::in_cluster(&cluster).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    // Leases expire while Postgres is not available, and their loss is recovered from as well.
    let mut server = serve.flag("--lease-ttl", "2s").start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
    let load = Load::start(vec![client.clone(); PUBLISHERS]);
    go_on(&load, 50).await;

    cluster.stop().await;
    let asked = Instant::now();
    // In another organization: it is not retried, and whether it was accepted is unknown once its
    // publisher has stopped waiting.
    let other = server.client("elsewhere");
    let event = other.event("policy.violation", r#"{"published":"while Postgres is away"}"#);
    let refused = other.ingest().publish_event(event).await.expect_err("nothing can be durable");
    let waited = asked.elapsed();
    assert!(waited < ANSWERED_WITHIN, "answered after {waited:?}");
    let lost = |line: &str| line.contains("the lease is lost");
    server.process().wait_for_line(lost, PATIENCE).await;
    cluster.start().await;
    go_on(&load, 100).await;

    // Every error said to retry, and when.
    for status in load.unavailable_errors().iter().chain([&refused]) {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let info = status.get_details_error_info().expect("a reason for programs");
        assert_eq!(info.reason, "DATABASE_UNAVAILABLE");
        let retry = status.get_details_retry_info().expect("when to try again");
        assert!(retry.retry_delay.is_some_and(|delay| delay > Duration::ZERO), "{retry:?}");
        assert!(status.message().contains("try again"), "{status:?}");
        let told = status.message().to_lowercase();
        assert!(!told.contains("sqlstate") && !told.contains("postgres"), "{status:?}");
    }

    let acknowledged = load.stop().await;
    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    assert_every_event_delivered_once_recorded(&client, &acknowledged).await;
    server.stop().await;
    check_tables(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_nothing_acknowledged_is_lost_when_postgres_crashes_under_load() {
    const CRASHES: usize = 4;
    let cluster = Cluster::create().await;
    let receiver = Receiver::start(Script::default());
    let database = Database::in_cluster(&cluster).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let mut server = serve.start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
    let load = Load::start(vec![client.clone(); PUBLISHERS]);
    for _ in 0..CRASHES {
        go_on(&load, 50).await;
        cluster.kill().await;
        cluster.start().await;
    }
    go_on(&load, 50).await;
    let acknowledged = load.stop().await;
    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    assert_every_event_delivered_once_recorded(&client, &acknowledged).await;
    server.stop().await;
    check_tables(&database).await;
}
