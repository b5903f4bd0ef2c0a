//! A receiver that answers 429 or 503 with Retry-After is left alone; no other endpoint is
//! affected.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};

use crate::world::{ALL_BUT_SUMMARY, ReceiverAnswer, World, minutes, seconds};

const BACKLOG: usize = 200;
/// Requests that may be under way at once.
const AT_ONCE: usize = 64;

/// An endpoint's receiver answers the requests under way with 429 and 20 seconds, and later ones
/// well. `count` deliveries wait.
async fn paused_for_20_seconds(world: &World) {
    let answer = ReceiverAnswer::SlowRetryAfter(Duration::from_millis(100), 429, 20);
    world.network.always("siem", answer);
    world.publish_many(BACKLOG).await;
    world.pass(Duration::from_millis(110)).await;
    world.network.heal();
    let requests = world.requests_to("siem").len();
    assert_eq!(requests, AT_ONCE, "only what was under way when the first answer came");
}

/// When each request came, counted from the first.
fn times(world: &World, name: &str) -> Vec<Duration> {
    let requests = world.requests_to(name);
    let since = |time: Timestamp| Duration::try_from(time.duration_since(requests[0].time));
    requests.iter().map(|request| since(request.time).expect("later")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_20_seconds_sees_only_what_was_under_way_until_then() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let first = world.requests_to("siem").len();

    // New deliveries wait as well, and use up no attempt.
    let late = world.publish().await;
    world.pass(seconds(19)).await;
    assert_eq!(world.requests_to("siem").len(), first);
    let waiting = world.delivery_of(late).await;
    assert_eq!((waiting.state, waiting.attempt_count), (DeliveryState::Scheduled, 0));
    assert_eq!(world.status(siem).await, EndpointState::Active);

    world.network.always("siem", ReceiverAnswer::Slow(Duration::from_millis(100)));
    world.pass(seconds(2)).await;
    let after: Vec<_> = times(&world, "siem").split_off(first);
    let at = |millis: u64| {
        let from = seconds(20) + Duration::from_millis(100 + millis);
        let during = from..from + Duration::from_millis(100);
        after.iter().filter(|time| during.contains(*time)).count()
    };
    let rounds: Vec<_> = [0, 100, 200, 300, 400].map(at).to_vec();
    assert_eq!(rounds, [1, 2, 4, 8, 16], "one goes first, then more: {after:?}");

    world.pass(minutes(10)).await;
    let deliveries = world.deliveries_to(siem).await;
    assert_eq!(deliveries.len(), BACKLOG + 1);
    for delivery in deliveries {
        assert_eq!(delivery.state, DeliveryState::Delivered);
        let attempts = world.outcomes(delivery.id).await;
        assert!(attempts.len() <= 2 && attempts.last() == Some(&AttemptOutcome::Delivered));
    }
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn the_delivery_that_caused_a_pause_keeps_its_own_longer_wait() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    // Its own wait is 5 minutes, the schedule's next step; not the pause's 20 s, nor a day.
    world.network.next("siem", [ReceiverAnswer::RetryAfter(503, 86_400), ReceiverAnswer::OK]);
    let answered = world.publish().await;
    world.settle().await;
    let held = world.publish().await;
    world.pass(minutes(5) - seconds(1)).await;
    assert_eq!(world.requests_to("siem").len(), 1, "for at most 5 minutes");
    world.pass(seconds(2)).await;
    assert_eq!(world.delivery_of(answered).await.attempt_count, 2);
    assert_eq!(world.delivery_of(held).await.state, DeliveryState::Delivered);

    // A minute, by the schedule, not the 5 seconds of the pause.
    world.network.next("siem", [ReceiverAnswer::RetryAfter(429, 5), ReceiverAnswer::OK]);
    let answered = world.publish().await;
    world.settle().await;
    let held = world.publish().await;
    world.pass(seconds(6)).await;
    assert_eq!(world.delivery_of(held).await.state, DeliveryState::Delivered);
    assert_eq!(world.delivery_of(answered).await.state, DeliveryState::Retrying);
    world.pass(minutes(1)).await;
    assert_eq!(world.delivery_of(answered).await.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn each_response_pauses_for_five_minutes_at_most_and_one_probe_follows() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::RetryAfter(429, 1_000_000));
    world.publish_many(10).await;
    world.settle().await;
    let first = world.requests_to("siem").len();
    world.pass(minutes(26)).await;
    let probes: Vec<_> = times(&world, "siem").split_off(first);
    let expected: Vec<_> = (1..=5).map(|number| minutes(5 * number)).collect();
    let rounded: Vec<_> = probes.iter().map(|time| seconds(time.as_secs())).collect();
    assert_eq!(rounded, expected);
}

#[tokio::test(start_paused = true)]
async fn only_429_and_503_with_retry_after_pause() {
    for answer in [
        ReceiverAnswer::Status(429),
        ReceiverAnswer::Status(503),
        ReceiverAnswer::RetryAfter(500, 20),
        ReceiverAnswer::RetryAfter(301, 20),
        ReceiverAnswer::RetryAfter(429, 0),
    ] {
        let world = World::embedded().await;
        world.endpoint("siem").await;
        world.network.next("siem", [answer]);
        world.publish().await;
        world.settle().await;
        world.publish().await;
        world.settle().await;
        assert_eq!(world.requests_to("siem").len(), 2, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_8_a_pause_does_not_touch_another_endpoint() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.endpoint_for("pager", EventType::ExportFailed).await;
    paused_for_20_seconds(&world).await;
    let first = world.requests_to("siem").len();
    for number in 1..=19 {
        world.publish_type(EventType::ExportFailed).await;
        world.settle().await;
        assert_eq!(world.requests_to("pager").len(), number);
        world.pass(seconds(1) - Duration::from_millis(1)).await;
    }
    assert_eq!(world.requests_to("siem").len(), first);
}

#[tokio::test(start_paused = true)]
async fn manual_retries_and_tests_are_sent_during_a_pause() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let before = world.requests_to("siem").len();
    let [held, ..] = &world.deliveries_to(siem).await[..] else { panic!("there are deliveries") };
    world.request_retry(held.id).await;
    world.settle().await;
    let test = world.send_test(siem).await;
    world.settle().await;
    assert_eq!(world.state(test).await, DeliveryState::Delivered);
    assert_eq!(world.state(held.id).await, DeliveryState::Delivered);
    assert_eq!(world.requests_to("siem").len(), before + 2, "and nothing else");
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_the_death_of_its_owner() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let first = world.requests_to("siem").len();
    world.pass(seconds(5)).await;
    world.restart().await;
    let held = world.publish().await;
    let [.., waiting] = &world.deliveries_to(siem).await[..] else { panic!("there are some") };
    world.request_retry(waiting.id).await;
    world.pass(seconds(14)).await;
    assert_eq!(world.requests_to("siem").len(), first + 1, "the manual retry, and nothing else");
    assert_eq!(world.delivery_of(held).await.attempt_count, 0);
    world.network.always("siem", ReceiverAnswer::Slow(Duration::from_millis(100)));
    world.pass(Duration::from_millis(1_050)).await;
    assert_eq!(world.requests_to("siem").len(), first + 2, "a probe, not everything");
    world.pass(minutes(10)).await;
    assert_eq!(world.delivery_of(held).await.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_comes_when_a_pause_has_just_ended_begins_with_a_probe() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let first = world.requests_to("siem").len();
    world.pass(seconds(5)).await;
    world.kill().await;
    world.pass(minutes(2)).await;
    world.network.always("siem", ReceiverAnswer::Slow(Duration::from_millis(100)));
    world.start().await;
    world.pass(Duration::from_millis(50)).await;
    assert_eq!(world.requests_to("siem").len(), first + 1);
    world.pass(Duration::from_millis(100)).await;
    assert_eq!(world.requests_to("siem").len(), first + 3);
}

#[tokio::test(start_paused = true)]
async fn another_process_that_takes_over_goes_on_with_the_pause() {
    let mut world = World::shared(1).await;
    world.join("a").await;
    world.pass(seconds(30)).await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::RetryAfter(503, 300)]);
    world.publish().await;
    world.pass(seconds(1)).await;
    let held = world.publish().await;
    world.join("b").await;
    world.crash("a");
    world.pass(minutes(4)).await;
    assert_eq!(world.requests_to("siem").len(), 1);
    world.pass(minutes(2)).await;
    assert_eq!(world.delivery_of(held).await.state, DeliveryState::Delivered);
    assert_eq!(world.deliveries_to(siem).await.len(), 2);
    assert!(world.requests_to("siem")[1..].iter().all(|request| request.from == "b"));
}

#[tokio::test(start_paused = true)]
async fn a_new_url_and_enabling_end_a_pause() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let first = world.requests_to("siem").len();
    world.subscribe(siem, EventType::ExportFailed).await;
    world.settle().await;
    assert_eq!(world.requests_to("siem").len(), first, "it is still the same receiver");
    let url = Some("https://receiver.example/elsewhere".to_owned());
    world.update(siem, EndpointPatch { url, ..EndpointPatch::default() }).await;
    world.settle().await;
    assert_eq!(world.requests_to("elsewhere").len(), BACKLOG - first);

    world.network.next("elsewhere", [ReceiverAnswer::RetryAfter(429, 300)]);
    world.publish_type(EventType::ExportFailed).await;
    world.settle().await;
    world.publish_type(EventType::ExportFailed).await;
    world.settle().await;
    let before = world.requests_to("elsewhere").len();
    world.disable(siem).await;
    world.pass(seconds(5)).await;
    assert_eq!(world.requests_to("elsewhere").len(), before);
    world.enable(siem).await;
    world.settle().await;
    assert_eq!(world.requests_to("elsewhere").len(), before + 1);
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn a_response_from_a_former_url_pauses_nothing() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::SlowRetryAfter(seconds(5), 503, 3_600)]);
    let answered = world.publish().await;
    world.pass(seconds(1)).await;
    let url = Some("https://receiver.example/elsewhere".to_owned());
    world.update(siem, EndpointPatch { url, ..EndpointPatch::default() }).await;
    world.pass(seconds(5)).await;
    world.publish().await;
    world.settle().await;
    assert_eq!(world.requests_to("elsewhere").len(), 1);
    world.pass(minutes(1)).await;
    assert_eq!(world.delivery_of(answered).await.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn of_many_responses_only_few_records_contain_a_pause() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    paused_for_20_seconds(&world).await;
    let logs = world.logs().await;
    let pauses = logs.iter().flatten().filter(|record| {
        let Fact::Delivery(DeliveryFact::AttemptFailed { endpoint_pause, .. }) = &record.fact
        else {
            return false;
        };
        endpoint_pause.is_some()
    });
    // All of them were answered at the same moment of virtual time.
    assert_eq!(pauses.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_delivery_that_is_held_until_its_body_expires_has_failed() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.channel("hook", &ALL_BUT_SUMMARY).await;
    world.network.next("siem", [ReceiverAnswer::RetryAfter(503, 300), ReceiverAnswer::OK]);
    world.publish().await;
    world.settle().await;
    let held = world.publish().await;
    let retried = world.publish().await;
    world.settle().await;
    world.erase_body(held).await;
    // Its next owner has nothing in memory.
    world.restart().await;
    world.pass(minutes(6)).await;
    let delivery = world.delivery_of(held).await;
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 0));
    assert_eq!(delivery.end_reason, "the event's body is no longer kept");
    assert_eq!(world.delivery_of(retried).await.state, DeliveryState::Delivered);
    // Channels are notified of it and of its end, the next success. That came before the message
    // about the degraded endpoint was due.
    let mut told: Vec<_> = world.received_by("hook").into_iter().map(|told| told.what).collect();
    told.sort_unstable();
    assert_eq!(told, ["delivery_exhausted", "endpoint_recovered"]);
    assert_eq!(world.status(siem).await, EndpointState::Active);
    world.assert_tables_match_the_log().await;
}
