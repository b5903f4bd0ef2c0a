//! The metrics of real processes are those that the files in `deploy/` query, and Prometheus
//! accepts them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use keeptrusts_webhooks_contracts::v1::{
    CancelDeliveryRequest, RetryDeliveryRequest, SendTestRequest, delivery,
};
use keeptrusts_webhooks_deployment::{ProblemKind, Query, Scrape, check};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::tools;

use crate::platform::{Backend, Client, Database, Server, eventually, seen_at, watched};

const CONTRACT: &str = include_str!("../../../../crates/deployment/contract.prom");

/// Our own metrics; nobody queries those of libraries.
const OURS: [&str; 3] = ["keeptrusts_webhooks_", "rpc_server_", "target_info"];

/// Labels whose values are few and known in advance.
const CLOSED: [&str; 5] = ["outcome", "result", "trigger", "change", "what"];

/// Indices of the services.
const ENDPOINTS: usize = 0;
const INGEST: usize = 1;
const DISPATCH: usize = 2;

/// The four services as processes of their own, and the addresses of their metrics.
struct Platform {
    client: Client,
    urls: Vec<String>,
    _servers: Vec<Server>,
}

impl Platform {
    async fn start(database: &Database, receiver: &Receiver) -> Platform {
        let dispatch = Server::service("dispatch-service", database).delivering_to(receiver);
        let mut servers = Vec::new();
        let mut urls = Vec::new();
        for service in [
            Server::service("endpoint-service", database),
            Server::service("ingest-service", database),
            dispatch.retrying_after("50ms"),
            Server::service("access-service", database),
            Server::service("notification-service", database),
        ] {
            let (server, url) = watched(service).await;
            servers.push(server);
            urls.push(url);
        }
        let [endpoints, ingest, dispatch] =
            [ENDPOINTS, INGEST, DISPATCH].map(|service| servers[service].address());
        let client = Client::new("acme", endpoints, ingest, dispatch);
        Platform { client, urls, _servers: servers }
    }

    /// The metrics of each of them.
    async fn scrape(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for url in &self.urls {
            let (status, text) = seen_at(url, "/metrics").await;
            assert_eq!(status, 200, "{text}");
            texts.push(text);
        }
        texts
    }
}

/// Delivers at once and later, fails for good, cancels, retries, tests, refuses.
async fn make_everything_happen(client: &Client, receiver: &Receiver) {
    let good = client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    for _ in 0..2 {
        let event_id = client.publish("policy.block", "{}").await;
        client.wait_for_state(&event_id, delivery::State::Delivered).await;
    }
    client.create_endpoint(&receiver.url("/down"), &["export.failed"]).await;
    let event_id = client.publish("export.failed", "{}").await;
    let failed = client.wait_for_state(&event_id, delivery::State::Failed).await;
    let retry = RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: failed.id,
        ..Default::default()
    };
    client.dispatch().retry_delivery(retry).await.expect("it is retried");

    // An address and a port that are forbidden.
    for url in ["https://10.1.2.3/", "https://127.0.0.1:25/"] {
        client.create_endpoint(url, &["key.rotated"]).await;
    }
    let event_id = client.publish("key.rotated", "{}").await;
    eventually("both have been refused", async || {
        let deliveries = client.deliveries_of(&event_id).await;
        let tried = deliveries.iter().filter(|delivery| delivery.attempt_count > 0);
        (tried.count() == 2).then_some(())
    })
    .await;

    client.create_endpoint(&receiver.url("/hangs"), &["user.invited"]).await;
    let event_id = client.publish("user.invited", "{}").await;
    let hanging = client.wait_for_delivery(&event_id, "is there", |_| true).await;
    let cancel =
        CancelDeliveryRequest { organization_id: client.organization(), delivery_id: hanging.id };
    client.dispatch().cancel_delivery(cancel).await.expect("it is cancelled");
    client.wait_for_state(&event_id, delivery::State::Cancelled).await;

    let test = SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: good.id,
        event_type: "policy.block".to_owned(),
        ..Default::default()
    };
    let test = client.dispatch().send_test(test).await.expect("it is sent").into_inner();
    let test = test.delivery.expect("a delivery");
    client.wait_for_state(&test.event_id, delivery::State::Delivered).await;
    let refused = client.event("no.such.type", "{}");
    client.ingest().publish_event(refused).await.expect_err("it is refused");
}

fn receiver() -> Receiver {
    Receiver::start(Script::by_path([
        ("/hook", Script::sequence([Reply::status(503), Reply::ok()])),
        ("/down", Script::always(Reply::status(500))),
        ("/hangs", Script::always(Reply::Hang)),
    ]))
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_query_existing_metrics_that_prometheus_accepts() {
    let receiver = receiver();
    let cluster = Cluster::create().await;
    let database = Database::in_cluster(&cluster).await;
    let platform = Platform::start(&database, &receiver).await;
    make_everything_happen(&platform.client, &receiver).await;
    let mut texts = eventually("the last of it is told", async || {
        let texts = platform.scrape().await;
        let tested = "attempts_total{result=\"2xx\",trigger=\"test\"} 1";
        // The test was sent last, and delivers no published event.
        let delivered = "deliveries_ended_total{outcome=\"delivered\"} 2";
        let are_told =
            [tested, delivered].iter().all(|series| texts.iter().any(|text| text.contains(series)));
        are_told.then_some(texts)
    })
    .await;

    // Metrics that appear only when a commit has failed. Publishing goes on while the database stops:
    // a key that was looked up long ago would be refused before the commit.
    let failing = eventually("a commit has failed", async || {
        let event = platform.client.event("policy.block", "{}");
        _ = platform.client.ingest().publish_event(event).await;
        let (_, text) = seen_at(&platform.urls[INGEST], "/metrics").await;
        text.contains("commit_duration_seconds_count{result=\"failed\"}").then_some(text)
    });
    let ((), lost) = tokio::join!(cluster.stop(), failing);
    texts.push(lost);

    let scrape = Scrape::parse(&texts.concat()).expect("a scrape");
    let contract = Scrape::parse(CONTRACT).expect("a scrape");
    let differences = scrape.differences(&contract, &OURS);
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let queries = Query::of_folder(&deploy).expect("queries");
    let problems = check(&scrape, &queries);
    let problems = problems.iter().filter(|problem| match problem.kind {
        ProblemKind::Syntax | ProblemKind::Metric | ProblemKind::Label => true,
        // Codes and reasons appear once they have occurred.
        ProblemKind::Value => {
            !["code", "reason", "rpc_method"].iter().any(|open| problem.name.contains(open))
        }
    });
    let problems: Vec<String> = problems.map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    for text in &texts {
        assert_prometheus_takes(text);
    }
}

/// Prometheus's own parser, and its linter.
fn assert_prometheus_takes(scrape: &str) {
    let mut promtool = Command::new(tools::promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(scrape.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\nof\n{scrape}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_with_known_labels_exist_from_the_start() {
    // rate() needs two values: a counter that appears with the first failure hides that failure.
    let database = Database::new(Backend::Sqlite).await;
    let (_server, url) = watched(Server::all_in_one(&database)).await;
    let (_, text) = seen_at(&url, "/metrics").await;
    let scrape = Scrape::parse(&text).expect("a scrape");
    let contract = Scrape::parse(CONTRACT).expect("a scrape");
    let types = CONTRACT.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters = types.filter_map(|line| line.strip_suffix(" counter"));
    for counter in counters.filter(|counter| !counter.contains("publish_errors")) {
        let there = scrape.labels(counter).unwrap_or_else(|| panic!("no {counter} in\n{text}"));
        for (label, values) in contract.labels(counter).expect("it is of the contract") {
            if CLOSED.contains(&label.as_str()) {
                assert_eq!(there.get(label), Some(values), "{counter}, {label}");
            }
        }
    }
    let accepted = scrape.labels("keeptrusts_webhooks_events_accepted_total").expect("there");
    assert_eq!(accepted["event_type"].len(), 16, "{accepted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_has_a_unique_id_unless_one_is_given() {
    let mut ids = BTreeSet::new();
    let given = [None, None, Some("service.instance.id=pod-7,region=eu")];
    for attributes in given {
        let database = Database::new(Backend::Sqlite).await;
        let server = Server::all_in_one(&database);
        let server = match attributes {
            Some(attributes) => server.env("OTEL_RESOURCE_ATTRIBUTES", attributes),
            None => server,
        };
        let (_server, url) = watched(server).await;
        let (_, text) = seen_at(&url, "/metrics").await;
        let scrape = Scrape::parse(&text).expect("a scrape");
        let labels = scrape.labels("target_info").expect("target_info");
        let [id]: [&String; 1] =
            labels["service_instance_id"].iter().collect::<Vec<_>>().try_into().expect("one id");
        if attributes.is_none() {
            // A UUID, as the semantic conventions demand.
            assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
        }
        ids.insert(id.clone());
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.contains("pod-7"), "{ids:?}");
}
