//! Requests as they leave a socket, and signatures as other implementations verify them. What every
//! header of every attempt says is the simulation's.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::v1::{
    BatchPublishEventsRequest, GetEventRequest, PublishEventRequest, RotateSecretRequest,
    batch_publish_events_response as response, delivery,
};
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Script};
use keeptrusts_webhooks_testkit::verify::{self, HmacCheck, StandardWebhooksCheck};
use prost_types::Timestamp;
use tonic::{Code, Request};
use tonic_types::RpcStatusExt;

use crate::platform::{Backend, Database, PATIENCE, Server};

/// Numbers that a double cannot hold, escapes, spaces, and fields in an order of its own.
const PECULIAR_JSON: &str =
    r#"{ "z": 1.10,  "amount":12345678901234567890.0, "text":"\u00e9é\/", "a":[ ] }"#;

/// 2026-04-23T10:30:00.123456789Z.
const EVENT_TIME: Timestamp = Timestamp { seconds: 1_776_940_200, nanos: 123_456_789 };

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER_SPAN: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_the_wire_has_only_documented_headers_and_other_implementations_verify_it() {
    let receiver = Receiver::builder().http1_only().start();
    let database = Database::new(Backend::Sqlite).await;
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
    let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;

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
    let get =
        GetEventRequest { organization_id: client.organization(), event_id, ..Default::default() };
    let event = client.ingest().get_event(get).await.expect("it is there").into_inner().event;
    let cut = Timestamp { nanos: 123_456_000, ..EVENT_TIME };
    assert_eq!(event.expect("an event").event_time, Some(cut));
    // Without a time it is the time of acceptance, also in microseconds. Of eight, one may be a
    // whole millisecond by chance, but not all.
    let mut is_exact = false;
    for _ in 0..8 {
        let event_id = client.publish("key.revoked", "{}").await;
        let get = GetEventRequest {
            organization_id: client.organization(),
            event_id,
            ..Default::default()
        };
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
async fn a_batch_accepts_valid_events_and_reports_errors_of_the_others() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;

    let keyed = |json: &str| PublishEventRequest {
        organization_id: String::new(),
        idempotency_key: "change-1".to_owned(),
        ..client.event("config.updated", json)
    };
    // Times are microseconds: more digits make no other content.
    let at = |nanos| PublishEventRequest {
        event_time: Some(Timestamp { nanos, ..EVENT_TIME }),
        idempotency_key: "change-2".to_owned(),
        ..keyed("{}")
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
        at(123_456_789),
        at(123_456_000),
    ];
    let request =
        BatchPublishEventsRequest { organization_id: client.organization(), requests: events };
    let answer = client.ingest().batch_publish_events(request).await.expect("the batch is right");
    let mut accepted = Vec::new();
    let told: Vec<_> = answer
        .into_inner()
        .results
        .into_iter()
        .map(|result| match result.result.expect("a result") {
            response::result::Result::Response(answer) => {
                accepted.push(answer.event_id);
                format!("accepted, duplicate {}", answer.duplicate)
            }
            response::result::Result::Status(status) => {
                assert!(!status.message.is_empty());
                let code = Code::from_i32(status.code);
                let reason = status.get_details_error_info().expect("an ErrorInfo").reason;
                let wrong = status.get_details_bad_request().map(|wrong| wrong.field_violations);
                let fields = wrong.into_iter().flatten().map(|violation| violation.field);
                format!("{code:?} {reason} {}", fields.collect::<Vec<_>>().join(", "))
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
            "accepted, duplicate false",
            "accepted, duplicate true",
        ]
    );
    assert_eq!(accepted[1], accepted[2], "the duplicate is answered with the first one's id");
    for event_id in [&accepted[0], &accepted[1], &accepted[3]] {
        client.wait_for_state(event_id, delivery::State::Delivered).await;
    }
    assert_eq!(receiver.request_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_rotation_overlaps_other_implementations_verify_a_request_with_either_secret() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["key.rotated"]).await;
    let request = RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
        secret: String::new(),
        overlap: None,
        ..Default::default()
    };
    let rotated = client.endpoints().rotate_secret(request).await.expect("rotated").into_inner();
    let secret = rotated.secret;
    assert!(rotated.endpoint.expect("an endpoint").previous_secret_expire_time.is_some());
    assert_ne!(secret, endpoint.secret);

    client.publish("key.rotated", "{}").await;
    let received = receiver.wait_for(1, PATIENCE).await;
    verify::assert_signed(&secret, &received);
    let previous = HmacCheck::of(&endpoint.secret, &received[0], "x-keeptrusts-signature-previous");
    assert_eq!(verify::node_hmac(&[previous]), [Ok(())]);
    let standard = StandardWebhooksCheck::of(&endpoint.secret, &received[0]);
    assert_eq!(verify::standard_webhooks(&[standard]), [Ok(())]);
}

fn text(request: &ReceivedRequest) -> &str {
    std::str::from_utf8(&request.body).expect("the body is UTF-8")
}
