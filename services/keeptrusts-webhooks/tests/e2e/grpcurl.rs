//! The real grpcurl, without our protos, lists, describes and calls everything through reflection.

use std::net::SocketAddr;

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::{Launch, Process};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::tools;
use serde_json::{Value, json};

use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

const ENDPOINT_SERVICE: &str = "keeptrusts.webhooks.v1.EndpointService";
const INGEST_SERVICE: &str = "keeptrusts.webhooks.v1.IngestService";
const DISPATCH_SERVICE: &str = "keeptrusts.webhooks.v1.DispatchService";
const ACCESS_SERVICE: &str = "keeptrusts.webhooks.v1.AccessService";
const AUDIT_SERVICE: &str = "keeptrusts.webhooks.v1.AuditService";
const NOTIFICATION_SERVICE: &str = "keeptrusts.webhooks.v1.NotificationService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Runs grpcurl; returns whether it succeeded, and its output.
fn start(arguments: &[&str]) -> Process {
    let authorization = format!("authorization: Bearer {FIRST_KEY}");
    let grpcurl = Launch::program(tools::grpcurl()).args(["-plaintext", "-H", &authorization]);
    grpcurl.args(arguments).start()
}

async fn run(arguments: &[&str]) -> (bool, String) {
    let mut process = start(arguments);
    let status = process.wait_exit(PATIENCE).await;
    (status.success(), process.output())
}

/// A server as grpcurl sees it.
struct GrpcurlServer(String);

impl GrpcurlServer {
    fn at(address: SocketAddr) -> Self {
        Self(address.to_string())
    }

    async fn list(&self) -> Vec<String> {
        let (success, services) = run(&[&self.0, "list"]).await;
        assert!(success, "{services}");
        services.lines().map(str::to_owned).collect()
    }

    async fn describe(&self, symbol: &str) -> String {
        let (success, description) = run(&[&self.0, "describe", symbol]).await;
        assert!(success, "{symbol}: {description}");
        description
    }

    /// Calls a method with JSON and returns the answer's JSON.
    async fn call(&self, service: &str, method: &str, request: Value) -> Value {
        let method = format!("{service}/{method}");
        let (success, answer) = run(&["-d", &request.to_string(), &self.0, &method]).await;
        assert!(success, "{method}: {answer}");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{method}: {error}: {answer}"))
    }

    async fn assert_healthy(&self, services: &[&str]) {
        for service in services.iter().copied().chain([""]) {
            let answer = self.call(HEALTH, "Check", json!({ "service": service })).await;
            assert_eq!(answer, json!({ "status": "SERVING" }), "{service:?}");
        }
    }

    /// Checks that exactly these services are listed, and that each is described and healthy.
    async fn assert_has(&self, services: &[&str]) {
        let mut expected = [&[HEALTH], REFLECTION.as_slice(), services].concat();
        expected.sort_unstable();
        assert_eq!(self.list().await, expected);
        for service in expected {
            let description = self.describe(service).await;
            assert!(description.contains(&format!("{service} is a service")), "{description}");
        }
        self.assert_healthy(services).await;
    }
}

/// The text at a path of keys, such as `endpoint.id`.
fn text<'a>(answer: &'a Value, path: &str) -> &'a str {
    let found = path.split('.').fold(answer, |value, key| &value[key]);
    found.as_str().unwrap_or_else(|| panic!("{path} of {answer:#}"))
}

#[tokio::test]
async fn grpcurl_lists_describes_and_calls_every_method() {
    let receiver = Receiver::start(Script::sequence([Reply::status(500), Reply::ok()]));
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_after("1h").start().await;
    let seen = GrpcurlServer::at(server.address());
    let ours = [
        ENDPOINT_SERVICE,
        INGEST_SERVICE,
        DISPATCH_SERVICE,
        ACCESS_SERVICE,
        AUDIT_SERVICE,
        NOTIFICATION_SERVICE,
    ];
    seen.assert_has(&ours).await;
    let message = seen.describe("keeptrusts.webhooks.v1.PublishEventRequest").await;
    assert!(message.contains("string data_json = 4"), "{message}");
    for option in ["max_bytes:262144", "(.google.api.field_behavior) = OPTIONAL"] {
        assert!(message.contains(option), "{message}");
    }

    // Endpoints.
    let types = seen.call(ENDPOINT_SERVICE, "ListEventTypes", json!({"organizationId": "acme"}));
    assert_eq!(types.await["eventTypes"].as_array().map(Vec::len), Some(EventType::ALL.len()));
    let request = json!({
        "organizationId": "acme",
        "endpoint": {
            "displayName": "siem",
            "url": receiver.url("/"),
            "eventTypes": ["policy.violation"],
        },
    });
    let created = seen.call(ENDPOINT_SERVICE, "CreateEndpoint", request).await;
    let endpoint_id = text(&created, "endpoint.id").to_owned();
    let one = json!({ "organizationId": "acme", "endpointId": endpoint_id });
    let secret = seen.call(ENDPOINT_SERVICE, "RevealSecret", one.clone()).await;
    assert_eq!(secret["secret"], created["secret"]);
    let rotated = seen.call(ENDPOINT_SERVICE, "RotateSecret", one.clone()).await;
    assert_ne!(rotated["secret"], created["secret"]);
    let request = json!({
        "organizationId": "acme",
        "endpoint": { "id": endpoint_id, "displayName": "siem-2" },
        "updateMask": { "paths": ["display_name"] },
    });
    let updated = seen.call(ENDPOINT_SERVICE, "UpdateEndpoint", request).await;
    assert_eq!(text(&updated, "endpoint.displayName"), "siem-2");
    let disabled = seen.call(ENDPOINT_SERVICE, "DisableEndpoint", one.clone()).await;
    assert_eq!(text(&disabled, "endpoint.state"), "STATE_DISABLED");
    let enabled = seen.call(ENDPOINT_SERVICE, "EnableEndpoint", one.clone()).await;
    assert_eq!(text(&enabled, "endpoint.state"), "STATE_ACTIVE");
    let got = seen.call(ENDPOINT_SERVICE, "GetEndpoint", one.clone()).await;
    let of_acme = json!({ "organizationId": "acme" });
    let listed = seen.call(ENDPOINT_SERVICE, "ListEndpoints", of_acme.clone()).await;
    assert_eq!(listed["endpoints"][0], got["endpoint"]);

    // Events; `data` as a structure is plain JSON here.
    let event = json!({
        "organizationId": "acme",
        "eventType": "policy.violation",
        "data": { "rule": "no-secrets", "count": 3 },
    });
    let published = seen.call(INGEST_SERVICE, "PublishEvent", event.clone()).await;
    let event_id = text(&published, "eventId").to_owned();
    let got = json!({ "organizationId": "acme", "eventId": event_id });
    let got = seen.call(INGEST_SERVICE, "GetEvent", got).await;
    assert!(text(&got, "event.body").ends_with(r#""data":{"count":3,"rule":"no-secrets"}}"#));
    let listed = seen.call(INGEST_SERVICE, "ListEvents", of_acme.clone()).await;
    assert_eq!(text(&listed["events"][0], "id"), event_id);

    // Deliveries: the first attempt fails, the manual one succeeds.
    let delivery_in = async |state: &str| {
        eventually(&format!("the delivery is {state}"), async || {
            let request =
                json!({ "organizationId": "acme", "eventId": event_id, "states": [state] });
            let listed = seen.call(DISPATCH_SERVICE, "ListDeliveries", request).await;
            listed["deliveries"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    };
    let delivery_id = delivery_in("STATE_RETRYING").await;
    let one_delivery = json!({ "organizationId": "acme", "deliveryId": delivery_id });
    seen.call(DISPATCH_SERVICE, "RetryDelivery", one_delivery.clone()).await;
    delivery_in("STATE_DELIVERED").await;
    let got = seen.call(DISPATCH_SERVICE, "GetDelivery", one_delivery.clone()).await;
    assert_eq!(got["delivery"]["attempts"].as_array().map(Vec::len), Some(2));
    let attempts = seen.call(DISPATCH_SERVICE, "ListAttempts", of_acme.clone()).await;
    assert_eq!(attempts["attempts"][0]["statusCode"], 200);
    let stats = seen.call(DISPATCH_SERVICE, "GetEndpointStats", one.clone()).await;
    assert_eq!(stats["total"]["successRate"], 0.5);
    let test = seen.call(DISPATCH_SERVICE, "SendTest", one.clone()).await;
    assert_eq!(text(&test, "attempt.outcome"), "OUTCOME_DELIVERED");

    // A delivery that waits, to be cancelled; it comes from the batch.
    receiver.set_script(Script::always(Reply::status(503)));
    let batch = json!({ "organizationId": "acme", "requests": [event] });
    let published = seen.call(INGEST_SERVICE, "BatchPublishEvents", batch).await;
    let event_id = text(&published["results"][0], "response.eventId");
    let client = server.client("acme");
    let waits = client.wait_for_delivery(event_id, "waits", |one| one.attempt_count == 1).await;
    let request = json!({ "organizationId": "acme", "deliveryId": waits.id });
    seen.call(DISPATCH_SERVICE, "CancelDelivery", request).await;

    // A stream goes on until the client disconnects, and resumes with what has happened since.
    let method = format!("{DISPATCH_SERVICE}/WatchDeliveries");
    let from_now = of_acme.to_string();
    let mut watch = start(&["-v", "-d", &from_now, &seen.0, &method]);
    watch.wait_for_line(|line| line.contains("Response headers received"), PATIENCE).await;
    seen.call(DISPATCH_SERVICE, "SendTest", one.clone()).await;
    let told = watch.wait_for_line(|line| line.contains("\"resumeToken\""), PATIENCE).await;
    let token = told.split('"').nth(3).expect("a token");
    watch.kill().await;
    let missed = seen.call(DISPATCH_SERVICE, "SendTest", one.clone()).await;
    let missed = text(&missed, "delivery.id");
    let resumed = json!({ "organizationId": "acme", "resumeToken": token }).to_string();
    let mut watch = start(&["-d", &resumed, &seen.0, &method]);
    watch.wait_for_line(|line| line.contains(missed), PATIENCE).await;
    watch.kill().await;

    // A replay: counted, started, watched to its end, and then there is nothing to cancel.
    let replay = json!({
        "organizationId": "acme",
        "replay": {
            "endpointId": text(&one, "endpointId"),
            "scope": "SCOPE_ALL",
            "includeDelivered": true,
        },
        "validateOnly": true,
    });
    let counted = seen.call(DISPATCH_SERVICE, "CreateReplay", replay.clone()).await;
    assert_eq!(text(&counted, "replay.matchedCount"), "2", "the delivered and the cancelled one");
    receiver.set_script(Script::default());
    let mut replay = replay;
    replay["validateOnly"] = false.into();
    let begun = seen.call(DISPATCH_SERVICE, "CreateReplay", replay).await;
    let replay_id = text(&begun, "replay.id");
    let one_replay = json!({ "organizationId": "acme", "replayId": replay_id });
    let method = format!("{DISPATCH_SERVICE}/WatchReplay");
    let (success, steps) = run(&["-d", &one_replay.to_string(), &seen.0, &method]).await;
    assert!(success && steps.contains("STATE_DONE"), "{steps}");
    let got = seen.call(DISPATCH_SERVICE, "GetReplay", one_replay.clone()).await;
    assert_eq!(text(&got, "replay.state"), "STATE_DONE");
    let listed = seen.call(DISPATCH_SERVICE, "ListReplays", of_acme.clone()).await;
    assert_eq!(text(&listed["replays"][0], "id"), replay_id);
    let method = format!("{DISPATCH_SERVICE}/CancelReplay");
    let (success, error) = run(&["-d", &one_replay.to_string(), &seen.0, &method]).await;
    assert!(!success && error.contains("FailedPrecondition"), "{error}");
    assert!(error.contains("there is nothing to cancel"), "{error}");

    // Events on a stream, and the same events watched in the format of an endpoint.
    let method = format!("{DISPATCH_SERVICE}/WatchEvents");
    let as_slack = json!({ "organizationId": "acme", "payloadFormat": "PAYLOAD_FORMAT_SLACK" });
    let mut watch = start(&["-v", "-d", &as_slack.to_string(), &seen.0, &method]);
    watch.wait_for_line(|line| line.contains("Response headers received"), PATIENCE).await;
    let items = json!({ "sequenceNumber": 1, "request": event });
    let method = format!("{INGEST_SERVICE}/StreamEvents");
    let (success, acknowledged) = run(&["-d", &items.to_string(), &seen.0, &method]).await;
    assert!(success && acknowledged.contains("\"eventId\""), "{acknowledged}");
    let event_id = acknowledged.split('"').find(|part| part.starts_with("evt_")).expect("an id");
    watch.wait_for_line(|line| line.contains("blocks") && line.contains(event_id), PATIENCE).await;
    watch.kill().await;

    seen.call(ENDPOINT_SERVICE, "DeleteEndpoint", one).await;
}

/// The errors that docs/api.md shows: the request, the method, and the error as grpcurl prints it.
fn shown_errors() -> Vec<(String, String, Value)> {
    let page = include_str!("../../../../docs/api.md");
    let (_, section) = page.split_once("### What errors look like").expect("the section");
    let section = section.split("\n#").next().unwrap_or_default();
    let commands = section.split("```sh\n").skip(1).map(|block| {
        let (command, rest) = block.split_once("```").expect("the command's end");
        let (_, error) = rest.split_once("```json\n").expect("the error");
        let (error, _) = error.split_once("```").expect("the error's end");
        let request = command.split('\'').nth(1).expect("the request");
        let method = command.split_whitespace().last().expect("the method");
        let error = serde_json::from_str(error).expect("JSON");
        (request.to_owned(), method.to_owned(), error)
    });
    commands.collect()
}

#[tokio::test]
async fn grpcurl_shows_errors_as_the_page_about_the_api_has_them() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let address = server.address().to_string();
    let errors = shown_errors();
    assert_eq!(errors.len(), 2);
    for (request, method, mut expected) in errors {
        let (success, error) = run(&["-format-error", "-d", &request, &address, &method]).await;
        assert!(!success, "{error}");
        let error: Value = serde_json::from_str(&error).expect("JSON");
        // Each request has its own id, in the last detail.
        let last = expected["details"].as_array().expect("a list").len() - 1;
        expected["details"][last]["requestId"] = error["details"][last]["requestId"].clone();
        assert_eq!(error, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_in_separate_processes_serve_their_own_methods_and_work_together() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Postgres).await;
    let endpoints = Server::service("endpoint-service", &database).start().await;
    let ingest = Server::service("ingest-service", &database).start().await;
    let dispatch = Server::service("dispatch-service", &database).delivering_to(&receiver);
    let dispatch = dispatch.start().await;
    let access = Server::service("access-service", &database).start().await;
    let notifications = Server::service("notification-service", &database).start().await;
    for (server, services) in [
        (&endpoints, [ENDPOINT_SERVICE].as_slice()),
        (&ingest, &[INGEST_SERVICE]),
        (&dispatch, &[DISPATCH_SERVICE]),
        (&access, &[ACCESS_SERVICE, AUDIT_SERVICE]),
        (&notifications, &[NOTIFICATION_SERVICE]),
    ] {
        GrpcurlServer::at(server.address()).assert_has(services).await;
    }

    let request = json!({
        "organizationId": "acme",
        "endpoint": {
            "displayName": "siem",
            "url": receiver.url("/"),
            "eventTypes": ["key.revoked"],
        },
    });
    GrpcurlServer::at(endpoints.address()).call(ENDPOINT_SERVICE, "CreateEndpoint", request).await;
    let event = json!({ "organizationId": "acme", "eventType": "key.revoked", "dataJson": "{}" });
    let published =
        GrpcurlServer::at(ingest.address()).call(INGEST_SERVICE, "PublishEvent", event).await;
    let received = receiver.wait_for(1, PATIENCE).await;
    assert_eq!(received[0].header("webhook-id"), Some(text(&published, "eventId")));
}

/// The lines of the README's "A first delivery", as a person would type them.
fn first_delivery() -> &'static str {
    let readme = include_str!("../../../../README.md");
    let (_, section) = readme.split_once("## A first delivery").expect("the section");
    let (_, block) = section.split_once("```sh\n").expect("its commands");
    block.split_once("```").expect("their end").0
}

#[tokio::test]
async fn the_first_delivery_of_the_readme_arrives() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let script = first_delivery()
        .replace("grpcurl", tools::grpcurl().to_str().expect("a path"))
        .replace("kt_…", FIRST_KEY)
        .replace("127.0.0.1:50051", &server.address().to_string())
        .replace("https://siem.example.com/webhooks", &receiver.url("/"));
    let mut shell = Launch::program("sh").args(["-e", "-c", &script]).start();
    let status = shell.wait_exit(PATIENCE).await;
    assert!(status.success(), "{}", shell.output());
    let requests = receiver.wait_for(1, PATIENCE).await;
    let body = String::from_utf8_lossy(&requests[0].body).into_owned();
    assert!(body.contains("no-customer-data"), "{body}");
}
