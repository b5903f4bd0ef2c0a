//! Replays over gRPC: counting, watching, listing and refusing them, and processes that are killed
//! meanwhile. Which events a replay sends, and how fast, is the simulation's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::chaos::check_tables;
use crate::platform::{Backend, Client, Database, PATIENCE, Server, assert_refused, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::random::Random;
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Reply, Script};
use tokio::time::sleep;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn ask(endpoint_id: &str, scope: v1::replay::Scope) -> v1::Replay {
    v1::Replay {
        endpoint_id: endpoint_id.to_owned(),
        scope: scope.into(),
        deliveries_per_second: 5_000,
        ..Default::default()
    }
}

async fn create(
    client: &Client,
    replay: v1::Replay,
    validate_only: bool,
) -> Result<v1::Replay, Status> {
    let (organization_id, replay) = (client.organization(), Some(replay));
    let request =
        v1::CreateReplayRequest { organization_id, replay, validate_only, ..Default::default() };
    let created = client.dispatch().create_replay(request).await?;
    Ok(created.into_inner().replay.expect("a replay"))
}

async fn replay(client: &Client, replay: v1::Replay) -> v1::Replay {
    create(client, replay, false).await.expect("it is replayed")
}

async fn count(client: &Client, replay: v1::Replay) -> v1::Replay {
    let counted = create(client, replay, true).await.expect("it is counted");
    assert_eq!((counted.id.as_str(), counted.state), ("", None));
    counted
}

async fn look(client: &Client, id: &str) -> Option<v1::Replay> {
    let (organization_id, replay_id) = (client.organization(), id.to_owned());
    let request = v1::GetReplayRequest { organization_id, replay_id };
    Some(client.dispatch().get_replay(request).await.ok()?.into_inner().replay.expect("a replay"))
}

async fn wait_until_done(client: &Client, id: &str) -> v1::Replay {
    let done = eventually("the replay has ended", async || {
        look(client, id).await.filter(|replay| replay.state() != v1::replay::State::Running)
    });
    let replay = done.await;
    assert_eq!((replay.state(), replay.end_reason.as_str()), (v1::replay::State::Done, ""));
    assert!(replay.finish_time.is_some());
    replay
}

async fn disable(client: &Client, endpoint_id: &str) {
    let (organization_id, endpoint_id) = (client.organization(), endpoint_id.to_owned());
    let request = v1::DisableEndpointRequest { organization_id, endpoint_id, ..Default::default() };
    client.endpoints().disable_endpoint(request).await.expect("it is disabled");
}

async fn enable(client: &Client, endpoint_id: &str) {
    let (organization_id, endpoint_id) = (client.organization(), endpoint_id.to_owned());
    let request = v1::EnableEndpointRequest { organization_id, endpoint_id };
    client.endpoints().enable_endpoint(request).await.expect("it is enabled");
}

async fn publish(client: &Client, count: usize) -> BTreeSet<String> {
    let mut events = BTreeSet::new();
    for _ in 0..count {
        events.insert(client.publish("policy.violation", "{}").await);
    }
    events
}

/// What a receiver has accepted, without requests whose delivery it knows.
fn ledger(requests: &[Arc<ReceivedRequest>]) -> BTreeMap<String, String> {
    let header = |request: &ReceivedRequest, name| {
        request.header(name).unwrap_or_else(|| panic!("the header {name}")).to_owned()
    };
    let of = |request: &Arc<ReceivedRequest>| {
        (header(request, "x-keeptrusts-delivery"), header(request, "webhook-id"))
    };
    requests.iter().map(of).collect()
}

/// Each of the events once, and no other; duplicates are removed by delivery id.
fn assert_each_once(requests: &[Arc<ReceivedRequest>], published: &BTreeSet<String>) {
    let ledger = ledger(requests);
    let received: BTreeSet<_> = ledger.values().cloned().collect();
    let missing: Vec<_> = published.difference(&received).collect();
    assert!(missing.is_empty(), "{} are missing: {missing:?}", missing.len());
    assert_eq!(received, *published);
    assert_eq!(ledger.len(), published.len(), "an event came under two delivery ids");
}

async fn wait_for_events(receiver: &Receiver, published: &BTreeSet<String>) {
    eventually("every event has arrived", async || {
        let ledger = ledger(&receiver.requests());
        let received: BTreeSet<_> = ledger.into_values().collect();
        published.is_subset(&received).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_the_events_that_were_counted_without_starting_it() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let types = ["policy.violation", "key.rotated"];
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &types).await;
    disable(&client, &endpoint.id).await;
    let missed = publish(&client, 40).await;
    client.publish("key.rotated", "{}").await;
    client.publish("user.invited", "{}").await;

    let everything = ask(&endpoint.id, v1::replay::Scope::Missed);
    eventually("what is missed is counted before it is enabled", async || {
        // An event is missed from when it is routed.
        (count(&client, everything.clone()).await.matched_count == 41).then_some(())
    })
    .await;
    enable(&client, &endpoint.id).await;

    let event_types = vec!["policy.violation".to_owned()];
    let wanted = v1::Replay { event_types, ..everything };
    let counted = count(&client, wanted.clone()).await;
    assert_eq!((counted.matched_count, counted.scheduled_count), (40, 40));
    // A later event has been delivered, so what counting had sent would be there.
    let mut published = publish(&client, 1).await;
    wait_for_events(&receiver, &published).await;
    assert_eq!(receiver.request_count(), 1, "nothing is sent by counting");
    let done = wait_until_done(&client, &replay(&client, wanted.clone()).await.id).await;
    assert_eq!(done.scheduled_count, 40);
    published.extend(missed);
    wait_for_events(&receiver, &published).await;
    assert_each_once(&receiver.requests(), &published);
    let counted = count(&client, wanted).await;
    assert_eq!((counted.matched_count, counted.skipped_count), (0, 40));
    // Without types, a replay of all events has those that the endpoint subscribes to.
    let counted = count(&client, ask(&endpoint.id, v1::replay::Scope::All)).await;
    assert_eq!(counted.event_types, types);
    assert_eq!((counted.scheduled_count, counted.skipped_count), (1, 41));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_3_and_4_a_replay_goes_on_where_a_killed_process_left_it() {
    let mut random = Random::of_new_seed();
    let receiver = Receiver::start(Script::always(Reply::ok().after(Duration::from_millis(5))));
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).flag("--lease-ttl", "1s");
    let mut server = serve.on_a_fixed_port().start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
    disable(&client, &endpoint.id).await;
    let missed = publish(&client, 300).await;
    enable(&client, &endpoint.id).await;
    let wanted =
        v1::Replay { deliveries_per_second: 100, ..ask(&endpoint.id, v1::replay::Scope::Missed) };
    let asked = replay(&client, wanted).await;
    for _ in 0..4 {
        let known = receiver.requests().len();
        receiver.wait_for((known + 10).min(missed.len()), PATIENCE).await;
        sleep(random.duration(Duration::from_millis(300))).await;
        server.kill().await;
        server.start_again().await;
    }
    let done = wait_until_done(&client, &asked.id).await;
    assert_eq!((done.scheduled_count, done.matched_count), (300, 300));
    wait_for_events(&receiver, &missed).await;
    assert_each_once(&receiver.requests(), &missed);
    server.stop().await;
    check_tables(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_watched_to_its_end_and_listed() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
    disable(&client, &endpoint.id).await;
    publish(&client, 60).await;
    enable(&client, &endpoint.id).await;
    let slowly =
        v1::Replay { deliveries_per_second: 4, ..ask(&endpoint.id, v1::replay::Scope::Missed) };
    // Missed events are counted once they are routed.
    eventually("the events are routed", async || {
        let counted = create(&client, slowly.clone(), true).await.expect("it is counted");
        (counted.matched_count == 60).then_some(())
    })
    .await;
    let asked = replay(&client, slowly.clone()).await;
    assert_eq!((asked.state(), asked.matched_count), (v1::replay::State::Running, 60));
    assert_eq!(asked.deliveries_per_second, 4);

    let second = create(&client, slowly, false).await.expect_err("one is running");
    assert_refused(&second, Code::FailedPrecondition, "REPLAY_RUNNING");
    assert!(second.message().contains(&asked.id), "{second}");

    let (organization_id, replay_id) = (client.organization(), asked.id.clone());
    let request = v1::WatchReplayRequest { organization_id, replay_id };
    let mut steps = client.dispatch().watch_replay(request).await.expect("watched").into_inner();
    let mut counts = Vec::new();
    while counts.len() < 3 {
        let step = steps.message().await.expect("a step").expect("not its end");
        counts.push(step.replay.expect("a replay").scheduled_count);
    }
    assert!(counts.is_sorted() && counts[2] > counts[0], "{counts:?}");
    let (organization_id, replay_id) = (client.organization(), asked.id.clone());
    let request = v1::CancelReplayRequest { organization_id, replay_id };
    let answer = client.dispatch().cancel_replay(request.clone()).await.expect("cancelled");
    let cancelled = answer.into_inner().replay.expect("a replay");
    assert_eq!(cancelled.state(), v1::replay::State::Cancelled);
    assert_eq!(cancelled.end_reason, "cancelled on request");
    let mut last = None;
    while let Some(step) = steps.message().await.expect("the stream ends well") {
        last = step.replay;
    }
    assert_eq!(last, Some(cancelled.clone()), "the stream ends with the replay");
    let again = client.dispatch().cancel_replay(request).await.expect_err("it has ended");
    assert_refused(&again, Code::FailedPrecondition, "REPLAY_ENDED");
    receiver.wait_for(usize::try_from(cancelled.scheduled_count).expect("few"), PATIENCE).await;

    let rest = replay(&client, ask(&endpoint.id, v1::replay::Scope::Missed)).await;
    let done = wait_until_done(&client, &rest.id).await;
    assert_eq!(done.scheduled_count + cancelled.scheduled_count, 60);
    let request = v1::ListReplaysRequest {
        organization_id: client.organization(),
        endpoint_ids: vec![endpoint.id.clone()],
        page_size: 1,
        ..Default::default()
    };
    let page = client.dispatch().list_replays(request.clone()).await.expect("listed").into_inner();
    assert_eq!(page.replays, [done]);
    let request = v1::ListReplaysRequest { page_token: page.next_page_token, ..request };
    let page = client.dispatch().list_replays(request).await.expect("listed").into_inner();
    assert_eq!((page.replays.as_slice(), page.next_page_token.as_str()), (&[cancelled][..], ""));
}

#[tokio::test]
async fn a_replay_of_what_does_not_exist_is_refused() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
    let wanted = ask(&endpoint.id, v1::replay::Scope::All);
    let refuse =
        async |replay: v1::Replay| create(&client, replay, false).await.expect_err("it is refused");
    let wrong = async |request: v1::Replay, field: &str| {
        let status = refuse(request).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD");
        let fields = status.get_details_bad_request().expect("fields").field_violations;
        let fields: Vec<_> = fields.into_iter().map(|wrong| wrong.field).collect();
        assert_eq!(fields, [field]);
    };
    let foreign_type = vec!["user.invited".to_owned()];
    let foreign_type = v1::Replay { event_types: foreign_type, ..wanted.clone() };
    wrong(foreign_type, "replay.event_types").await;
    let future = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
    let later = v1::Replay { start_time: future, ..wanted.clone() };
    wrong(later, "replay.start_time").await;

    let nowhere = v1::Replay { endpoint_id: format!("ep_{ULID}"), ..wanted.clone() };
    assert_refused(&refuse(nowhere).await, Code::NotFound, "ENDPOINT_NOT_FOUND");
    let nothing = v1::Replay { start_event_id: format!("evt_{ULID}"), ..wanted.clone() };
    assert_refused(&refuse(nothing).await, Code::NotFound, "EVENT_NOT_FOUND");
    let request = v1::GetReplayRequest {
        organization_id: client.organization(),
        replay_id: format!("rpl_{ULID}"),
    };
    let unknown = client.dispatch().get_replay(request).await.expect_err("there is none");
    assert_refused(&unknown, Code::NotFound, "REPLAY_NOT_FOUND");
    // Another organization's replay is not found either.
    let asked = replay(&client, wanted.clone()).await;
    let other = server.client("other");
    let request =
        v1::GetReplayRequest { organization_id: other.organization(), replay_id: asked.id };
    let foreign = other.dispatch().get_replay(request).await.expect_err("it is acme's");
    assert_refused(&foreign, Code::NotFound, "REPLAY_NOT_FOUND");

    let (organization_id, endpoint_id) = (client.organization(), endpoint.id.clone());
    let request = v1::DeleteEndpointRequest { organization_id, endpoint_id, ..Default::default() };
    client.endpoints().delete_endpoint(request).await.expect("it is deleted");
    assert_refused(&refuse(wanted).await, Code::NotFound, "ENDPOINT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_running_replays_of_an_organization_is_limited() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    publish(&client, 60).await;
    let mut refusals = Vec::new();
    for number in 0..11 {
        let url = receiver.url(&format!("/{number}"));
        let endpoint = client.create_endpoint(&url, &["policy.violation"]).await;
        let slowly =
            v1::Replay { deliveries_per_second: 1, ..ask(&endpoint.id, v1::replay::Scope::All) };
        refusals.extend(create(&client, slowly, false).await.err());
    }
    let [refused] = &refusals[..] else { panic!("one of eleven: {refusals:?}") };
    assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_REPLAYS");
}
