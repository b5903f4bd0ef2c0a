//! The requests that receivers get for published events: their bytes, headers, signatures, and
//! number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_contracts::v1::{
    DeliveryState, GetEventRequest, ListEventTypesRequest, PublishEventRequest,
    PublishEventsRequest, RevealSecretRequest, RotateSecretRequest, publish_result,
};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_testkit::receiver::{Authority, ReceivedRequest, Receiver, Script};
use keeptrusts_webhooks_testkit::verify::{self, HmacCheck, StandardWebhooksCheck};
use prost_types::{Struct, Timestamp, Value, value::Kind};
use tonic::{Code, Request};

use crate::platform::{Backend, Database, PATIENCE, Server, eventually, on_both_backends};

on_both_backends! {
    the_receiver_gets_the_documented_request_and_both_signatures_verify,
    publishing_again_with_the_same_idempotency_key_delivers_once,
    a_batch_accepts_valid_events_and_reports_errors_of_the_others,
    both_secrets_sign_while_a_rotation_overlaps,
}

/// Numbers that a double cannot hold, escapes, spaces, and fields in an order of its own.
const PECULIAR_JSON: &str =
    r#"{ "z": 1.10,  "amount":12345678901234567890.0, "text":"\u00e9é\/", "a":[ ] }"#;

/// 2026-04-23T10:30:00.123456789Z.
const EVENT_TIME: Timestamp = Timestamp { seconds: 1_776_940_200, nanos: 123_456_789 };

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER_SPAN: &str = "00f067aa0ba902b7";

async fn the_receiver_gets_the_documented_request_and_both_signatures_verify(backend: Backend) {
    let receiver = Receiver::builder().http1_only().start();
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let url = receiver.url("/hooks?tenant=7");
    let endpoint = client.create_endpoint(&url, &["policy.violation"]).await;

    let event = client.event("policy.violation", PECULIAR_JSON);
    let mut request = Request::new(PublishEventRequest { event_time: Some(EVENT_TIME), ..event });
    let traceparent = format!("00-{TRACE_ID}-{PUBLISHER_SPAN}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    request.metadata_mut().insert("tracestate", "internal=yes".parse().expect("ASCII"));
    let answer = client.ingest().publish_event(request).await.expect("accepted").into_inner();
    let event_id = answer.event_id;
    assert!(!answer.duplicate);
    let delivery = client.wait_for_state(&event_id, DeliveryState::Delivered).await;

    let received = receiver.requests();
    let [request] = received.as_slice() else { panic!("one request, not {}", received.len()) };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hooks?tenant=7"));
    assert_eq!(
        text(request),
        format!(
            r#"{{"event":"policy.violation","timestamp":"2026-04-23T10:30:00Z","data":{PECULIAR_JSON}}}"#
        )
    );
    verify::assert_signed(&endpoint.secret, &received);

    let version = env!("CARGO_PKG_VERSION");
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", &format!("Keeptrusts-Webhooks/{version}")),
        ("x-keeptrusts-event", "policy.violation"),
        ("x-keeptrusts-event-time", "2026-04-23T10:30:00.123456Z"),
        ("x-keeptrusts-delivery", &delivery.id),
        ("x-keeptrusts-attempt", "1"),
        ("webhook-id", &event_id),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    let names: BTreeSet<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    let documented = [
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-keeptrusts-attempt",
        "x-keeptrusts-delivery",
        "x-keeptrusts-event",
        "x-keeptrusts-event-time",
        "x-keeptrusts-signature",
    ];
    assert_eq!(names, documented.into(), "no header is missing, and none is undocumented");

    // The API has the time as exactly as the header.
    let get = GetEventRequest { organization_id: client.organization(), event_id };
    let event = client.ingest().get_event(get).await.expect("it is there").into_inner().event;
    let cut = Timestamp { nanos: 123_456_000, ..EVENT_TIME };
    assert_eq!(event.expect("an event").event_time, Some(cut));
    // Without a time it is the time of acceptance, also in microseconds. Of eight, one may be a
    // whole millisecond by chance, but not all.
    let mut is_exact = false;
    for _ in 0..8 {
        let event_id = client.publish("key.revoked", "{}").await;
        let get = GetEventRequest { organization_id: client.organization(), event_id };
        let event = client.ingest().get_event(get).await.expect("it is there").into_inner().event;
        let time = event.and_then(|event| event.event_time).expect("a time");
        is_exact |= time.nanos % 1_000_000 != 0;
    }
    assert!(is_exact, "no time is cut to the millisecond");

    // The attempt is a span of the publisher's trace, sampled as that is.
    let span = request
        .header("traceparent")
        .and_then(|value| value.strip_prefix(&format!("00-{TRACE_ID}-")))
        .and_then(|rest| rest.strip_suffix("-01"))
        .expect("the publisher's trace goes on");
    assert_ne!(span, PUBLISHER_SPAN);
    assert_eq!(delivery.trace_id, TRACE_ID);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_of_http_1_1_and_of_http_2_get_the_same_bytes() {
    let authority = Arc::new(Authority::new());
    let old = Receiver::builder().authority(&authority).http1_only().start();
    let new = Receiver::builder().authority(&authority).start();
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&old).start().await;
    let client = server.client("acme");
    let mut secrets = Vec::new();
    for receiver in [&old, &new] {
        let endpoint = client.create_endpoint(&receiver.url("/"), &["key.rotated"]).await;
        secrets.push(endpoint.secret);
    }

    client.publish("key.rotated", PECULIAR_JSON).await;
    let by_old = old.wait_for(1, PATIENCE).await;
    let by_new = new.wait_for(1, PATIENCE).await;

    assert_eq!(format!("{:?}", by_old[0].version), "HTTP/1.1");
    assert_eq!(format!("{:?}", by_new[0].version), "HTTP/2.0");
    assert_eq!(by_old[0].body, by_new[0].body);
    assert_eq!(by_old[0].header("webhook-id"), by_new[0].header("webhook-id"));
    let delivery =
        |request: &ReceivedRequest| request.header("x-keeptrusts-delivery").map(str::to_owned);
    assert_ne!(delivery(&by_old[0]), delivery(&by_new[0]), "two deliveries of one event");
    verify::assert_signed(&secrets[0], &by_old);
    verify::assert_signed(&secrets[1], &by_new);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_given_as_a_structure_arrives_with_its_fields_sorted_by_name() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["user.invited"]).await;

    let value = |kind| Value { kind: Some(kind) };
    let fields = [
        ("who".to_owned(), value(Kind::StringValue("Zoë \"Z\"".to_owned()))),
        ("admin".to_owned(), value(Kind::BoolValue(false))),
        ("count".to_owned(), value(Kind::NumberValue(3.0))),
        ("ratio".to_owned(), value(Kind::NumberValue(0.5))),
        ("until".to_owned(), value(Kind::NullValue(0))),
    ];
    let data = Struct { fields: fields.into() };
    let request = PublishEventRequest {
        payload: Some(Payload::Data(data)),
        event_time: Some(EVENT_TIME),
        ..client.event("user.invited", "")
    };
    client.ingest().publish_event(request).await.expect("accepted");
    let received = receiver.wait_for(1, PATIENCE).await;

    assert_eq!(
        text(&received[0]),
        r#"{"event":"user.invited","timestamp":"2026-04-23T10:30:00Z","data":{"admin":false,"count":3,"ratio":0.5,"until":null,"who":"Zoë \"Z\""}}"#
    );
    verify::assert_signed(&endpoint.secret, &received);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_type_reaches_its_subscribers_and_nobody_else() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let request = ListEventTypesRequest { organization_id: client.organization() };
    let listed = client.endpoints().list_event_types(request).await.expect("listed").into_inner();
    let types: Vec<_> = listed.event_types.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(types, EventType::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>());

    let all = client.create_endpoint(&receiver.url("/all"), &types).await;
    client.create_endpoint(&receiver.url("/one"), &["export.failed"]).await;
    let other = client.of("other");
    other.create_endpoint(&receiver.url("/other"), &types).await;
    let mut events = Vec::new();
    for event_type in &types {
        events.push(client.publish(event_type, "{}").await);
    }

    let received = receiver.wait_for(types.len() + 1, PATIENCE).await;
    let at = |path: &str| -> BTreeSet<String> {
        let at_path = received.iter().filter(|request| request.path == path);
        let event_type = |request: &Arc<ReceivedRequest>| {
            request.header("x-keeptrusts-event").map(str::to_owned)
        };
        at_path.filter_map(event_type).collect()
    };
    assert_eq!(at("/all"), types.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(at("/one"), ["export.failed".to_owned()].into());
    let at_all: Vec<_> = received.iter().filter(|one| one.path == "/all").cloned().collect();
    verify::assert_signed(&all.secret, &at_all);

    let mut deliveries = 0;
    for event_id in &events {
        deliveries += client.deliveries_of(event_id).await.len();
        assert_eq!(other.deliveries_of(event_id).await, [], "not another organization's");
    }
    assert_eq!(deliveries, 17);
}

async fn publishing_again_with_the_same_idempotency_key_delivers_once(backend: Backend) {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["export.completed"]).await;
    let event = |json: &str| PublishEventRequest {
        idempotency_key: "export-7".to_owned(),
        ..client.event("export.completed", json)
    };

    let publish = async |request| client.ingest().publish_event(request).await;
    let first = publish(event(r#"{"id":7}"#)).await.expect("accepted").into_inner();
    let again = publish(event(r#"{"id":7}"#)).await.expect("accepted").into_inner();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(first.event_id, again.event_id);
    // Times are microseconds: more digits make no other content.
    let at = |nanos| {
        let event_time = Some(Timestamp { nanos, ..EVENT_TIME });
        PublishEventRequest {
            idempotency_key: "export-8".to_owned(),
            event_time,
            ..event(r#"{"id":8}"#)
        }
    };
    let duplicates = [
        publish(at(123_456_789)).await.expect("accepted").into_inner().duplicate,
        publish(at(123_456_000)).await.expect("accepted").into_inner().duplicate,
    ];
    assert_eq!(duplicates, [false, true]);
    let refusal = publish(at(123_457_000)).await.expect_err("another microsecond");
    assert_eq!(refusal.code(), Code::AlreadyExists);
    let refusal = publish(event(r#"{"id":8}"#)).await.expect_err("the key stands for another");
    assert_eq!(refusal.code(), Code::AlreadyExists);

    // The same key means another event in another organization.
    let elsewhere = client.of("other");
    let request =
        PublishEventRequest { organization_id: elsewhere.organization(), ..event(r#"{"id":8}"#) };
    let other = elsewhere.ingest().publish_event(request).await.expect("accepted").into_inner();
    assert!(!other.duplicate && other.event_id != first.event_id);

    // Later events have been delivered, so a second delivery of the first would be there.
    let last = client.publish("export.completed", r#"{"id":9}"#).await;
    client.wait_for_state(&last, DeliveryState::Delivered).await;
    let delivered: Vec<_> = receiver
        .requests()
        .iter()
        .filter_map(|request| request.header("webhook-id").map(str::to_owned))
        .collect();
    assert_eq!(delivered.len(), 3, "{delivered:?}");
}

async fn a_batch_accepts_valid_events_and_reports_errors_of_the_others(backend: Backend) {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;

    let keyed = |json: &str| PublishEventRequest {
        organization_id: String::new(),
        idempotency_key: "change-1".to_owned(),
        ..client.event("config.updated", json)
    };
    let events = vec![
        client.event("config.updated", r#"{"n":1}"#),
        client.event("config.updatet", "{}"),
        keyed(r#"{"n":2}"#),
        client.event("config.updated", "[]"),
        keyed(r#"{"n":2}"#),
        keyed(r#"{"n":3}"#),
        PublishEventRequest {
            organization_id: "other".to_owned(),
            ..client.event("config.updated", "{}")
        },
    ];
    let request = PublishEventsRequest { organization_id: client.organization(), events };
    let answer = client.ingest().publish_events(request).await.expect("the batch is right");
    let mut accepted = Vec::new();
    let told: Vec<_> = answer
        .into_inner()
        .results
        .into_iter()
        .map(|result| match result.result.expect("a result") {
            publish_result::Result::Accepted(answer) => {
                accepted.push(answer.event_id);
                format!("accepted, duplicate {}", answer.duplicate)
            }
            publish_result::Result::Error(error) => {
                assert!(!error.message.is_empty());
                format!("{:?} {} {}", Code::from_i32(error.code), error.reason, error.field)
            }
        })
        .collect();
    assert_eq!(
        told,
        [
            "accepted, duplicate false",
            "InvalidArgument INVALID_FIELD event_type",
            "accepted, duplicate false",
            "InvalidArgument INVALID_FIELD data_json",
            "accepted, duplicate true",
            "AlreadyExists IDEMPOTENCY_KEY_REUSED ",
            "InvalidArgument INVALID_FIELD organization_id",
        ]
    );
    assert_eq!(accepted[1], accepted[2], "the duplicate is answered with the first one's id");
    for event_id in &accepted[..2] {
        client.wait_for_state(event_id, DeliveryState::Delivered).await;
    }
    assert_eq!(receiver.request_count(), 2);
}

async fn both_secrets_sign_while_a_rotation_overlaps(backend: Backend) {
    const OVERLAP: Duration = Duration::from_secs(5);
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["key.rotated"]).await;
    let reveal = async || {
        let request = RevealSecretRequest {
            organization_id: client.organization(),
            endpoint_id: endpoint.id.clone(),
        };
        client.endpoints().reveal_secret(request).await.expect("revealed").into_inner().secret
    };
    let base64 = endpoint.secret.strip_prefix("whsec_").expect("Standard Webhooks' prefix");
    assert_eq!((base64.len(), base64.ends_with('=')), (44, true), "32 random bytes");
    assert_eq!(reveal().await, endpoint.secret);

    let request = RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
        secret: String::new(),
        overlap: Some(OVERLAP.try_into().expect("in range")),
    };
    let rotated = client.endpoints().rotate_secret(request).await.expect("rotated").into_inner();
    let secret = rotated.secret;
    assert!(rotated.endpoint.expect("an endpoint").previous_secret_expire_time.is_some());
    assert_ne!(secret, endpoint.secret);
    assert_eq!(reveal().await, secret);

    client.publish("key.rotated", "{}").await;
    let received = receiver.wait_for(1, PATIENCE).await;
    verify::assert_signed(&secret, &received);
    let previous = HmacCheck::of(&endpoint.secret, &received[0], "x-keeptrusts-signature-previous");
    assert_eq!(verify::node_hmac(&[previous]), [Ok(())]);
    let standard = StandardWebhooksCheck::of(&endpoint.secret, &received[0]);
    assert_eq!(verify::standard_webhooks(&[standard]), [Ok(())]);

    // In the end only the new one does.
    let last = eventually("the old secret no longer signs", async || {
        let seen = receiver.request_count();
        client.publish("key.rotated", "{}").await;
        let received = receiver.wait_for(seen + 1, PATIENCE).await;
        received
            .last()
            .filter(|last| last.header("x-keeptrusts-signature-previous").is_none())
            .cloned()
    })
    .await;
    let standard = StandardWebhooksCheck::of(&endpoint.secret, &last);
    assert!(verify::standard_webhooks(&[standard])[0].is_err());
    verify::assert_signed(&secret, &[last]);
}

fn text(request: &ReceivedRequest) -> &str {
    std::str::from_utf8(&request.body).expect("the body is UTF-8")
}
