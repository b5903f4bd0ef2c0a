//! Tests with the sample of a type: what the tested endpoint gets, and who is left alone.

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::{attempt, delivery, endpoint, replay};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::verify;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, assert_refused, eventually};

const TYPE: &str = "policy.block";

async fn send(client: &Client, request: v1::SendTestRequest) -> Result<v1::Attempt, Status> {
    let request = v1::SendTestRequest { organization_id: client.organization(), ..request };
    let answer = client.dispatch().send_test(request).await?.into_inner();
    let (delivery, attempt) = (answer.delivery.expect("one"), answer.attempt.expect("one"));
    assert_eq!((delivery.event_type.as_str(), delivery.test), (attempt.event_type.as_str(), true));
    assert_eq!((attempt.number, attempt.trigger()), (1, attempt::Trigger::Test));
    Ok(attempt)
}

/// A test of an endpoint with the sample of [`TYPE`].
fn of_type(endpoint_id: &str) -> v1::SendTestRequest {
    let (endpoint_id, event_type) = (endpoint_id.to_owned(), TYPE.to_owned());
    v1::SendTestRequest { endpoint_id, event_type, ..Default::default() }
}

/// The data that PreviewPayload shows for [`TYPE`], to the end of the body.
async fn sample(client: &Client) -> String {
    let request = v1::PreviewPayloadRequest {
        organization_id: client.organization(),
        event_type: TYPE.to_owned(),
        ..Default::default()
    };
    let shown = client.endpoints().preview_payload(request).await.expect("shown").into_inner();
    let (_, data) = shown.body.split_once(r#","data":"#).expect("the fields of a body");
    format!(r#","data":{data}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_has_the_headers_and_the_sample_of_its_type_also_if_nobody_subscribes_to_it() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let siem = client.create_endpoint(&receiver.url("/siem"), &["user.invited"]).await;

    let identified = v1::SendTestRequest { request_id: "one".to_owned(), ..of_type(&siem.id) };
    let attempt = send(&client, identified.clone()).await.expect("it is sent");
    assert_eq!((attempt.event_type.as_str(), attempt.status_code), (TYPE, 200));
    let received = receiver.requests();
    let [request] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(request.header("x-keeptrusts-event"), Some(TYPE));
    assert_eq!(request.header("webhook-id"), Some(attempt.event_id.as_str()));
    let body = std::str::from_utf8(&request.body).expect("UTF-8");
    assert!(body.starts_with(r#"{"event":"policy.block","timestamp":""#), "{body}");
    assert!(body.ends_with(&sample(&client).await), "{body}");
    verify::assert_signed(&siem.secret, &received);

    let other = v1::SendTestRequest { event_type: String::new(), ..identified };
    let refused = send(&client, other).await.expect_err("the id was another test's");
    assert_refused(&refused, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let unknown = v1::SendTestRequest { event_type: "policy.blok".to_owned(), ..of_type(&siem.id) };
    let refused = send(&client, unknown).await.expect_err("there is no such type");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let violations = refused.get_details_bad_request().expect("fields").field_violations;
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!(violation.field, "event_type");
    assert!(violation.description.contains("ListEventTypes"), "{}", violation.description);
    assert_eq!(receiver.request_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_a_type_is_no_event_for_retries_statistics_watches_replays_and_others() {
    let receiver = Receiver::start(Script::by_path([
        ("/siem", Script::sequence([Reply::status(500), Reply::ok()])),
        ("/down", Script::always(Reply::status(500))),
        ("/pager", Script::always(Reply::ok())),
    ]));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let server = server.start().await;
    let client = server.client("acme");
    let siem = client.create_endpoint(&receiver.url("/siem"), &[TYPE]).await;
    client.create_endpoint(&receiver.url("/down"), &["user.invited"]).await;
    let watched = v1::WatchEventsRequest {
        organization_id: client.organization(),
        event_types: vec![TYPE.to_owned()],
        ..Default::default()
    };
    let mut watch = client.dispatch().watch_events(watched).await.expect("it begins").into_inner();

    let attempt = send(&client, of_type(&siem.id)).await.expect("it is sent");
    assert_eq!((attempt.outcome(), attempt.status_code), (attempt::Outcome::Failed, 500));
    // One that is retried has had all of its attempts.
    let failing = client.publish("user.invited", "{}").await;
    assert!(!client.wait_for_failure(&failing).await.test);
    let tested = client.delivery(&attempt.delivery_id).await;
    assert_eq!((tested.state(), tested.attempt_count), (delivery::State::Failed, 1));
    let get = v1::GetEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: siem.id.clone(),
    };
    let shown = client.endpoints().get_endpoint(get).await.expect("it is there").into_inner();
    assert_eq!(shown.endpoint.expect("it").state(), endpoint::State::Active);
    let stats = v1::GetEndpointStatsRequest {
        organization_id: client.organization(),
        endpoint_id: siem.id.clone(),
        ..Default::default()
    };
    let stats = client.dispatch().get_endpoint_stats(stats).await.expect("counted").into_inner();
    assert_eq!(stats.total, Some(v1::AttemptStats::default()));

    // Lists have both, and say which is the test.
    let published = client.publish(TYPE, "{}").await;
    client.wait_for_state(&published, delivery::State::Delivered).await;
    let list = v1::ListEventsRequest {
        organization_id: client.organization(),
        event_types: vec![TYPE.to_owned()],
        ..Default::default()
    };
    let listed = client.ingest().list_events(list).await.expect("listed").into_inner().events;
    let listed: Vec<_> = listed.iter().map(|event| (event.id.as_str(), event.test)).collect();
    assert_eq!(listed, [(published.as_str(), false), (attempt.event_id.as_str(), true)]);
    let seen =
        timeout(PATIENCE, next_shown(&mut watch)).await.expect("in time").expect("it goes on");
    assert_eq!(seen.and_then(|seen| seen.event).map(|event| event.id), Some(published.clone()));

    // Not even one that sends everything again.
    let pager = client.create_endpoint(&receiver.url("/pager"), &[TYPE]).await;
    for endpoint_id in [&siem.id, &pager.id] {
        let wanted = v1::Replay {
            endpoint_id: endpoint_id.clone(),
            scope: replay::Scope::All.into(),
            event_types: vec![TYPE.to_owned()],
            include_delivered: true,
            ..Default::default()
        };
        let request = v1::CreateReplayRequest {
            organization_id: client.organization(),
            replay: Some(wanted),
            ..Default::default()
        };
        let made = client.dispatch().create_replay(request).await.expect("it begins").into_inner();
        let replay_id = made.replay.expect("a replay").id;
        let done = eventually("the replay has ended", async || {
            let (organization_id, replay_id) = (client.organization(), replay_id.clone());
            let get = v1::GetReplayRequest { organization_id, replay_id };
            let found = client.dispatch().get_replay(get).await.ok()?.into_inner().replay;
            found.filter(|replay| replay.state() == replay::State::Done)
        })
        .await;
        assert_eq!((done.matched_count, done.scheduled_count), (1, 1), "{done:?}");
    }
    eventually("the replays have arrived", async || {
        let deliveries = client.deliveries_of(&published).await;
        let ended = deliveries.iter().filter(|it| it.state() == delivery::State::Delivered);
        (ended.count() == 3).then_some(())
    })
    .await;
    let received = receiver.requests();
    let of_tests = received
        .iter()
        .filter(|request| request.header("webhook-id") == Some(attempt.event_id.as_str()));
    let paths: Vec<_> = of_tests.map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/siem"], "once, and to nobody else");
}
