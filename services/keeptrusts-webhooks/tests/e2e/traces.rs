//! One trace from the publisher's call to the last attempt, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keeptrusts_webhooks_contracts::v1::{
    BatchPublishEventsRequest, CreateEndpointRequest, CreateReplayRequest, Delivery,
    DisableEndpointRequest, EnableEndpointRequest, Endpoint, Replay, RetryDeliveryRequest,
    SendTestRequest, delivery, replay,
};
use keeptrusts_webhooks_testkit::collector::{CollectedSpan, Collector};
use keeptrusts_webhooks_testkit::ports::free_port;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic::Request;
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER: &str = "00f067aa0ba902b7";

/// The `traceparent` of a publisher that records its trace, or does not.
fn publishers(sampled: bool) -> String {
    format!("00-{TRACE}-{PUBLISHER}-0{}", u8::from(sampled))
}

/// Publishes an event within a trace; returns its id.
async fn publish_in(client: &Client, event_type: &str, traceparent: &str) -> String {
    let mut request = Request::new(client.event(event_type, r#"{"n":1}"#));
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    let answer = client.ingest().publish_event(request).await.expect("accepted");
    answer.into_inner().event_id
}

/// Waits until there are so many spans of each name; returns the whole trace. They come from
/// several places, in any order.
async fn spans(collector: &Collector, trace: &str, wanted: &[(&str, usize)]) -> Vec<CollectedSpan> {
    eventually(&format!("{wanted:?} of {trace}"), async || {
        let spans = collector.trace(trace);
        let are_there = wanted.iter().all(|(name, count)| named(&spans, name).len() >= *count);
        are_there.then_some(spans)
    })
    .await
}

fn named<'a>(spans: &'a [CollectedSpan], name: &str) -> Vec<&'a CollectedSpan> {
    spans.iter().filter(|span| span.span.name == name).collect()
}

fn only<'a>(spans: &'a [CollectedSpan], name: &str) -> &'a CollectedSpan {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name} in {:?}", names(spans));
    found[0]
}

fn names(spans: &[CollectedSpan]) -> Vec<&str> {
    spans.iter().map(|span| span.span.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_with_three_attempts_is_one_trace_although_dispatch_was_killed() {
    let collector = Collector::start();
    let script = [Reply::status(500), Reply::status(503), Reply::status(200)];
    let receiver = Receiver::start(Script::sequence(script));
    let database = Database::new(Backend::Postgres).await;
    let start = |name| Server::service(name, &database).flag("--otlp-endpoint", &collector.url());
    let endpoint_service = start("endpoint-service").start().await;
    let ingest_service = start("ingest-service").start().await;
    let mut dispatch_service = start("dispatch-service")
        .delivering_to(&receiver)
        // Long enough to be killed before the third attempt, however busy the machine is.
        .retrying_after("500ms,5s")
        .flag("--lease-ttl", "1s")
        .on_a_fixed_port()
        .start()
        .await;
    let services = [&endpoint_service, &ingest_service, &dispatch_service];
    let [endpoints, ingest, dispatch] = services.map(Server::address);
    let client = Client::new("acme", endpoints, ingest, dispatch);
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = publish_in(&client, "policy.block", &publishers(true)).await;

    // Killed as soon as its second attempt is exported.
    spans(&collector, TRACE, &[("POST", 2)]).await;
    dispatch_service.kill().await;
    assert_eq!(receiver.request_count(), 2, "it is killed before the third");
    dispatch_service.start_again().await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;
    assert_eq!(delivery.trace_id, TRACE);
    let publish_event = "keeptrusts.webhooks.v1.IngestService/PublishEvent";
    let all = [("POST", 3), (publish_event, 1), ("commit", 1)];
    let spans = spans(&collector, TRACE, &all).await;

    // The tree.
    let call = only(&spans, publish_event);
    assert_eq!((call.service.as_str(), call.parent().as_str()), ("ingest-service", PUBLISHER));
    assert_eq!(call.attribute("rpc.response.status_code"), "OK");
    let publish = only(&spans, "publish policy.block");
    assert_eq!(publish.parent(), call.id());
    assert_eq!(publish.attribute("messaging.message.id"), event_id);
    let commit = only(&spans, "commit");
    assert_eq!(commit.parent(), publish.id());
    let route = only(&spans, "route policy.block");
    assert_eq!((route.service.as_str(), route.parent()), ("dispatch-service", publish.id()));
    let attempts = named(&spans, "POST");
    assert_eq!(spans.len(), 7, "nothing twice, nothing else: {:?}", names(&spans));
    let ids: BTreeSet<_> = spans.iter().map(CollectedSpan::id).collect();
    assert_eq!(ids.len(), spans.len());

    // The attempts, each linked to the one before it, and what the receiver saw of them.
    let requests = receiver.requests();
    let outcomes = [("500", "retrying"), ("503", "retrying"), ("200", "delivered")];
    assert_eq!(attempts.len(), 3);
    assert_eq!(requests.len(), 3);
    let mut before = Vec::new();
    for (index, attempt) in attempts.iter().enumerate() {
        let number = (index + 1).to_string();
        let (status_code, outcome) = outcomes[index];
        assert_eq!(attempt.parent(), route.id());
        assert_eq!(attempt.links(), before);
        assert_eq!(attempt.attribute("keeptrusts.delivery.id"), delivery.id);
        assert_eq!(attempt.attribute("keeptrusts.endpoint.id"), endpoint.id);
        assert_eq!(attempt.attribute("keeptrusts.attempt.number"), number);
        assert_eq!(attempt.attribute("keeptrusts.attempt.trigger"), "automatic");
        assert_eq!(attempt.attribute("keeptrusts.attempt.outcome"), outcome);
        assert_eq!(attempt.attribute("http.response.status_code"), status_code);
        let is_error = attempt.span.status.as_ref().is_some_and(|status| status.code != 0);
        assert_eq!(is_error, outcome != "delivered");
        let traceparent = format!("00-{TRACE}-{}-01", attempt.id());
        assert_eq!(requests[index].header("traceparent"), Some(traceparent.as_str()));
        before = vec![attempt.id()];
    }
    for (attempt, told) in attempts.iter().zip(&delivery.attempts).take(2) {
        let next = told.next_attempt_time.expect("there is another").to_string();
        let seconds = &next[.."2026-04-23T10:30:00".len()];
        let attribute = attempt.attribute("keeptrusts.attempt.next_attempt_time");
        assert!(attribute.starts_with(seconds), "{attribute}, not {next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_available_delays_nothing() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let mut server = server.flag("--otlp-endpoint", &nobody).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = publish_in(&client, "policy.block", &publishers(true)).await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let complains = |line: &str| line.contains("spans were lost on their way to the collector");
    server.process().wait_for_line(complains, PATIENCE).await;
    let asked = Instant::now();
    server.stop().await;
    // Both exporters give up after five seconds, at the same time.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(12), "it took {took:?} to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_event_is_named_in_the_trace_and_nothing_is_committed() {
    let collector = Collector::start();
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).flag("--otlp-endpoint", &collector.url());
    let server = server.start().await;
    let client = server.client("acme");
    let mut event = client.event("policy.block", "{}");
    event.idempotency_key = "once".to_owned();
    let first = client.ingest().publish_event(event.clone()).await.expect("accepted").into_inner();
    let mut again = Request::new(event);
    again.metadata_mut().insert("traceparent", publishers(true).parse().expect("ASCII"));
    client.ingest().publish_event(again).await.expect("it was there");
    let spans = spans(&collector, TRACE, &[("publish policy.block", 1)]).await;
    let publish = only(&spans, "publish policy.block");
    assert_eq!(publish.attribute("messaging.message.id"), first.event_id);
    assert_eq!(publish.attribute("keeptrusts.event.duplicate"), "true");
    assert!(named(&spans, "commit").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_batch_and_each_endpoint_has_spans_of_its_own() {
    let collector = Collector::start();
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    for _ in 0..2 {
        client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    }
    let request = BatchPublishEventsRequest {
        organization_id: client.organization(),
        requests: vec![client.event("policy.block", "{}"); 3],
    };
    let mut request = Request::new(request);
    request.metadata_mut().insert("traceparent", publishers(true).parse().expect("ASCII"));
    client.ingest().batch_publish_events(request).await.expect("accepted");

    let all = [("POST", 6), ("publish policy.block", 3), ("commit", 3)];
    let spans = spans(&collector, TRACE, &all).await;
    let mut below: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for span in &spans {
        below.entry(span.parent()).or_default().push(&span.span.name);
    }
    for publish in named(&spans, "publish policy.block") {
        assert_eq!(below[&publish.id()], ["commit", "route policy.block"]);
    }
    for route in named(&spans, "route policy.block") {
        assert_eq!(below[&route.id()], ["POST", "POST"]);
        assert_eq!(route.attribute("keeptrusts.deliveries"), "2");
    }
    assert_eq!(named(&spans, "publish policy.block").len(), 3);
    assert_eq!(named(&spans, "route policy.block").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsampled_trace_is_not_exported_but_its_id_is_passed_on() {
    let collector = Collector::start();
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = publish_in(&client, "policy.block", &publishers(false)).await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;
    assert_eq!(delivery.trace_id, TRACE);
    let request = receiver.requests().remove(0);
    let traceparent = request.header("traceparent").expect("it is in the trace all the same");
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")), "{traceparent}");
    assert!(traceparent.ends_with("-00"), "{traceparent}");

    // Other traces are recorded, of calls made meanwhile. When those are there, this one would be.
    let get = "keeptrusts.webhooks.v1.DispatchService/GetDelivery";
    eventually("the calls' own traces", async || {
        (!named(&collector.spans(), get).is_empty()).then_some(())
    })
    .await;
    assert!(collector.trace(TRACE).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_ratio_of_0_only_traces_sampled_by_callers_are_exported() {
    let collector = Collector::start();
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--otlp-endpoint", &collector.url())
        .flag("--trace-sampling", "0")
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let unrecorded = client.publish("policy.block", "{}").await;
    client.wait_for_state(&unrecorded, delivery::State::Delivered).await;
    let recorded = publish_in(&client, "policy.block", &publishers(true)).await;
    client.wait_for_state(&recorded, delivery::State::Delivered).await;
    spans(&collector, TRACE, &[("POST", 1)]).await;
    assert!(collector.spans().iter().all(|span| span.trace() == TRACE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_and_a_manual_retry_are_in_the_trace_of_what_they_send() {
    let collector = Collector::start();
    let script = [Reply::status(500), Reply::status(200)];
    let receiver = Receiver::start(Script::sequence(script));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after("1h");
    let server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = publish_in(&client, "policy.block", &publishers(true)).await;
    let failed = |delivery: &Delivery| delivery.attempt_count > 0;
    let delivery = client.wait_for_delivery(&event_id, "was attempted", failed).await;
    let retry = RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: delivery.id,
        ..Default::default()
    };
    client.dispatch().retry_delivery(retry).await.expect("it is retried");
    let spans = spans(&collector, TRACE, &[("POST", 2)]).await;
    let attempts = named(&spans, "POST");
    assert_eq!(attempts[1].attribute("keeptrusts.attempt.trigger"), "manual");
    let retry_delivery = "keeptrusts.webhooks.v1.DispatchService/RetryDelivery";
    let call = the_call(&collector, retry_delivery).await;
    assert_ne!(call.trace(), TRACE, "the call has a trace of its own");
    assert_eq!(attempts[1].links(), [attempts[0].id(), call.id()]);
    assert_eq!(linked_traces(attempts[1]), [TRACE.to_owned(), call.trace()]);

    let test = SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id,
        ..Default::default()
    };
    let answer = client.dispatch().send_test(test).await.expect("it is sent").into_inner();
    let trace = answer.delivery.expect("a delivery").trace_id;
    let send_test = "keeptrusts.webhooks.v1.DispatchService/SendTest";
    let all = [("POST", 1), (send_test, 1)];
    let spans = self::spans(&collector, &trace, &all).await;
    let call = only(&spans, send_test);
    let attempt = only(&spans, "POST");
    assert_eq!(attempt.parent(), call.id());
    assert_eq!(attempt.attribute("keeptrusts.attempt.trigger"), "test");
}

/// The span of the only call of a method, in any trace.
async fn the_call(collector: &Collector, method: &str) -> CollectedSpan {
    eventually(method, async || {
        let spans = collector.spans();
        named(&spans, method).first().map(|call| CollectedSpan::clone(call))
    })
    .await
}

fn linked_traces(span: &CollectedSpan) -> Vec<String> {
    span.span.links.iter().map(|link| hex::encode(&link.trace_id)).collect()
}

/// A delivery that the replay makes for a missed event, and one that it resumes after a failure.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_a_replay_link_to_the_call_that_started_it() {
    let collector = Collector::start();
    let script = [Reply::status(500), Reply::status(500), Reply::status(200)];
    let receiver = Receiver::start(Script::sequence(script));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after("100ms");
    let server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let (organization_id, endpoint_id) = (client.organization(), endpoint.id.clone());
    let disable = DisableEndpointRequest { endpoint_id, ..Default::default() };
    let disable = DisableEndpointRequest { organization_id, ..disable };
    client.endpoints().disable_endpoint(disable).await.expect("it is disabled");
    let event_id = publish_in(&client, "policy.block", &publishers(true)).await;
    spans(&collector, TRACE, &[("route policy.block", 1)]).await;
    let (organization_id, endpoint_id) = (client.organization(), endpoint.id.clone());
    let enable = EnableEndpointRequest { organization_id, endpoint_id };
    client.endpoints().enable_endpoint(enable).await.expect("it is enabled");

    const FIRST: &str = "0af7651916cd43dd8448eb211c80319c";
    const SECOND: &str = "1af7651916cd43dd8448eb211c80319c";
    let replay = async |scope: replay::Scope, trace: &str| {
        let request = CreateReplayRequest {
            organization_id: client.organization(),
            replay: Some(Replay {
                endpoint_id: endpoint.id.clone(),
                scope: scope.into(),
                ..Replay::default()
            }),
            ..Default::default()
        };
        let mut request = Request::new(request);
        let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
        request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
        client.dispatch().create_replay(request).await.expect("it is replayed");
    };
    replay(replay::Scope::Missed, FIRST).await;
    client.wait_for_state(&event_id, delivery::State::Failed).await;
    replay(replay::Scope::Failed, SECOND).await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;

    let call_in = async |trace: &str| {
        let create_replay = "keeptrusts.webhooks.v1.DispatchService/CreateReplay";
        only(&spans(&collector, trace, &[(create_replay, 1)]).await, create_replay).id()
    };
    let (first, second) = (call_in(FIRST).await, call_in(SECOND).await);
    let spans = spans(&collector, TRACE, &[("POST", 3)]).await;
    let attempts = named(&spans, "POST");
    assert_eq!(attempts[0].links(), std::slice::from_ref(&first));
    assert_eq!(attempts[1].links(), [attempts[0].id(), first]);
    assert_eq!(attempts[2].links(), [attempts[1].id(), second]);
    assert_eq!(linked_traces(attempts[2]), [TRACE, SECOND]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tracestate_is_passed_to_every_span_and_to_no_receiver() {
    const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    let collector = Collector::start();
    let receiver = Receiver::start(Script::sequence([Reply::status(500), Reply::status(200)]));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after("100ms");
    let mut server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let mut request = Request::new(client.event("policy.block", "{}"));
    request.metadata_mut().insert("traceparent", publishers(true).parse().expect("ASCII"));
    for part in STATE.split(',') {
        request.metadata_mut().append("tracestate", part.parse().expect("ASCII"));
    }
    let answer = client.ingest().publish_event(request).await.expect("accepted").into_inner();
    client.wait_for_state(&answer.event_id, delivery::State::Delivered).await;
    let publish_event = "keeptrusts.webhooks.v1.IngestService/PublishEvent";
    let all = [("POST", 2), (publish_event, 1), ("commit", 1), ("route policy.block", 1)];
    for span in spans(&collector, TRACE, &all).await {
        assert_eq!(span.span.trace_state, STATE, "{}", span.span.name);
    }
    for request in receiver.requests() {
        assert_eq!(request.header("tracestate"), None);
        assert!(request.headers.iter().all(|(_, value)| !value.contains("t61rcWkgMzE")));
    }
    // What is invalid is dropped; the trace goes on.
    let mut request = Request::new(client.event("policy.block", "{}"));
    let other = "5bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{other}-{PUBLISHER}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    request.metadata_mut().insert("tracestate", "rojo=1,rojo=2".parse().expect("ASCII"));
    client.ingest().publish_event(request).await.expect("accepted");
    let spans = spans(&collector, other, &[("POST", 1)]).await;
    assert!(spans.iter().all(|span| span.span.trace_state.is_empty()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_and_its_log_line_contain_the_trace_id() {
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_quickly()
        .flag("--log-format", "json")
        .start()
        .await;
    let client = server.client("acme");

    let mut wrong = Request::new(client.event("no.such.type", "{}"));
    wrong.metadata_mut().insert("traceparent", publishers(true).parse().expect("ASCII"));
    let refused = client.ingest().publish_event(wrong).await.expect_err("it is refused");
    let info = refused.get_details_request_info().expect("RequestInfo");
    assert_eq!(info.request_id, TRACE);
    assert!(refused.get_details_bad_request().is_some(), "beside what was there already");
    assert!(refused.get_details_error_info().is_some());

    // Without a trace of the caller's, a new one begins.
    let refused = client.ingest().publish_event(client.event("no.such.type", "{}")).await;
    let info = refused.expect_err("it is refused").get_details_request_info();
    assert_eq!(info.expect("RequestInfo").request_id.len(), TRACE.len());

    client.create_endpoint(&receiver.url("/hook"), &["policy.block"]).await;
    let event_id = publish_in(&client, "policy.block", &publishers(true)).await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Failed).await;
    let tells = |line: &str| line.contains("a delivery has failed for good");
    let line = server.process().wait_for_line(tells, PATIENCE).await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["trace_id"], &line["level"]), (&TRACE.into(), &"WARN".into()));
    assert_eq!(line["delivery_id"], delivery.id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_traces_hold_no_secret_no_body_and_no_path() {
    let collector = Collector::start();
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.flag("--otlp-endpoint", &collector.url()).start().await;
    let client = server.client("acme");
    let request = CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(Endpoint {
            display_name: "receiver".to_owned(),
            url: receiver.url("/services/planted-path?token=planted-query"),
            event_types: vec!["policy.block".to_owned()],
            secret: "planted-secret-planted-secret".to_owned(),
            ..Endpoint::default()
        }),
        ..Default::default()
    };
    client.endpoints().create_endpoint(request).await.expect("it is created");
    let mut event = client.event("policy.block", r#"{"customer":"planted-body"}"#);
    event.idempotency_key = "planted-key".to_owned();
    let mut event = Request::new(event);
    event.metadata_mut().insert("traceparent", publishers(true).parse().expect("ASCII"));
    client.ingest().publish_event(event).await.expect("accepted");
    spans(&collector, TRACE, &[("POST", 1)]).await;
    let everything = format!("{:?}", collector.spans());
    assert!(everything.contains("keeptrusts.delivery.id"), "it is looked for where it could be");
    for planted in ["planted", keeptrusts_webhooks_testkit::first_key::FIRST_KEY] {
        assert!(!everything.contains(planted), "{planted} was told");
    }
}
