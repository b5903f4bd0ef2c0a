use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    attempt_with_content, attempt_without_content, event_with_body,
};
use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::{
    Attempt, AttemptDetails, AttemptOutcome, HttpExchange, Trigger,
};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::endpoint::{
    EffectiveEndpointState, Endpoint, FailureStreak, PreviousSecret, StateCause,
};
use keeptrusts_webhooks_domain::endpoint_config::EndpointConfig;
use keeptrusts_webhooks_domain::event::{ContentDigest, Event, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::AttemptId;
use keeptrusts_webhooks_domain::log::{Position, Version};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;
use keeptrusts_webhooks_domain::secret::SealedSecret;

use crate::{delivery_id, endpoint_id, event_id, proto_time, time};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn an_endpoint_is_shown_without_its_secrets() {
    let secret = SealedSecret { key_id: "k".to_owned(), nonce: [0; 12], ciphertext: vec![1] };
    let config = EndpointConfig {
        display_name: "siem".to_owned(),
        url: "https://siem.example/".to_owned(),
        description: "notes".to_owned(),
        event_types: vec![EventType::PolicyBlock],
        payload_format: PayloadFormat::PagerDuty { routing_key: secret.clone() },
    };
    let organization = "default".parse().expect("valid");
    let mut endpoint =
        Endpoint::created(endpoint_id(), organization, config, secret.clone(), time());
    endpoint.previous_secret = Some(PreviousSecret { secret, expire_time: time() });
    let shown = v1::Endpoint {
        secret: String::new(),
        routing_key: String::new(),
        id: endpoint_id().to_string(),
        organization_id: "default".to_owned(),
        display_name: "siem".to_owned(),
        url: "https://siem.example/".to_owned(),
        description: "notes".to_owned(),
        event_types: vec!["policy.block".to_owned()],
        state: v1::endpoint::State::Active.into(),
        state_reason: String::new(),
        etag: "\"1\"".to_owned(),
        create_time: Some(proto_time()),
        update_time: Some(proto_time()),
        previous_secret_expire_time: Some(proto_time()),
        state_time: Some(proto_time()),
        state_cause: None,
        state_delivery_id: String::new(),
        failing_since_time: None,
        pause: None,
        payload_format: v1::PayloadFormat::Pagerduty.into(),
        payload_template: String::new(),
        has_routing_key: true,
    };
    assert_eq!(v1::Endpoint::of(&endpoint, None, None, time()), shown);
}

#[test]
fn an_endpoint_that_only_fails_says_so_as_soon_as_it_has_for_two_minutes() {
    let secret = SealedSecret { key_id: "k".to_owned(), nonce: [0; 12], ciphertext: vec![1] };
    let config = EndpointConfig {
        display_name: "siem".to_owned(),
        url: "https://siem.example/".to_owned(),
        description: String::new(),
        event_types: vec![EventType::PolicyBlock],
        payload_format: PayloadFormat::Keeptrusts,
    };
    let create_time = time() - Duration::from_secs(1);
    let organization = "default".parse().expect("valid");
    let mut endpoint = Endpoint::created(endpoint_id(), organization, config, secret, create_time);
    let streak = FailureStreak::begin(time(), delivery_id());
    let shown = |endpoint: &Endpoint, micros| {
        let now = time() + Duration::from_micros(micros);
        v1::Endpoint::of(endpoint, Some(&streak), None, now)
    };
    let before = shown(&endpoint, 120_000_000 - 1);
    assert_eq!(before.state(), v1::endpoint::State::Active);
    assert_eq!((before.state_reason.as_str(), before.state_delivery_id.as_str()), ("", ""));
    assert_eq!(before.state_time, Some(timestamp_to_proto(create_time)));
    assert_eq!(before.failing_since_time, Some(proto_time()), "it may become a failing one");

    let failing = shown(&endpoint, 120_000_000);
    let expected = v1::Endpoint {
        state: v1::endpoint::State::Failing.into(),
        state_reason: streak.reason(),
        state_time: Some(proto_time()),
        state_delivery_id: delivery_id().to_string(),
        ..before
    };
    assert_eq!(failing, expected);

    // That it is degraded says more.
    let reason = "why".to_owned();
    endpoint.apply(&EndpointFact::Degraded { delivery_id: delivery_id(), reason }, time());
    let degraded = shown(&endpoint, 120_000_000);
    assert_eq!(degraded.state(), v1::endpoint::State::Degraded);
    assert_eq!(degraded.state_reason, "why");
    assert_eq!(degraded.state_cause(), v1::endpoint::StateCause::Exhausted);
}

#[test]
fn the_cause_of_an_endpoints_state_is_shown() {
    for (cause, shown) in [
        (StateCause::Requested, v1::endpoint::StateCause::Requested),
        (StateCause::Exhausted, v1::endpoint::StateCause::Exhausted),
        (StateCause::FailedTooLong, v1::endpoint::StateCause::FailedTooLong),
        (StateCause::Gone, v1::endpoint::StateCause::Gone),
    ] {
        assert_eq!(v1::endpoint::StateCause::from(cause), shown);
    }
}

#[test]
fn an_event_is_shown_with_or_without_its_body() {
    let body = br#"{"event":"policy.block"}"#;
    let key = IdempotencyKey::optional("k".to_owned()).expect("valid").expect("not empty");
    let event = Event {
        id: event_id(),
        organization_id: "default".parse().expect("valid"),
        event_type: EventType::PolicyBlock,
        is_test: true,
        event_time: time(),
        create_time: time(),
        body: ContentDigest::of(body),
        idempotency: Some(Idempotency { key, request_sha256: [0; 32] }),
        trace_id: TRACE_ID.parse().ok(),
        publisher: "key_1".to_owned(),
        position: Position(1),
    };
    let listed = v1::Event {
        id: event_id().to_string(),
        organization_id: "default".to_owned(),
        event_type: "policy.block".to_owned(),
        event_time: Some(proto_time()),
        create_time: Some(proto_time()),
        body: String::new(),
        body_size_bytes: 24,
        body_sha256: ContentDigest::of(body).sha256.to_vec(),
        idempotency_key: "k".to_owned(),
        trace_id: TRACE_ID.to_owned(),
        publisher: "key_1".to_owned(),
        test: true,
    };
    assert_eq!(v1::Event::from(&event), listed);
    assert_eq!(event_with_body(&event, None), listed, "the body has expired");
    assert_eq!(event_with_body(&event, Some(body)).body.as_bytes(), body);
}

fn delivery() -> Delivery {
    Delivery {
        id: delivery_id(),
        organization_id: "default".parse().expect("valid"),
        event_id: event_id(),
        event_type: EventType::PolicyBlock,
        is_test: false,
        event_time: Some(time()),
        endpoint_id: endpoint_id(),
        state: DeliveryState::Retrying,
        attempt_count: 3,
        automatic_count: 2,
        next_attempt_time: Some(time() + Duration::from_secs(60)),
        // Nobody is shown it.
        steady_due_time: Some(time() + Duration::from_secs(7_200)),
        retry_request_time: Some(time()),
        retry_request_trace: None,
        replay_request_trace: None,
        trace: TRACEPARENT.parse().ok(),
        create_time: time(),
        end_reason: String::new(),
        version: Version(3),
    }
}

#[test]
fn a_delivery_shows_when_its_next_attempt_is_due() {
    let shown = v1::Delivery {
        id: delivery_id().to_string(),
        organization_id: "default".to_owned(),
        event_id: event_id().to_string(),
        event_type: "policy.block".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        state: v1::delivery::State::Retrying.into(),
        attempt_count: 3,
        next_attempt_time: Some(proto_time()),
        trace_id: TRACE_ID.to_owned(),
        create_time: Some(proto_time()),
        attempts: Vec::new(),
        cancel_reason: String::new(),
        failure_reason: String::new(),
        test: false,
    };
    let of = |delivery: &Delivery| v1::Delivery::of(delivery, delivery.state.effective(false));
    assert_eq!(of(&delivery()), shown, "the manual retry comes first");
    // A due attempt waits while the endpoint is disabled.
    let paused = v1::Delivery::of(&delivery(), delivery().state.effective(true));
    assert_eq!(paused, v1::Delivery { state: v1::delivery::State::Paused.into(), ..shown });
    let ended = Delivery { state: DeliveryState::Failed, next_attempt_time: None, ..delivery() };
    let shown = of(&ended).next_attempt_time;
    assert_eq!(shown, Some(proto_time()), "somebody has asked for a retry");
    let ended = Delivery { retry_request_time: None, ..ended };
    assert_eq!(of(&ended).next_attempt_time, None);
}

#[test]
fn the_reason_for_an_end_without_an_attempt_is_in_the_field_of_its_state() {
    let shown = |state| {
        let reason = "the event's body is no longer kept".to_owned();
        let delivery = Delivery { state, end_reason: reason, ..delivery() };
        let v1::Delivery { cancel_reason, failure_reason, .. } =
            v1::Delivery::of(&delivery, delivery.state.effective(false));
        (cancel_reason, failure_reason)
    };
    let reason = "the event's body is no longer kept".to_owned();
    assert_eq!(shown(DeliveryState::Failed), (String::new(), reason.clone()));
    assert_eq!(shown(DeliveryState::Cancelled), (reason, String::new()));
}

#[test]
fn a_pause_is_shown_as_long_as_it_lasts() {
    let (delivery_id, status_code) = (delivery_id(), 429);
    let pause = Pause::new(time(), Duration::from_secs(20), delivery_id, status_code);
    let shown = |later| v1::EndpointPause::of(&pause, time() + Duration::from_secs(later));
    let expected = v1::EndpointPause {
        start_time: Some(timestamp_to_proto(time())),
        end_time: Some(timestamp_to_proto(time() + Duration::from_secs(20))),
        delivery_id: delivery_id.to_string(),
        status_code: 429,
    };
    assert_eq!(shown(0), Some(expected.clone()));
    assert_eq!(shown(19), Some(expected));
    assert_eq!(shown(20), None);
}

#[test]
fn an_attempt_is_shown_with_the_content_that_has_not_expired() {
    let details = AttemptDetails {
        id: AttemptId::MIN,
        event_id: event_id(),
        event_type: EventType::PolicyBlock,
        endpoint_id: endpoint_id(),
        number: 3,
        automatic_count: 2,
        trigger: Trigger::Manual,
        start_time: time(),
        duration: Duration::from_millis(1_250),
        status_code: Some(503),
        exchange: ContentDigest::of(b""),
        remark: "the answer's body ended early".to_owned(),
    };
    let attempt = Attempt {
        organization_id: "default".parse().expect("valid"),
        delivery_id: delivery_id(),
        details,
        outcome: AttemptOutcome::Retrying,
        error: "answered 503".to_owned(),
        next_attempt_time: Some(time()),
    };
    let listed = v1::Attempt {
        id: AttemptId::MIN.to_string(),
        delivery_id: delivery_id().to_string(),
        event_id: event_id().to_string(),
        event_type: "policy.block".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        number: 3,
        trigger: v1::attempt::Trigger::Manual.into(),
        start_time: Some(proto_time()),
        duration: Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 }),
        status_code: 503,
        error: "answered 503".to_owned(),
        outcome: v1::attempt::Outcome::Retrying.into(),
        next_attempt_time: Some(proto_time()),
        remark: "the answer's body ended early".to_owned(),
        ..Default::default()
    };
    assert_eq!(v1::Attempt::from(&attempt), listed);
    assert_eq!(attempt_with_content(&attempt, None, None), listed, "all of it has expired");

    let exchange = HttpExchange {
        request_headers: vec![("webhook-id".to_owned(), b"evt".to_vec())],
        response_headers: vec![("x".to_owned(), vec![b'a', 0xff])],
        response_body: b"Gr\xf6\xdfe".to_vec(),
        request_body: None,
    };
    let shown = attempt_with_content(&attempt, Some(&exchange), Some(b"{}"));
    assert_eq!(shown.request_body, "{}");
    assert_eq!(shown.response_body, "Gr\u{fffd}\u{fffd}e", "what is not UTF-8 is replaced");
    let of_its_own = HttpExchange { request_body: Some(b"[]".to_vec()), ..exchange.clone() };
    let other = attempt_with_content(&attempt, Some(&of_its_own), Some(b"{}"));
    assert_eq!(other.request_body, "[]", "what was sent, and not the event's body");
    assert_eq!(shown.request_headers[0].name, "webhook-id");
    assert_eq!(shown.response_headers[0].value, "a\u{fffd}");

    assert!(!shown.content_omitted);
    let without = attempt_without_content(&attempt);
    assert_eq!(without, v1::Attempt { content_omitted: true, ..listed });
    let answered = |encoding: Option<&str>, body: &[u8]| {
        let encoding = encoding.map(|name| ("content-encoding".to_owned(), name.into()));
        let response_headers = encoding.into_iter().collect();
        let exchange =
            HttpExchange { response_headers, response_body: body.to_vec(), ..exchange.clone() };
        attempt_with_content(&attempt, Some(&exchange), None).response_body
    };
    assert_eq!(answered(Some("br"), b"\x0b\x02"), "[2 bytes, encoded: br]");
    assert_eq!(answered(Some("br"), b"\x06"), "[1 byte, encoded: br]");
    assert_eq!(answered(None, b"\0"), "[1 byte that is not text]");
    assert_eq!(answered(Some("identity"), b"ok"), "ok");
    assert_eq!(answered(Some("gzip"), b""), "");
    assert_eq!(answered(None, b"\x89PNG\r\n\x1a\n\0"), "[9 bytes that are not text]");
    assert_eq!(answered(None, &[0xfe; 16]), "[16 bytes that are not text]");
    assert_eq!(answered(None, "tab\tand\r\nline, ünïcödé".as_bytes()), "tab\tand\r\nline, ünïcödé");
}

#[test]
fn every_state_has_its_own_number_and_zero_has_no_meaning() {
    use EffectiveDeliveryState::{Cancelled, Delivered, Failed, Paused, Retrying, Scheduled};
    for state in [Scheduled, Retrying, Paused, Delivered, Failed, Cancelled] {
        assert_eq!(Option::from(v1::delivery::State::from(state)), Some(state));
    }
    use EffectiveEndpointState::{Active, Degraded, Disabled, Failing};
    for state in [Active, Failing, Degraded, Disabled] {
        assert_eq!(Option::from(v1::endpoint::State::from(state)), Some(state));
    }
    for outcome in [AttemptOutcome::Delivered, AttemptOutcome::Retrying, AttemptOutcome::Failed] {
        assert_eq!(Option::from(v1::attempt::Outcome::from(outcome)), Some(outcome));
    }
    assert_eq!(Option::<EffectiveDeliveryState>::from(v1::delivery::State::Unspecified), None);
    assert_eq!(Option::<EffectiveEndpointState>::from(v1::endpoint::State::Unspecified), None);
    assert_eq!(Option::<AttemptOutcome>::from(v1::attempt::Outcome::Unspecified), None);
}

#[test]
fn an_event_type_is_shown_with_its_category() {
    let shown = v1::EventType::from(EventType::ConfigSyncFailed);
    assert_eq!(
        (shown.id.as_str(), shown.category.as_str()),
        ("config.sync.failed", "Configuration")
    );
    assert!(!shown.description.is_empty());
}
