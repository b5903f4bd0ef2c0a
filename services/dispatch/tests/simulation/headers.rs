//! The headers of every request, up to the last attempt of a schedule: receivers refuse a wrong
//! time, number or signature, and only the receiver would notice.

use std::collections::{BTreeMap, BTreeSet};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_domain::replay::ReplayScope;
use keeptrusts_webhooks_domain::rfc3339::microseconds;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use keeptrusts_webhooks_domain::trace::TraceContext;

use crate::world::{EVENT_TYPE, ReceiverAnswer, Request, World, hours, minutes, seconds, secret};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers_of(request: &Request) -> BTreeMap<String, String> {
    let headers = request.headers.iter();
    let text =
        headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").into()));
    text.collect()
}

/// All headers of a delivery's request, at the time when its receiver got it, signed with these
/// secrets, the current one first.
fn expected(
    request: &Request,
    number: u32,
    event: EventId,
    delivery: &Delivery,
    secrets: &[Secret],
) -> BTreeMap<String, String> {
    let (time, body) = (request.time.as_second(), &request.body[..]);
    let standard = secrets.iter().map(|secret| standard_signature(secret, event, time, body));
    let mut expected = BTreeMap::from(
        [
            ("content-type", "application/json".to_owned()),
            ("user-agent", format!("Keeptrusts-Webhooks/{}", env!("CARGO_PKG_VERSION"))),
            ("x-keeptrusts-signature", keeptrusts_signature(&secrets[0], body)),
            ("x-keeptrusts-event", EVENT_TYPE.name().to_owned()),
            ("x-keeptrusts-event-time", microseconds(delivery.event_time.expect("it has one"))),
            ("x-keeptrusts-delivery", delivery.id.to_string()),
            ("x-keeptrusts-attempt", number.to_string()),
            ("webhook-id", event.to_string()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", standard.collect::<Vec<_>>().join(" ")),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(previous) = secrets.get(1) {
        let signature = keeptrusts_signature(previous, body);
        expected.insert("x-keeptrusts-signature-previous".to_owned(), signature);
    }
    if let Some(trace) = delivery.attempt_trace(number) {
        expected.insert("traceparent".to_owned(), trace.to_string());
    }
    expected
}

#[tokio::test(start_paused = true)]
async fn every_header_of_every_attempt_is_right_from_the_first_to_the_last() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    // An attempt takes a while, so that its start differs from its end.
    world.network.always("siem", ReceiverAnswer::SlowStatus(seconds(7), 503));
    let published: TraceContext = TRACE.parse().expect("a trace");
    let event = world.publish_traced(published.clone()).await;
    world.pass(hours(15)).await;
    let delivery = world.delivery_of(event).await;
    // A manual retry and a replay: numbers and times go on.
    world.request_retry(delivery.id).await;
    world.pass(hours(24)).await;
    world.replay(siem, ReplayScope::Failed).await;
    world.pass(hours(15)).await;

    let requests = world.requests();
    assert_eq!(requests.len(), 6 + 1 + 6);
    let whole_schedule = requests[5].time.duration_since(requests[0].time);
    assert!(whole_schedule.as_secs() >= (14 * 60 + 36) * 60, "{whole_schedule}");
    let mut spans = BTreeSet::new();
    for (request, number) in requests.iter().zip(1..) {
        let expected = expected(request, number, event, &delivery, &[secret()]);
        assert_eq!(headers_of(request), expected, "attempt {number}");
        assert_eq!(request.body, requests[0].body, "attempt {number}");
        let trace: TraceContext = request.header("traceparent").parse().expect("a trace");
        assert_eq!((trace.trace_id, trace.sampled), (published.trace_id, true));
        assert!(spans.insert(trace.span_id), "attempt {number} has another's span");
    }
    assert!(!spans.contains(&published.span_id));
    // The log has the same.
    for (attempt, request) in world.attempts(delivery.id).await.iter().zip(&requests) {
        assert_eq!(attempt.details.start_time, request.time);
        let exchange = world.exchange_of(attempt).await;
        let kept: BTreeMap<_, _> = exchange
            .request_headers
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        assert_eq!(kept, headers_of(request));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_a_crash_repeats_is_signed_with_the_time_of_its_repetition() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR, ReceiverAnswer::Hang]);
    let event = world.publish_traced(TRACE.parse().expect("a trace")).await;
    world.pass(minutes(1) + seconds(5)).await;
    world.kill().await;
    world.pass(hours(3)).await;
    world.start().await;
    world.settle().await;
    let (requests, delivery) = (world.requests(), world.delivery_of(event).await);
    for (request, number) in requests.iter().zip([1, 2, 2]) {
        let expected = expected(request, number, event, &delivery, &[secret()]);
        assert_eq!(headers_of(request), expected, "attempt {number}");
    }
    assert_eq!(requests.len(), 3);
}

/// Two endpoints of one event: no header of one delivery is about the other.
#[tokio::test(start_paused = true)]
async fn deliveries_of_one_event_have_their_own_ids_and_numbers() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.endpoint("pager").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let event = world.publish_traced(TRACE.parse().expect("a trace")).await;
    world.pass(minutes(10)).await;
    let deliveries = world.deliveries(event).await;
    let of = |request: &Request| {
        let delivery = deliveries.iter().find(|delivery| delivery.id == request.delivery());
        delivery.expect("a delivery of the event")
    };
    let to_siem = world.requests_to("siem");
    assert_eq!(to_siem.len(), 2);
    for (request, number) in
        to_siem.iter().zip(1..).chain(world.requests_to("pager").iter().zip(1..))
    {
        let expected = expected(request, number, event, of(request), &[secret()]);
        assert_eq!(headers_of(request), expected, "{} {number}", request.to);
    }
    assert_ne!(of(&to_siem[0]).id, of(&world.requests_to("pager")[0]).id);
}

fn new_secret(number: u32) -> Secret {
    Secret::new(format!("secret number {number} of this endpoint")).expect("long enough")
}

/// At each side of the overlap's end, and at the end itself.
#[tokio::test(start_paused = true)]
async fn the_previous_secret_signs_until_exactly_the_end_of_the_overlap() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let overlap = hours(24);
    let mut moments: Vec<(Timestamp, Vec<Secret>)> = Vec::new();
    let moment = async |secrets: &[Secret], moments: &mut Vec<_>| {
        let event = world.publish().await;
        moments.push((world.now(), secrets.to_vec()));
        world.settle().await;
        (event, world.requests().len() - 1)
    };
    let mut events = Vec::new();
    events.push(moment(&[secret()], &mut moments).await);

    // A delivery that waits for its retry is signed with the secrets that are valid at the retry.
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let waiting = world.publish().await;
    world.settle().await;
    let rotated = world.rotate_secret(siem, &new_secret(2), Some(overlap)).await;
    let both = [new_secret(2), secret()];
    events.push(moment(&both, &mut moments).await);
    world.pass(minutes(1)).await;
    let retry = world.requests().into_iter().rfind(|one| one.number() == 2).expect("a retry");
    let of_retry = expected(&retry, 2, waiting, &world.delivery_of(waiting).await, &both);
    assert_eq!(headers_of(&retry), of_retry);

    let until = |time: Timestamp| {
        std::time::Duration::try_from(time.duration_since(world.now())).expect("in the future")
    };
    let end = rotated + overlap;
    // One that fails within the overlap, and is retried after it.
    world.pass(until(end) - seconds(30)).await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let across = world.publish().await;
    world.pass(until(end) - std::time::Duration::from_millis(1)).await;
    events.push(moment(&both, &mut moments).await);
    assert_eq!(world.now(), end, "settling takes a millisecond");
    events.push(moment(&[new_secret(2)], &mut moments).await);
    world.pass(minutes(1)).await;
    let retry = world.requests().into_iter().rfind(|one| one.number() == 2).expect("a retry");
    assert!(retry.time > end);
    let delivery = world.delivery_of(across).await;
    let of_retry = expected(&retry, 2, across, &delivery, &[new_secret(2)]);
    assert_eq!(headers_of(&retry), of_retry);
    world.pass(hours(48)).await;
    events.push(moment(&[new_secret(2)], &mut moments).await);

    // Two rotations within one overlap: the secret before the last is no longer valid.
    world.rotate_secret(siem, &new_secret(3), Some(overlap)).await;
    events.push(moment(&[new_secret(3), new_secret(2)], &mut moments).await);
    world.rotate_secret(siem, &new_secret(4), Some(overlap)).await;
    events.push(moment(&[new_secret(4), new_secret(3)], &mut moments).await);
    // A rotation without an overlap takes effect at once.
    world.rotate_secret(siem, &new_secret(5), None).await;
    events.push(moment(&[new_secret(5)], &mut moments).await);

    let requests = world.requests();
    for ((event, index), (time, secrets)) in events.into_iter().zip(&moments) {
        let request = &requests[index];
        assert_eq!(request.time, *time);
        let delivery = world.delivery_of(event).await;
        let expected = expected(request, 1, event, &delivery, secrets);
        assert_eq!(headers_of(request), expected, "at {time}, rotated at {rotated}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_header_of_every_notification_attempt_is_right() {
    let mut world = World::without_retries().await;
    world.start().await;
    world.endpoint("siem").await;
    world.channel("hook", &[NotificationType::DeliveryExhausted]).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.network.next("hook", [ReceiverAnswer::ERROR; 5]);
    world.publish().await;
    world.pass(hours(10)).await;
    let notification = world.notifications().await.remove(0);
    let requests = world.requests_to("hook");
    assert_eq!(requests.len(), 6);
    for (request, number) in requests.iter().zip(1..) {
        let (time, body) = (request.time.as_second(), &request.body[..]);
        let expected = BTreeMap::from(
            [
                ("content-type", "application/json".to_owned()),
                ("user-agent", format!("Keeptrusts-Webhooks/{}", env!("CARGO_PKG_VERSION"))),
                ("x-keeptrusts-signature", keeptrusts_signature(&secret(), body)),
                ("x-keeptrusts-event", "notification.delivery_exhausted".to_owned()),
                ("x-keeptrusts-event-time", microseconds(notification.create_time)),
                ("x-keeptrusts-notification", notification.id.to_string()),
                ("x-keeptrusts-attempt", number.to_string()),
                ("webhook-id", notification.id.to_string()),
                ("webhook-timestamp", time.to_string()),
                ("webhook-signature", standard_signature(&secret(), notification.id, time, body)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        assert_eq!(headers_of(request), expected, "attempt {number}");
    }
}
