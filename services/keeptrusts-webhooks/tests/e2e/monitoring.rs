//! Monitoring a process: metrics and health.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::v1::delivery;
use keeptrusts_webhooks_testkit::collector::Collector;
use keeptrusts_webhooks_testkit::http::{Client as Watcher, Method};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::platform::{Backend, Database, PATIENCE, Server, channel, eventually, seen_at, watched};

/// The value of a series, such as `name{label="value"}`.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happens() {
    let receiver = Receiver::start(Script::sequence([Reply::status(503), Reply::status(200)]));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let (server, url) = watched(server).await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = client.publish("policy.block", "{}").await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let mut twice = client.event("policy.block", "{}");
    twice.idempotency_key = "once".to_owned();
    for _ in 0..2 {
        client.ingest().publish_event(twice.clone()).await.expect("accepted");
    }
    let refused = client.event("no.such.type", "{}");
    client.ingest().publish_event(refused).await.expect_err("it is refused");
    // A name that resolves to an address in a forbidden network.
    client.create_endpoint("https://10.1.2.3/", &["key.rotated"]).await;
    let event_id = client.publish("key.rotated", "{}").await;
    client
        .wait_for_delivery(&event_id, "was attempted", |delivery| delivery.attempt_count > 0)
        .await;

    let name = |rest: &str| format!("keeptrusts_webhooks_{rest}");
    let metrics = eventually("two deliveries are told", async || {
        let (status, metrics) = seen_at(&url, "/metrics").await;
        assert_eq!(status, 200);
        let delivered = name("deliveries_ended_total{outcome=\"delivered\"}");
        // The database's figures are read only now and then.
        let lag = name("shard_lag_records{shard=\"0\"}");
        let is_over =
            value(&metrics, &delivered) == Some(2.0) && value(&metrics, &lag) == Some(0.0);
        is_over.then_some(metrics)
    })
    .await;
    for (series, expected) in [
        (name("events_accepted_total{event_type=\"policy.block\"}"), 2.0),
        (name("events_accepted_total{event_type=\"key.rotated\"}"), 1.0),
        (name("publish_errors_total{reason=\"INVALID_FIELD\"}"), 1.0),
        (name("deliveries_scheduled_total"), 3.0),
        (name("attempts_total{result=\"5xx\",trigger=\"automatic\"}"), 1.0),
        (name("attempts_total{result=\"2xx\",trigger=\"automatic\"}"), 2.0),
        (name("attempt_duration_seconds_count{result=\"2xx\"}"), 2.0),
        (name("publish_to_delivered_seconds_count{attempt=\"first\"}"), 1.0),
        (name("publish_to_delivered_seconds_count{attempt=\"later\"}"), 1.0),
        (name("shard_owned{shard=\"0\"}"), 1.0),
        (name("lease_changes_total{change=\"taken\"}"), 1.0),
    ] {
        assert_eq!(value(&metrics, &series), Some(expected), "{series} in\n{metrics}");
    }
    for there in [
        "deliveries_waiting{shard=\"0\"}",
        "oldest_due_seconds{shard=\"0\"}",
        "requests_in_flight{shard=\"0\"}",
        "commit_duration_seconds_count{result=\"committed\"}",
        "commit_operations_count",
        "addresses_refused_total{what=\"address\"}",
    ] {
        assert!(value(&metrics, &name(there)).is_some(), "{there} in\n{metrics}");
    }
    let publish = "rpc_server_call_duration_seconds_count{rpc_method=\"keeptrusts.webhooks.v1.IngestService/PublishEvent\",rpc_response_status_code=\"INVALID_ARGUMENT\"}";
    assert_eq!(value(&metrics, publish), Some(1.0), "{metrics}");
    assert!(metrics.contains("target_info{"), "{metrics}");
    // No label grows with use: there is nothing of this organization, its endpoints or its events.
    for grows in ["acme", "ep_", "evt_", "dlv_", "127.0.0.1", "10.1.2.3"] {
        assert!(!metrics.contains(grows), "{grows} in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_pushed_as_well() {
    let collector = Collector::start();
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--otlp-endpoint", &collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    client.publish("policy.block", "{}").await;
    let expected: BTreeSet<String> = [
        "keeptrusts_webhooks.events.accepted",
        "keeptrusts_webhooks.deliveries.ended",
        "keeptrusts_webhooks.deliveries.waiting",
        "rpc.server.call.duration",
    ]
    .map(str::to_owned)
    .into();
    eventually("the metrics are there", async || {
        collector.metrics().is_superset(&expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_while_its_database_answers_and_alive_also_when_it_does_not() {
    let cluster = Cluster::create().await;
    let database = Database::in_cluster(&cluster).await;
    let dispatch = Server::service("dispatch-service", &database);
    let (server, url) = watched(dispatch.flag("--lease-ttl", "2s")).await;
    let is_ready = async || {
        let (status, told) = seen_at(&url, "/readyz").await;
        let mut health = HealthClient::new(channel(server.address()));
        let asked = HealthCheckRequest::default();
        let answer = health.check(asked).await.expect("health answers").into_inner();
        let serving = answer.status() == ServingStatus::Serving;
        ((status == 200) == serving).then_some((serving, told))
    };
    let ready = eventually("it is ready", async || is_ready().await.filter(|(ready, _)| *ready));
    let told = "ok: database\nok: migrations\n\
                ok: leases (keeptrusts.webhooks.v1.DispatchService)\n\
                ok: shards (keeptrusts.webhooks.v1.DispatchService)\n";
    assert_eq!(ready.await.1, told);

    cluster.stop().await;
    let (_, told) =
        eventually("it is not ready", async || is_ready().await.filter(|(ready, _)| !ready)).await;
    assert!(told.contains("not ok: database: "), "{told}");
    assert_eq!(seen_at(&url, "/livez").await, (200, "ok: alive\n".to_owned()));

    cluster.start().await;
    eventually("it is ready again", async || is_ready().await.filter(|(ready, _)| *ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitoring_port_serves_only_its_pages() {
    let database = Database::new(Backend::Sqlite).await;
    let (_server, url) = watched(Server::all_in_one(&database)).await;
    let (status, told) = seen_at(&url, "/").await;
    assert_eq!((status, told.as_str()), (404, "there is /metrics, /livez and /readyz\n"));
    let posted = Watcher::new().send(Method::POST, &format!("{url}/metrics"), &[], "".into()).await;
    assert_eq!(posted.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_can_be_monitored() {
    let database = Database::new(Backend::Postgres).await;
    let services = [
        "endpoint-service",
        "ingest-service",
        "dispatch-service",
        "access-service",
        "notification-service",
    ];
    for service in services {
        let (_server, url) = watched(Server::service(service, &database)).await;
        let (status, told) = eventually("it is ready", async || {
            Some(seen_at(&url, "/readyz").await).filter(|(status, _)| *status == 200)
        })
        .await;
        assert_eq!(status, 200, "{service}: {told}");
        let (_, metrics) = seen_at(&url, "/metrics").await;
        assert!(metrics.contains(&format!("service_name=\"{service}\"")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_does_not_block_monitoring() {
    let database = Database::new(Backend::Sqlite).await;
    let (_server, url) = watched(Server::all_in_one(&database)).await;
    let address = url.trim_start_matches("http://");
    let connect = async || TcpStream::connect(address).await.expect("it listens");
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(connect().await);
    }
    let mut rest = Vec::new();
    let mut refused = connect().await;
    let closed = timeout(PATIENCE, refused.read_to_end(&mut rest)).await;
    _ = closed.expect("there are no more places for this address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("it is loopback's");
    let address = address.parse().expect("an address");
    let mut other = socket.connect(address).await.expect("it listens");
    other.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await.expect("it is sent");
    let mut answer = String::new();
    timeout(PATIENCE, other.read_to_string(&mut answer)).await.expect("in time").expect("text");
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}
