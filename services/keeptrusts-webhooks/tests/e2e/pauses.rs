//! Retry-After pauses an endpoint.

use std::time::{Duration, SystemTime};

use keeptrusts_webhooks_contracts::v1::{
    Attempt, DeliveryState, EndpointPause, EndpointStatus, ListEndpointsRequest,
    RetryDeliveryRequest, SendTestRequest,
};
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Reply, Script};

use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually, on_both_backends};

on_both_backends! {
    a_paused_endpoint_gets_no_requests_and_others_do,
}

/// No retries happen during a test.
const FAR_AWAY: &str = "1h,2h,3h";

fn too_many_requests(retry_after: &str) -> Reply {
    Reply::status(429).with_header("retry-after", retry_after)
}

async fn wait_for_pause(client: &Client, id: &str) -> EndpointPause {
    eventually("the endpoint is paused", async || client.endpoint(id).await.pause).await
}

fn time(time: Option<prost_types::Timestamp>) -> SystemTime {
    time.and_then(|time| time.try_into().ok()).expect("a time")
}

/// The requests that are not tests.
fn of_events(receiver: &Receiver, path: &str) -> Vec<std::sync::Arc<ReceivedRequest>> {
    let mut requests = receiver.requests();
    requests.retain(|request| {
        request.path == path && request.header("x-keeptrusts-event") != Some("webhook.test")
    });
    requests
}

async fn a_paused_endpoint_gets_no_requests_and_others_do(backend: Backend) {
    let asks_once = Script::sequence([too_many_requests("8"), Reply::ok()]);
    let well = Script::always(Reply::ok());
    let receiver = Receiver::start(Script::by_path([("/busy", asks_once), ("/well", well)]));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after(FAR_AWAY)
        .start()
        .await;
    let client = server.client("acme");
    let busy = client.create_endpoint(&receiver.url("/busy"), &["policy.block"]).await;
    client.create_endpoint(&receiver.url("/well"), &["key.rotated"]).await;
    let answered = client.publish("policy.block", r#"{"n":0}"#).await;
    let pause = wait_for_pause(&client, &busy.id).await;
    let [delivery] = &client.deliveries_of(&answered).await[..] else { panic!("one delivery") };
    assert_eq!((pause.status_code, &pause.delivery_id), (429, &delivery.id));
    let lasts = time(pause.end_time).duration_since(time(pause.start_time)).expect("it ends later");
    assert_eq!(lasts, Duration::from_secs(8));
    let endpoint = client.endpoint(&busy.id).await;
    assert_eq!(endpoint.status(), EndpointStatus::Active, "a pause is no fault");
    let request = ListEndpointsRequest {
        organization_id: client.organization(),
        ..ListEndpointsRequest::default()
    };
    let listed = client.endpoints().list_endpoints(request).await.expect("listed").into_inner();
    let paused: Vec<_> = listed.endpoints.iter().filter(|it| it.pause.is_some()).collect();
    assert_eq!(paused.iter().map(|it| &it.id).collect::<Vec<_>>(), [&busy.id]);

    // New deliveries wait, with all of their attempts; the other endpoint's do not.
    let mut held = Vec::new();
    for number in 1..=20 {
        held.push(client.publish("policy.block", &format!(r#"{{"n":{number}}}"#)).await);
    }
    let other = client.publish("key.rotated", "{}").await;
    client.wait_for_state(&other, DeliveryState::Delivered).await;
    // A test and a manual retry do not wait either.
    let request =
        SendTestRequest { organization_id: client.organization(), endpoint_id: busy.id.clone() };
    let test = client.dispatch().send_test(request).await.expect("sent").into_inner();
    assert_eq!(test.delivery.expect("a delivery").state(), DeliveryState::Delivered);
    let by_hand = &client.wait_for_state(&held[7], DeliveryState::Scheduled).await;
    let request = RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: by_hand.id.clone(),
    };
    client.dispatch().retry_delivery(request).await.expect("may be retried");
    client.wait_for_state(&held[7], DeliveryState::Delivered).await;
    let during = of_events(&receiver, "/busy");
    assert!(SystemTime::now() < time(pause.end_time), "this machine is too slow for this test");
    assert_eq!(during.len(), 2, "the first, and the one that was retried by hand");

    for event in &held {
        let delivery = client.wait_for_state(event, DeliveryState::Delivered).await;
        assert_eq!(delivery.attempt_count, 1, "waiting used up no attempt");
    }
    let requests = of_events(&receiver, "/busy");
    let asked = requests[0].arrived_at;
    let early: Vec<_> = requests[2..]
        .iter()
        .filter(|request| request.arrived_at < asked + Duration::from_secs(8))
        .collect();
    assert!(early.is_empty(), "{early:?}");
    assert_eq!(client.endpoint(&busy.id).await.pause, None);
    // The delivery that got the response waits by its own schedule.
    let delivery = client.delivery(&delivery.id).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (DeliveryState::Retrying, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_read_in_each_of_its_spellings() {
    const HOUR: u64 = 3_600;
    // The last of the schedule's waits that matter: an hour, at most two.
    let spellings = [
        ("0", HOUR),
        ("005400", 5_400),
        (" 5400 ", 5_400),
        ("9999999999", 2 * HOUR),
        ("99999999999999999999999999", 2 * HOUR),
        ("Thu, 23 Apr 2026 12:00:00 GMT", 5_400),
        ("Thursday, 23-Apr-26 12:00:00 GMT", 5_400),
        ("Thu Apr 23 12:00:00 2026", 5_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 2 * HOUR),
        ("Thu, 23 Apr 2026 10:29:00 GMT", HOUR),
        ("soon", HOUR),
        ("-1", HOUR),
    ];
    let script = Script::new(move |request| {
        let number: usize = request.path.trim_start_matches('/').parse().expect("a number");
        // A status that does not pause, and the receiver's own clock.
        let reply = Reply::status(500).with_header("date", "Thu, 23 Apr 2026 10:30:00 GMT");
        reply.with_header("retry-after", spellings[number].0)
    });
    let receiver = Receiver::start(script);
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after(FAR_AWAY)
        .start()
        .await;
    let client = server.client("acme");
    for number in 0..spellings.len() {
        client.create_endpoint(&receiver.url(&format!("/{number}")), &["policy.block"]).await;
    }
    let event = client.publish("policy.block", "{}").await;
    receiver.wait_for(spellings.len(), PATIENCE).await;
    eventually("all have failed once", async || {
        let deliveries = client.deliveries_of(&event).await;
        deliveries.iter().all(|it| it.state() == DeliveryState::Retrying).then_some(())
    })
    .await;
    for request in receiver.requests() {
        let number: usize = request.path.trim_start_matches('/').parse().expect("a number");
        let (spelling, expected) = spellings[number];
        let id = request.header("x-keeptrusts-delivery").expect("a delivery");
        let [attempt] = &client.delivery(id).await.attempts[..] else { panic!("one attempt") };
        assert_eq!(wait_after(attempt).as_secs(), expected, "{spelling:?}");
    }
}

/// From the end of an attempt to the next. The attempt's duration is a little less than the time
/// between its two timestamps.
fn wait_after(attempt: &Attempt) -> Duration {
    let duration: Duration =
        attempt.duration.and_then(|it| it.try_into().ok()).expect("a duration");
    let ended = time(attempt.start_time) + duration;
    time(attempt.next_attempt_time).duration_since(ended).expect("later")
}
