//! Reading: events, deliveries, attempts with request and response, statistics, tests, and changes
//! as they happen.

use std::collections::BTreeMap;

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1::{
    Attempt, BatchPublishEventsRequest, CancelDeliveryRequest, CreateReplayRequest, Delivery,
    Event, GetEndpointStatsRequest, GetEventRequest, ListAttemptsRequest, ListDeliveriesRequest,
    ListEndpointsRequest, ListEventsRequest, Replay, RetryDeliveryRequest, SendTestRequest,
    SendTestResponse, WatchDeliveriesRequest, WatchDeliveriesResponse, attempt, delivery, endpoint,
    replay,
};
use keeptrusts_webhooks_testkit::ports::free_port;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::verify;
use tokio::time::timeout;
use tonic::{Code, Response, Streaming};
use tonic_types::StatusExt;

use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, on_both_backends,
};

on_both_backends! {
    changes_are_watched_as_they_are_committed_and_resumed_where_a_client_left,
}

const EVENTS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_newest_first_and_come_in_pages() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["export.completed"]).await;
    let unwanted = client.publish("export.failed", "{}").await;
    let mut published = Vec::new();
    for _ in 0..EVENTS {
        // One after the other: the order within a millisecond is arbitrary.
        let event_id = client.publish("export.completed", "{}").await;
        client.wait_for_state(&event_id, delivery::State::Delivered).await;
        published.push(event_id);
    }
    let newest_first: Vec<_> = published.iter().rev().cloned().collect();

    let organization_id = client.organization();
    let events = all_pages(async |page_token| {
        let request = ListEventsRequest {
            organization_id: organization_id.clone(),
            page_size: 2,
            page_token,
            event_types: vec!["export.completed".to_owned()],
            ..Default::default()
        };
        let page = client.ingest().list_events(request).await.expect("listed").into_inner();
        (page.events, page.next_page_token)
    })
    .await;
    assert_eq!(ids(&events, |event: &Event| &event.id), newest_first);
    assert!(events.iter().all(|event| event.body.is_empty() && event.body_size_bytes > 0));

    let deliveries = all_pages(async |page_token| {
        let request = ListDeliveriesRequest {
            organization_id: organization_id.clone(),
            page_size: 2,
            page_token,
            endpoint_ids: vec![endpoint.id.clone()],
            states: vec![delivery::State::Delivered.into()],
            ..Default::default()
        };
        let page = client.dispatch().list_deliveries(request).await.expect("listed").into_inner();
        (page.deliveries, page.next_page_token)
    })
    .await;
    assert_eq!(ids(&deliveries, |delivery: &Delivery| &delivery.event_id), newest_first);
    assert!(deliveries.iter().all(|delivery| delivery.attempts.is_empty()));

    let attempts = all_pages(async |page_token| {
        let request = ListAttemptsRequest {
            organization_id: organization_id.clone(),
            page_size: 2,
            page_token,
            outcomes: vec![attempt::Outcome::Delivered.into()],
            ..Default::default()
        };
        let page = client.dispatch().list_attempts(request).await.expect("listed").into_inner();
        (page.attempts, page.next_page_token)
    })
    .await;
    assert_eq!(ids(&attempts, |attempt: &Attempt| &attempt.event_id), newest_first);
    assert!(attempts.iter().all(|attempt| attempt.request_body.is_empty()));

    // An event without subscribers is listed, too, and has no delivery.
    let request = GetEventRequest {
        organization_id: organization_id.clone(),
        event_id: unwanted.clone(),
        ..Default::default()
    };
    let event = client.ingest().get_event(request).await.expect("found").into_inner();
    let event = event.event.expect("an event");
    assert!(event.body.starts_with(r#"{"event":"export.failed","timestamp":""#));
    assert_eq!(usize::try_from(event.body_size_bytes), Ok(event.body.len()));
    assert_eq!(client.deliveries_of(&unwanted).await, []);

    // Endpoints are found by a part of their name or URL.
    let find = async |search: &str| {
        let request = ListEndpointsRequest {
            organization_id: organization_id.clone(),
            search: search.to_owned(),
            states: vec![endpoint::State::Active.into()],
            ..Default::default()
        };
        let page = client.endpoints().list_endpoints(request).await.expect("listed");
        page.into_inner().endpoints.len()
    };
    assert_eq!((find("RECEIVER").await, find("127.0.0.1").await, find("%").await), (1, 1, 0));
}

/// Follows the page tokens to the end; no page has more than two things.
async fn all_pages<T>(read: impl AsyncFn(String) -> (Vec<T>, String)) -> Vec<T> {
    let (mut all, mut token) = read(String::new()).await;
    while !token.is_empty() {
        let (page, next) = read(token).await;
        assert!((1..=2).contains(&page.len()), "a page that is announced has something");
        all.extend(page);
        token = next;
    }
    all
}

fn ids<T>(things: &[T], id: impl Fn(&T) -> &String) -> Vec<String> {
    things.iter().map(|thing| id(thing).clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_shows_what_went_over_the_wire() {
    let long = "x".repeat(20 * 1024);
    let failure = Reply::status(503).with_header("x-request-id", "r-1").with_body(long);
    let success = Reply::ok().with_body(&b"thanks \xff"[..]);
    let receiver = Receiver::start(Script::sequence([failure, success]));
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly().start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    let event_id = client.publish("policy.block", r#"{"n": 1}"#).await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;

    let received = receiver.requests();
    assert_eq!(delivery.attempts.len(), 2);
    for (attempt, request) in delivery.attempts.iter().zip(&received) {
        assert_eq!(attempt.request_body.as_bytes(), request.body);
        for header in &attempt.request_headers {
            assert_eq!(request.header(&header.name), Some(header.value.as_str()));
        }
        let shown = |name: &str| attempt.request_headers.iter().any(|header| header.name == name);
        assert!(shown("x-keeptrusts-signature") && shown("webhook-signature"));
    }
    let [failed, succeeded] = delivery.attempts.as_slice() else { unreachable!("two attempts") };
    let header = failed.response_headers.iter().find(|header| header.name == "x-request-id");
    assert_eq!(header.map(|header| header.value.as_str()), Some("r-1"));
    assert_eq!(failed.response_body, "x".repeat(16 * 1024), "the first 16 KiB are kept");
    assert_eq!(succeeded.response_body, "thanks \u{fffd}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_sends_a_test_waits_for_its_outcome() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;

    let (delivery, attempt) = send_test(&client, &endpoint.id).await;
    assert_eq!(
        (delivery.state(), attempt.outcome()),
        (delivery::State::Delivered, attempt::Outcome::Delivered)
    );
    assert_eq!((attempt.number, attempt.trigger()), (1, attempt::Trigger::Test));
    assert_eq!((delivery.event_type.as_str(), attempt.status_code), ("webhook.test", 200));
    let received = receiver.requests();
    assert_eq!(attempt.request_body.as_bytes(), received[0].body);
    let data = r#","data":{"message":"This is a test delivery from Keeptrusts."}}"#;
    assert!(attempt.request_body.starts_with(r#"{"event":"webhook.test","timestamp":""#));
    assert!(attempt.request_body.ends_with(data));
    verify::assert_signed(&endpoint.secret, &received);
}

async fn send_test(client: &Client, endpoint_id: &str) -> (Delivery, Attempt) {
    let request = SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint_id.to_owned(),
        ..Default::default()
    };
    let answer = client.dispatch().send_test(request).await.expect("the test was sent");
    let SendTestResponse { delivery, attempt, .. } = answer.into_inner();
    (delivery.expect("a delivery"), attempt.expect("an attempt"))
}

async fn changes_are_watched_as_they_are_committed_and_resumed_where_a_client_left(
    backend: Backend,
) {
    let receiver = Receiver::start(Script::by_path([
        ("/", Script::sequence([Reply::status(500), Reply::ok()])),
        ("/silent", Script::always(Reply::Hang)),
    ]));
    let database = Database::new(backend).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly().start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    client.create_endpoint(&receiver.url("/"), &["config.deployed"]).await;
    let watch = async |resume_token: &str| {
        let request = WatchDeliveriesRequest {
            organization_id: client.organization(),
            endpoint_ids: vec![endpoint.id.clone()],
            resume_token: resume_token.to_owned(),
        };
        client.dispatch().watch_deliveries(request).await.expect("it begins").into_inner()
    };

    let mut changes = watch("").await;
    let event_id = client.publish("config.updated", "{}").await;
    client.publish("config.deployed", "{}").await;
    let seen = changes_until_delivered(&mut changes).await;
    let of_the_event = |change: &WatchDeliveriesResponse| {
        change.delivery.as_ref().is_some_and(|delivery| delivery.event_id == event_id)
    };
    assert!(seen.iter().all(of_the_event), "other endpoints' deliveries are left out");
    let left_at = seen.last().map(|change| change.resume_token.clone()).expect("a change");
    let last = seen.last().and_then(|change| change.attempt.as_ref()).expect("an attempt");
    assert_eq!(last.outcome(), attempt::Outcome::Delivered);
    assert!(last.request_headers.is_empty() && last.request_body.is_empty());

    // A client that disconnects and resumes misses nothing and gets nothing twice.
    drop(changes);
    let next = client.publish("config.updated", "{}").await;
    client.wait_for_state(&next, delivery::State::Delivered).await;
    let mut changes = watch(&left_at).await;
    let seen = changes_until_delivered(&mut changes).await;
    let events = seen.iter().filter_map(|change| change.delivery.as_ref());
    assert!(events.map(|delivery| &delivery.event_id).all(|event_id| *event_id == next));

    // One record has scheduled both deliveries: a client that has seen the first of the two changes
    // gets both again, one that has seen the second gets neither. The attempts are not answered, so
    // that there are no other changes meanwhile.
    let others = server.client("globex");
    for _ in 0..2 {
        others.create_endpoint(&receiver.url("/silent"), &["config.updated"]).await;
    }
    let request = |resume_token: &str| WatchDeliveriesRequest {
        organization_id: others.organization(),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    let watch = async |resume_token: &str| {
        others.dispatch().watch_deliveries(request(resume_token)).await.map(Response::into_inner)
    };
    let mut changes = watch("").await.expect("it begins");
    others.publish("config.updated", "{}").await;
    let first =
        timeout(PATIENCE, next_shown(&mut changes)).await.expect("in time").expect("goes on");
    let first = first.expect("a change");
    let second =
        timeout(PATIENCE, next_shown(&mut changes)).await.expect("in time").expect("goes on");
    let second = second.expect("a change");
    let mut again = watch(&first.resume_token).await.expect("it begins");
    for change in [&first, &second] {
        let repeated =
            timeout(PATIENCE, next_shown(&mut again)).await.expect("in time").expect("goes on");
        assert_eq!(repeated.as_ref(), Some(change));
    }
    let mut after = watch(&second.resume_token).await.expect("it begins");
    let later = others.publish("config.updated", "{}").await;
    let next = timeout(PATIENCE, next_shown(&mut after)).await.expect("in time").expect("goes on");
    let next = next.and_then(|change| change.delivery).expect("a change");
    assert_eq!(next.event_id, later, "nothing twice");

    // Cancelling takes two records, one of which is visible. Live, and resumed after both.
    let cancel = CancelDeliveryRequest {
        organization_id: others.organization(),
        delivery_id: next.id.clone(),
    };
    others.dispatch().cancel_delivery(cancel).await.expect("it waits");
    let mut resumed = watch(&second.resume_token).await.expect("it begins");
    for (changes, told) in [(&mut after, 1), (&mut resumed, 2)] {
        let mut states = Vec::new();
        while states.len() < told {
            let change = timeout(PATIENCE, next_shown(changes)).await.expect("in time");
            let delivery = change.expect("goes on").and_then(|change| change.delivery);
            let delivery = delivery.expect("a change");
            if delivery.id == next.id {
                states.push(delivery.state());
            }
        }
        let all = [delivery::State::Scheduled, delivery::State::Cancelled];
        assert_eq!(states, all[all.len() - told..]);
    }

    // Another organization's token is refused.
    let refused = watch(&left_at).await.expect_err("it is acme's");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let details = refused.get_details_bad_request().expect("field violations");
    assert_eq!(details.field_violations[0].field, "resume_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_shows_the_delivery_as_its_record_left_it() {
    const DELIVERIES: usize = 80;
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    let request = |resume_token: &str| WatchDeliveriesRequest {
        organization_id: client.organization(),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    let begin = async |resume_token: &str| {
        let changes = client.dispatch().watch_deliveries(request(resume_token)).await;
        changes.expect("it begins").into_inner()
    };
    let read = async |changes: &mut Streaming<WatchDeliveriesResponse>, count: usize| {
        let mut seen = Vec::new();
        while seen.len() < count {
            let change = timeout(PATIENCE, next_shown(changes)).await.expect("a change, in time");
            seen.push(change.expect("goes on").expect("goes on"));
        }
        seen
    };
    // All at once, so that the records that schedule a delivery and that end it are read together.
    let publish = async || {
        let events = vec![client.event("config.updated", "{}"); DELIVERIES];
        let request =
            BatchPublishEventsRequest { organization_id: client.organization(), requests: events };
        client.ingest().batch_publish_events(request).await.expect("accepted");
    };
    let mut changes = begin("").await;
    publish().await;
    let seen = read(&mut changes, 2 * DELIVERIES).await;
    let mut by_delivery = BTreeMap::<_, Vec<_>>::new();
    for change in &seen {
        let delivery = change.delivery.as_ref().expect("a delivery");
        let told = (delivery.state(), delivery.attempt_count, change.attempt.is_some());
        by_delivery.entry(&delivery.id).or_default().push(told);
    }
    assert_eq!(by_delivery.len(), DELIVERIES);
    let (scheduled, delivered) = (delivery::State::Scheduled, delivery::State::Delivered);
    for (id, told) in by_delivery {
        assert_eq!(told, [(scheduled, 0, false), (delivered, 1, true)], "{id}");
    }
    // The rows are far ahead of what a resuming client gets.
    let again = read(&mut begin(&seen[0].resume_token).await, 2 * DELIVERIES - 1).await;
    assert_eq!(again, seen[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_show_the_effect_of_their_request() {
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1ms").start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    let event_id = client.publish("config.updated", "{}").await;
    let failed = client.wait_for_state(&event_id, delivery::State::Failed).await;
    assert_eq!(failed.next_attempt_time, None);

    // The attempt is over in a few milliseconds; the answer shows what was requested.
    for attempt_count in 2..12 {
        let request = RetryDeliveryRequest {
            organization_id: client.organization(),
            delivery_id: failed.id.clone(),
            ..Default::default()
        };
        let answer = client.dispatch().retry_delivery(request).await.expect("asked for");
        let retried = answer.into_inner().delivery.expect("a delivery");
        assert!(retried.next_attempt_time.is_some(), "{retried:?}");
        assert_eq!((retried.state(), retried.attempt_count), (failed.state(), attempt_count));
        client
            .wait_for_delivery(&event_id, "was retried", |delivery| {
                delivery.attempt_count == attempt_count + 1
            })
            .await;
    }

    let request = CreateReplayRequest {
        organization_id: client.organization(),
        replay: Some(Replay {
            endpoint_id: endpoint.id.clone(),
            scope: replay::Scope::Failed.into(),
            deliveries_per_second: 5_000,
            ..Replay::default()
        }),
        ..Default::default()
    };
    let answer = client.dispatch().create_replay(request).await.expect("begun");
    let replay = answer.into_inner().replay.expect("a replay");
    assert_eq!(replay.state(), replay::State::Running, "at its beginning");
    assert_eq!((replay.matched_count, replay.resumed_count, replay.finish_time), (1, 0, None));
    drop(server);

    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1h").start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    let event_id = client.publish("config.updated", "{}").await;
    let waits = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let request =
        CancelDeliveryRequest { organization_id: client.organization(), delivery_id: waits.id };
    let answer = client.dispatch().cancel_delivery(request).await.expect("cancelled");
    let cancelled = answer.into_inner().delivery.expect("a delivery");
    assert_eq!(cancelled.state(), delivery::State::Cancelled);
    assert_eq!(cancelled.next_attempt_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_the_response_and_whether_anything_was_sent() {
    let gzipped = [&[0x1f, 0x8b, 8, 0][..], &[0xff; 60]].concat();
    let zipped = |status| {
        Reply::status(status).with_header("content-encoding", "gzip").with_body(gzipped.clone())
    };
    let receiver = Receiver::start(Script::by_path([
        ("/moved", Script::always(Reply::redirect("/new?token=geheim"))),
        ("/lost", Script::always(Reply::status(302))),
        ("/cached", Script::always(Reply::status(304))),
        ("/zipped", Script::always(zipped(500))),
        ("/zipped-ok", Script::always(zipped(200))),
        ("/image", Script::always(Reply::status(500).with_body(vec![0xff; 100]))),
        ("/later", Script::always(Reply::status(503).with_header("retry-after", "soon"))),
    ]));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1h").start().await;
    let client = server.client("acme");
    let tested = async |url: &str| {
        let endpoint = client.create_endpoint(url, &["config.updated"]).await;
        send_test(&client, &endpoint.id).await.1
    };
    let attempt = tested(&receiver.url("/moved")).await;
    let moved = format!(
        "the receiver answered 302 Found; redirects are not followed: enter the new URL, {}?… (its query is not shown, because it may hold a secret)",
        receiver.url("/new")
    );
    assert_eq!(attempt.error, moved);
    let attempt = tested(&receiver.url("/lost")).await;
    assert!(attempt.error.contains("does not say where to"), "{}", attempt.error);
    let attempt = tested(&receiver.url("/cached")).await;
    assert!(attempt.error.contains("should answer 2xx"), "{}", attempt.error);

    let remark = "the answer's body is encoded (gzip), which nobody asked for, and is not shown";
    for path in ["/zipped", "/zipped-ok"] {
        let attempt = tested(&receiver.url(path)).await;
        assert_eq!(attempt.remark, remark);
        assert_eq!(attempt.response_body, "[64 bytes, encoded: gzip]");
        let request = ListAttemptsRequest {
            organization_id: client.organization(),
            delivery_id: attempt.delivery_id,
            ..Default::default()
        };
        let listed = client.dispatch().list_attempts(request).await.expect("listed").into_inner();
        assert_eq!(listed.attempts[0].remark, remark, "in lists as well");
    }
    let attempt = tested(&receiver.url("/later")).await;
    assert!(attempt.remark.contains("Retry-After could not be read"), "{}", attempt.remark);
    let attempt = tested(&receiver.url("/image")).await;
    assert_eq!((attempt.remark.as_str(), attempt.status_code), ("", 500));
    assert_eq!(attempt.response_body, "[100 bytes that are not text]");
    assert!(!attempt.request_headers.is_empty() && !attempt.request_body.is_empty());

    // Nothing was sent: to a forbidden port, and to a port without a listener.
    let closed = free_port();
    for url in ["https://127.0.0.1:9/".to_owned(), format!("https://127.0.0.1:{closed}/")] {
        let attempt = tested(&url).await;
        assert!(!attempt.error.is_empty());
        assert_eq!((attempt.request_headers, attempt.request_body), (vec![], String::new()));
    }
}

async fn changes_until_delivered(
    changes: &mut Streaming<WatchDeliveriesResponse>,
) -> Vec<WatchDeliveriesResponse> {
    let mut seen = Vec::new();
    loop {
        let change = timeout(PATIENCE, next_shown(changes)).await.expect("a change, in time");
        let change = change.expect("the stream goes on").expect("the stream goes on");
        let ends = change
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.outcome() == attempt::Outcome::Delivered);
        seen.push(change);
        if ends {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_attempts_by_outcome_and_leave_tests_out() {
    let refused_twice = [Reply::status(500), Reply::status(500), Reply::ok()];
    let receiver = Receiver::start(Script::sequence(refused_twice));
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly().start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["user.invited"]).await;
    let stats = async || {
        let request = GetEndpointStatsRequest {
            organization_id: client.organization(),
            endpoint_id: endpoint.id.clone(),
            window: None,
        };
        let answer = client.dispatch().get_endpoint_stats(request).await.expect("counted");
        answer.into_inner()
    };
    let none = stats().await.total.expect("a total");
    assert_eq!((none.success_rate, none.median_duration), (0.0, None));

    let event_id = client.publish("user.invited", "{}").await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let next = client.publish("user.invited", "{}").await;
    client.wait_for_state(&next, delivery::State::Delivered).await;
    send_test(&client, &endpoint.id).await;

    let counted = stats().await;
    let total = counted.total.expect("a total");
    assert_eq!((total.delivered_count, total.retrying_count, total.failed_count), (2, 2, 0));
    assert_eq!(total.success_rate, 0.5);
    assert!(total.median_duration.is_some());
    // One hour, or two if one has just ended.
    let hours = counted.hours.iter().filter_map(|hour| hour.stats.as_ref());
    assert_eq!(hours.map(|hour| hour.delivered_count + hour.retrying_count).sum::<i64>(), 4);
}
