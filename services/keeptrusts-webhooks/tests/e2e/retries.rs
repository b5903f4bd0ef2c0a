//! Deliveries that do not succeed at once: the error is recorded, they are retried on the schedule,
//! and each of them ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keeptrusts_webhooks_contracts::v1::{
    Attempt, AttemptOutcome, AttemptTrigger, CancelDeliveryRequest, DeleteEndpointRequest,
    Delivery, DeliveryState, DisableEndpointRequest, EnableEndpointRequest, EndpointStatus,
    EndpointStatusCause, GetEndpointRequest, RetryDeliveryRequest, SendTestRequest,
};
use keeptrusts_webhooks_testkit::ports::{closed_port, free_port};
use keeptrusts_webhooks_testkit::receiver::{
    Authority, Certificate, ReceivedRequest, Receiver, Reply, Script,
};
use keeptrusts_webhooks_testkit::verify;
use tonic::{Code, Status};

use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, on_both_backends,
};

on_both_backends! {
    invariant_3_an_exhausted_delivery_fails_for_good_and_its_endpoint_is_degraded_until_a_success,
}

/// No retries happen during a test.
const FAR_AWAY: &str = "1h,1h";

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_outlives_every_kind_of_bad_answer_over_http_1_1() {
    let closed = "the receiver closed the connection before it answered";
    outlives_every_kind_of_bad_answer(true, closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_outlives_every_kind_of_bad_answer_over_http_2() {
    let reset = "the receiver reset the request without answering it (HTTP/2 RST_STREAM)";
    outlives_every_kind_of_bad_answer(false, reset).await;
}

async fn outlives_every_kind_of_bad_answer(http1_only: bool, closed: &str) {
    let story = [
        (Reply::status(500), 500, "the receiver answered 500 Internal Server Error"),
        (Reply::Hang, 0, "no answer within 1s"),
        (Reply::Close, 0, closed),
        (
            Reply::redirect("https://new.example/hook"),
            302,
            "the receiver answered 302 Found; redirects are not followed: enter the new URL, https://new.example/hook",
        ),
        (Reply::status(409), 409, "the receiver answered 409 Conflict"),
        (
            Reply::status(429).with_header("retry-after", "1"),
            429,
            "the receiver answered 429 Too Many Requests",
        ),
        // The status counts, even if the body fails.
        (Reply::Drip { every: Duration::from_millis(50) }, 200, ""),
    ];
    let script = Script::sequence(story.iter().map(|(reply, ..)| reply.clone()));
    let receiver = Receiver::builder().script(script);
    let receiver = if http1_only { receiver.http1_only() } else { receiver }.start();
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--request-timeout", "1s")
        // The last wait is not reached: it limits the Retry-After of the sixth attempt.
        .retrying_after("50ms,50ms,50ms,50ms,50ms,50ms,1500ms")
        .start()
        .await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    let event_id = client.publish("policy.block", r#"{"n":1}"#).await;
    let delivery = client.wait_for_state(&event_id, DeliveryState::Delivered).await;

    let told: Vec<_> = delivery
        .attempts
        .iter()
        .map(|attempt| (attempt.status_code, attempt.error.as_str()))
        .collect();
    let expected: Vec<_> = story.iter().map(|(_, status, error)| (*status, *error)).collect();
    assert_eq!(told, expected);
    assert_eq!(delivery.attempt_count, 7);
    assert_eq!(delivery.next_attempt_time, None);
    let (last, failed) = delivery.attempts.split_last().expect("seven attempts");
    assert_eq!((last.outcome(), last.next_attempt_time), (AttemptOutcome::Delivered, None));
    for (attempt, number) in delivery.attempts.iter().zip(1..) {
        assert_eq!((attempt.number, attempt.trigger()), (number, AttemptTrigger::Automatic));
    }
    assert!(failed.iter().all(|attempt| attempt.outcome() == AttemptOutcome::Retrying));
    for number in [2, 7] {
        let duration = duration_of(&delivery.attempts[number - 1]);
        // The default would be 10 s; a busy machine may be late.
        let limit = Duration::from_secs(1);
        assert!(duration >= limit && duration < 5 * limit, "attempt {number} took {duration:?}");
    }

    // Each attempt was one request, at its time, with the same bytes, to this receiver only.
    let received = receiver.requests();
    let sent: Vec<_> = received.iter().map(|request| attempt_number(request)).collect();
    assert_eq!(sent, ["1", "2", "3", "4", "5", "6", "7"]);
    assert!(received.iter().all(|request| request.path == "/"));
    assert!(received.iter().all(|request| request.body == received[0].body));
    verify::assert_signed(&endpoint.secret, &received);
    for (attempt, request) in failed.iter().zip(&received[1..]) {
        let due = time(attempt.next_attempt_time);
        assert!(request.arrived_at >= due, "after attempt {}", attempt.number);
    }
    let ended = time(failed[5].start_time) + duration_of(&failed[5]);
    let waited = time(last.start_time).duration_since(ended).expect("attempts do not overlap");
    assert!(waited >= Duration::from_secs(1), "Retry-After: 1 is honoured, not {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_outlives_refused_connections_and_bad_certificates() {
    let authority = Arc::new(Authority::new());
    let good = |port| Receiver::builder().authority(&authority).port(port).start();
    let bad = |certificate| {
        let receiver = Receiver::builder().authority(&authority).certificate(certificate);
        receiver.port(free_port()).start()
    };
    let trusted = good(0);
    let nobody = closed_port();
    let untrusted = bad(Certificate::Untrusted);
    let wrong_name = bad(Certificate::WrongName);
    let expired = bad(Certificate::Expired);
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&trusted)
        .retrying_after(&["250ms"; 32].join(","))
        .start()
        .await;
    let client = server.client("acme");

    let refused = "refused the connection (nothing listens on that port, or a firewall refuses it)";
    for (event_type, url, error) in [
        ("export.failed", nobody.url("/"), format!("127.0.0.1:{} {refused}", nobody.port())),
        (
            "key.rotated",
            untrusted.url("/"),
            rejected(
                "the trusted issuer that it names did not sign it (if a private authority was made anew, trust its new certificate)",
            ),
        ),
        (
            "key.revoked",
            wrong_name.url("/"),
            rejected("it is not for the host name or address in the URL"),
        ),
        ("user.invited", expired.url("/"), rejected("it has expired")),
    ] {
        client.create_endpoint(&url, &[event_type]).await;
        let event_id = client.publish(event_type, "{}").await;
        let delivery = client
            .wait_for_delivery(&event_id, "was attempted", |delivery| delivery.attempt_count > 0)
            .await;
        let attempt = &delivery.attempts[0];
        assert_eq!((attempt.status_code, attempt.error.as_str()), (0, error.as_str()));
        assert_eq!(attempt.outcome(), AttemptOutcome::Retrying);
    }
    for receiver in [&untrusted, &wrong_name, &expired] {
        assert_eq!(receiver.request_count(), 0, "nothing is sent over a connection to nobody");
    }

    // All of them are repaired.
    let ports = [untrusted, wrong_name, expired].map(|receiver| {
        let port = receiver.address().port();
        drop(receiver);
        port
    });
    let mended = [good(nobody.release()), good(ports[0]), good(ports[1]), good(ports[2])];
    for receiver in &mended {
        receiver.wait_for(1, PATIENCE).await;
    }
}

async fn invariant_3_an_exhausted_delivery_fails_for_good_and_its_endpoint_is_degraded_until_a_success(
    backend: Backend,
) {
    let failing = Reply::status(500).with_header("x-why", "broken").with_body("out of order");
    let receiver = Receiver::start(Script::always(failing));
    let database = Database::new(backend).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly().start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["gateway.connected"]).await;
    let event_id = client.publish("gateway.connected", r#"{"n":1}"#).await;

    let delivery = client.wait_for_state(&event_id, DeliveryState::Failed).await;
    let outcomes: Vec<_> = delivery.attempts.iter().map(Attempt::outcome).collect();
    let mut expected = [AttemptOutcome::Retrying; 6];
    expected[5] = AttemptOutcome::Failed;
    assert_eq!(outcomes, expected, "the first attempt and five retries");
    assert_eq!(delivery.next_attempt_time, None);
    let last = delivery.attempts.last().expect("six attempts");
    assert_eq!((last.response_body.as_str(), last.next_attempt_time), ("out of order", None));
    assert!(last.response_headers.iter().any(|header| header.name == "x-why"));

    let degraded = client.wait_for_status(&endpoint.id, EndpointStatus::Degraded).await;
    assert_eq!(
        degraded.status_reason,
        format!(
            "delivery {} failed after its last retry: the receiver answered 500 Internal Server Error",
            delivery.id
        )
    );
    assert_eq!(degraded.status_cause(), EndpointStatusCause::Exhausted);
    assert_eq!(degraded.status_delivery_id, delivery.id);
    assert_eq!(degraded.failing_since_time, delivery.attempts[0].start_time);

    // A degraded endpoint is still sent to, and the next success makes it active.
    receiver.set_script(Script::default());
    let next = client.publish("gateway.connected", r#"{"n":2}"#).await;
    client.wait_for_state(&next, DeliveryState::Delivered).await;
    let active = client.wait_for_status(&endpoint.id, EndpointStatus::Active).await;
    assert_eq!(active.status_reason, "");
    assert_eq!(active.status_cause(), EndpointStatusCause::Unspecified);
    assert_eq!((active.status_delivery_id, active.failing_since_time), (String::new(), None));

    // A failed delivery can be retried by hand, with the same bytes.
    assert_eq!(client.delivery(&delivery.id).await.state(), DeliveryState::Failed);
    retry(&client, &delivery.id).await.expect("may be retried");
    let delivery = client.wait_for_state(&event_id, DeliveryState::Delivered).await;
    let last = delivery.attempts.last().expect("seven attempts");
    assert_eq!((last.number, last.trigger()), (7, AttemptTrigger::Manual));
    let received = receiver.requests();
    let again = received.last().expect("a request");
    assert_eq!(attempt_number(again), "7");
    assert_eq!(again.body, received[0].body);
    verify::assert_signed(&endpoint.secret, &received);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_retry_neither_consumes_nor_resets_the_schedule() {
    let replies = [Reply::status(503), Reply::status(502), Reply::ok()];
    let receiver = Receiver::start(Script::sequence(replies));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after(FAR_AWAY)
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["policy.redaction"]).await;
    let event_id = client.publish("policy.redaction", "{}").await;
    let first = client.wait_for_state(&event_id, DeliveryState::Retrying).await;

    retry(&client, &first.id).await.expect("may be retried");
    let second = wait_for_attempts(&client, &event_id, 2).await;
    assert_eq!(second.state(), DeliveryState::Retrying);
    assert_eq!(second.next_attempt_time, first.next_attempt_time);
    let attempt = &second.attempts[1];
    assert_eq!((attempt.number, attempt.trigger()), (2, AttemptTrigger::Manual));
    assert_eq!(attempt.outcome(), AttemptOutcome::Retrying);

    retry(&client, &first.id).await.expect("may be retried");
    let third = wait_for_attempts(&client, &event_id, 3).await;
    assert_eq!(third.state(), DeliveryState::Delivered, "a success ends the delivery");
    assert_eq!(third.next_attempt_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_delivery_says_so_and_cannot_be_cancelled_again() {
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after(FAR_AWAY)
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.deployed"]).await;
    let event_id = client.publish("config.deployed", "{}").await;
    let delivery = client.wait_for_state(&event_id, DeliveryState::Retrying).await;

    let cancel = async || {
        let request = CancelDeliveryRequest {
            organization_id: client.organization(),
            delivery_id: delivery.id.clone(),
        };
        client.dispatch().cancel_delivery(request).await
    };
    cancel().await.expect("may be cancelled");
    let cancelled = client.wait_for_state(&event_id, DeliveryState::Cancelled).await;
    assert_eq!(cancelled.next_attempt_time, None);
    assert!(!cancelled.cancel_reason.is_empty());
    assert_refused(
        &cancel().await.expect_err("it has ended"),
        Code::FailedPrecondition,
        "DELIVERY_ENDED",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_endpoint_pauses_its_retries_and_misses_events_until_it_is_enabled() {
    let fails_once = || Script::sequence([Reply::status(500), Reply::ok()]);
    let paths = [("/paused", fails_once()), ("/clock", fails_once())];
    let receiver = Receiver::start(Script::by_path(paths));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver) // Long enough to disable the endpoint meanwhile, on a busy machine, too.
        .retrying_after("3s")
        .start()
        .await;
    let client = server.client("acme");
    let at = |path: &str| receiver.requests().iter().filter(|request| request.path == path).count();
    let endpoint = client.create_endpoint(&receiver.url("/paused"), &["config.updated"]).await;
    client.create_endpoint(&receiver.url("/clock"), &["export.completed"]).await;
    let paused = client.publish("config.updated", r#"{"n":1}"#).await;
    let waiting = client.wait_for_state(&paused, DeliveryState::Retrying).await;

    let request = DisableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
        reason: "maintenance until noon".to_owned(),
    };
    let disabled = client.endpoints().disable_endpoint(request).await.expect("disabled");
    let disabled = disabled.into_inner().endpoint.expect("an endpoint");
    assert_eq!(disabled.status(), EndpointStatus::Disabled);
    assert_eq!(disabled.status_reason, "maintenance until noon");
    let refusal = retry(&client, &waiting.id).await.expect_err("it is disabled");
    assert_refused(&refusal, Code::FailedPrecondition, "ENDPOINT_DISABLED");
    let request = SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
    };
    let refusal = client.dispatch().send_test(request).await.expect_err("it is disabled");
    assert_refused(&refusal, Code::FailedPrecondition, "ENDPOINT_DISABLED");

    // Another endpoint's retry, which is due later, shows that the disabled one's time has passed.
    let missed = client.publish("config.updated", r#"{"n":2}"#).await;
    let clock = client.publish("export.completed", "{}").await;
    client.wait_for_state(&clock, DeliveryState::Delivered).await;
    assert_eq!((at("/paused"), at("/clock")), (1, 2));
    let still = client.delivery(&waiting.id).await;
    assert_eq!((still.state(), still.attempt_count), (DeliveryState::Retrying, 1));

    let request = EnableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
    };
    let enabled = client.endpoints().enable_endpoint(request).await.expect("enabled");
    let enabled = enabled.into_inner().endpoint.expect("an endpoint");
    assert_eq!((enabled.status(), enabled.status_reason.as_str()), (EndpointStatus::Active, ""));
    let delivery = client.wait_for_state(&paused, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempt_count, 2);

    // Events that were published meanwhile have no delivery; those from now on have one.
    let next = client.publish("config.updated", r#"{"n":3}"#).await;
    client.wait_for_state(&next, DeliveryState::Delivered).await;
    assert_eq!(client.deliveries_of(&missed).await, []);
    assert_eq!(at("/paused"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_deleted_endpoint_can_be_read_and_not_retried() {
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after(FAR_AWAY)
        .start()
        .await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["config.sync.failed"]).await;
    let event_id = client.publish("config.sync.failed", "{}").await;
    let delivery = client.wait_for_state(&event_id, DeliveryState::Retrying).await;

    let request = DeleteEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
        etag: String::new(),
    };
    client.endpoints().delete_endpoint(request).await.expect("deleted");
    let cancelled = client.wait_for_state(&event_id, DeliveryState::Cancelled).await;
    assert_eq!(cancelled.cancel_reason, "the endpoint was deleted");
    assert_eq!(cancelled.attempts.len(), 1, "its history stays readable");
    let refusal = retry(&client, &delivery.id).await.expect_err("there is nowhere to send it");
    assert_refused(&refusal, Code::FailedPrecondition, "ENDPOINT_DELETED");
    let request = GetEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
    };
    let refusal = client.endpoints().get_endpoint(request).await.expect_err("it was deleted");
    assert_eq!(refusal.code(), Code::NotFound);
}

async fn retry(client: &Client, delivery_id: &str) -> Result<(), Status> {
    let request = RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: delivery_id.to_owned(),
    };
    client.dispatch().retry_delivery(request).await.map(drop)
}

async fn wait_for_attempts(client: &Client, event_id: &str, count: i32) -> Delivery {
    let what = format!("has {count} attempts");
    client.wait_for_delivery(event_id, &what, |delivery| delivery.attempt_count == count).await
}

fn rejected(why: &str) -> String {
    format!("the receiver's certificate was rejected: {why}")
}

fn attempt_number(request: &ReceivedRequest) -> &str {
    request.header("x-keeptrusts-attempt").unwrap_or_default()
}

fn time(time: Option<prost_types::Timestamp>) -> SystemTime {
    time.and_then(|time| time.try_into().ok()).expect("a time")
}

fn duration_of(attempt: &Attempt) -> Duration {
    attempt.duration.and_then(|duration| duration.try_into().ok()).expect("a duration")
}
