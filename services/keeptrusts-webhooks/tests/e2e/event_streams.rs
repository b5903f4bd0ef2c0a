//! StreamEvents: events in, acknowledgements out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::stream_events_response::Result as ItemResult;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::Signal;
use keeptrusts_webhooks_testkit::random::Random;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::access::caller::{Caller, client as client_with};
use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, data_json, eventually,
    on_both_backends,
};

const EVENT_TYPE: &str = "policy.violation";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

on_both_backends!(
    each_item_is_acknowledged_once_and_a_refused_one_does_not_end_its_stream,
    invariant_1_holds_for_streams_whose_server_is_killed,
    a_key_that_is_revoked_ends_its_stream,
    a_shutdown_acknowledges_what_is_committed,
);

/// An open stream.
struct EventStream {
    items: mpsc::Sender<v1::StreamEventsRequest>,
    acknowledgements: Streaming<v1::StreamEventsResponse>,
}

impl EventStream {
    async fn open(client: &Client) -> Result<EventStream, Status> {
        EventStream::with(client, |_| {}).await
    }

    async fn with(
        client: &Client,
        change: impl FnOnce(&mut Request<ReceiverStream<v1::StreamEventsRequest>>),
    ) -> Result<EventStream, Status> {
        let (items, queued) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(queued));
        change(&mut request);
        let acknowledgements = client.ingest().stream_events(request).await?.into_inner();
        Ok(EventStream { items, acknowledgements })
    }

    /// False: the stream has ended.
    async fn send(&self, item: v1::StreamEventsRequest) -> bool {
        self.items.send(item).await.is_ok()
    }

    /// The next acknowledgement. None: the stream has ended in order.
    async fn next(&mut self) -> Result<Option<(i64, ItemResult)>, Status> {
        let next = timeout(PATIENCE, self.acknowledgements.message()).await.expect("in time")?;
        Ok(next.map(|it| (it.sequence_number, it.result.expect("a result"))))
    }

    /// The status at the end, after acknowledgements of good items.
    async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some((_, ItemResult::Response(_)))) => {}
                Ok(Some((number, ItemResult::Status(status)))) => panic!("{number}: {status:?}"),
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

fn item(number: i64, event: v1::PublishEventRequest) -> v1::StreamEventsRequest {
    v1::StreamEventsRequest { sequence_number: number, request: Some(event) }
}

/// An event with a key of its own.
fn keyed(client: &Client, key: &str) -> v1::PublishEventRequest {
    v1::PublishEventRequest {
        idempotency_key: key.to_owned(),
        ..client.event(EVENT_TYPE, &format!(r#"{{"key":"{key}"}}"#))
    }
}

/// All events of the client's organization: their keys with their ids.
async fn events(client: &Client) -> Vec<v1::Event> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListEventsRequest {
            organization_id: client.organization(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = client.ingest().list_events(request).await.expect("listed").into_inner();
        all.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn each_item_is_acknowledged_once_and_a_refused_one_does_not_end_its_stream(
    backend: Backend,
) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let good = |json: &str| v1::PublishEventRequest {
        event_type: EVENT_TYPE.to_owned(),
        payload: data_json(json),
        ..Default::default()
    };
    let with_key =
        |json: &str| v1::PublishEventRequest { idempotency_key: "one".to_owned(), ..good(json) };
    let of_other = v1::PublishEventRequest { organization_id: "globex".to_owned(), ..good("{}") };
    let of_no_type = v1::PublishEventRequest { event_type: "no.such".to_owned(), ..good("{}") };
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let mut stream = EventStream::with(&client, |request| {
        request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    })
    .await
    .expect("it begins");
    let sent = [
        item(1, v1::PublishEventRequest { organization_id: "acme".to_owned(), ..with_key("{}") }),
        item(2, with_key("{}")),
        item(3, with_key(r#"{"other":1}"#)),
        item(10, of_other),
        item(11, of_no_type),
        v1::StreamEventsRequest { sequence_number: 12, request: None },
        item(13, good("no JSON")),
        item(14, client.event(EVENT_TYPE, "{}")),
    ];
    for item in sent {
        assert!(stream.send(item).await);
    }
    let mut answers = BTreeMap::new();
    for _ in 0..8 {
        let (number, result) = stream.next().await.expect("it goes on").expect("it goes on");
        assert!(answers.insert(number, result).is_none(), "{number} is acknowledged twice");
    }
    let accepted = |number: i64| match &answers[&number] {
        ItemResult::Response(response) => response.clone(),
        ItemResult::Status(status) => panic!("{number} was refused: {status:?}"),
    };
    let refused = |number: i64| match &answers[&number] {
        ItemResult::Response(response) => panic!("{number} was accepted: {response:?}"),
        ItemResult::Status(status) => {
            let details = prost::Message::encode_to_vec(status).into();
            Status::with_details(Code::from_i32(status.code), &status.message, details)
        }
    };
    let (first, second) = (accepted(1), accepted(2));
    assert_eq!((first.duplicate, second.duplicate), (false, true));
    assert_eq!(first.event_id, second.event_id);
    assert_refused(&refused(3), Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    for (number, field) in
        [(10, "organization_id"), (11, "event_type"), (12, "request"), (13, "data_json")]
    {
        let status = refused(number);
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD");
        let fields = status.get_details_bad_request().expect("fields").field_violations;
        assert_eq!(fields[0].field, field, "{number}");
    }
    // A client that has sent all gets the rest, and then OK.
    drop(stream.items);
    let end = timeout(PATIENCE, stream.acknowledgements.message()).await.expect("in time");
    assert_eq!(end.expect("it ends in order"), None);

    let stored = events(&client).await;
    let ids: BTreeSet<_> = stored.iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids, BTreeSet::from([first.event_id, accepted(14).event_id]));
    assert!(stored.iter().all(|event| event.trace_id == TRACE), "the stream's trace");

    // Without a trace of the client's, each event has its own: a stream may last for days.
    let mut stream = EventStream::open(&server.client("traces")).await.expect("it begins");
    for number in 1..=2 {
        stream.send(item(number, server.client("traces").event(EVENT_TYPE, "{}"))).await;
        assert!(stream.next().await.expect("it goes on").is_some());
    }
    let traces: BTreeSet<_> =
        events(&server.client("traces")).await.into_iter().map(|event| event.trace_id).collect();
    assert_eq!(traces.len(), 2, "{traces:?}");

    // What ends a stream. What came before is acknowledged.
    let of_acme = Caller::first(&server).create_key("acme", v1::Role::Publisher).await;
    let publisher = client_with(&server, "acme", &of_acme.token);
    let event = || client.event(EVENT_TYPE, "{}");
    let of_nobody = v1::PublishEventRequest { organization_id: String::new(), ..event() };
    let of_globex = v1::PublishEventRequest { organization_id: "globex".to_owned(), ..event() };
    let wrong = (Code::InvalidArgument, "INVALID_FIELD");
    let missing = (Code::NotFound, "ORGANIZATION_NOT_FOUND");
    for (items, acknowledged, (code, reason)) in [
        (vec![item(0, event())], 0, wrong),
        (vec![item(-1, event())], 0, wrong),
        (vec![item(1, event()), item(1, event())], 1, wrong),
        (vec![item(5, event()), item(4, event())], 1, wrong),
        (vec![item(1, of_nobody)], 0, wrong),
        (vec![v1::StreamEventsRequest { sequence_number: 1, request: None }], 0, wrong),
        (vec![item(1, of_globex)], 0, missing),
    ] {
        let mut stream = EventStream::open(&publisher).await.expect("it begins");
        for item in &items {
            stream.send(item.clone()).await;
        }
        for _ in 0..acknowledged {
            let (_, result) = stream.next().await.expect("it was good").expect("it was good");
            assert!(matches!(result, ItemResult::Response(_)), "{result:?}");
        }
        let status = stream.next().await.expect_err("it ends");
        assert_refused(&status, code, reason);
        assert!(status.get_details_request_info().is_some(), "{items:?}: {status:?}");
    }
    let viewer = Caller::first(&server).create_key("acme", v1::Role::Viewer).await;
    let refused = EventStream::open(&client_with(&server, "acme", &viewer.token)).await.err();
    assert_refused(
        &refused.expect("viewers publish nothing"),
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
}

/// Publishes on streams until a number of events are acknowledged, and sends again what was not when a
/// stream has ended. Returns the ids by their keys.
async fn publish_all(client: Client, count: usize) -> BTreeMap<String, String> {
    let mut left: BTreeSet<usize> = (0..count).collect();
    let mut ids = BTreeMap::new();
    while !left.is_empty() {
        let Ok(mut stream) = EventStream::open(&client).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (items, sending) = (stream.items.clone(), client.clone());
        let batch: Vec<usize> = left.iter().copied().collect();
        let numbers: Vec<usize> = batch.clone();
        let send = tokio::spawn(async move {
            for (at, number) in batch.into_iter().enumerate() {
                let event = keyed(&sending, &format!("key-{number}"));
                if items.send(item(at as i64 + 1, event)).await.is_err() {
                    return;
                }
                // Long enough that the kills hit the middle.
                if at % 50 == 49 {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let mut unacknowledged = numbers.len();
        while unacknowledged > 0
            && let Ok(Some(next)) = stream.acknowledgements.message().await
        {
            unacknowledged -= 1;
            let number = numbers[usize::try_from(next.sequence_number).expect("positive") - 1];
            match next.result.expect("a result") {
                ItemResult::Response(response) => {
                    assert!(left.remove(&number), "{number} is acknowledged twice");
                    ids.insert(format!("key-{number}"), response.event_id);
                }
                ItemResult::Status(status) => {
                    assert_eq!(Code::from_i32(status.code), Code::Unavailable, "{status:?}");
                }
            }
        }
        send.abort();
    }
    ids
}

async fn invariant_1_holds_for_streams_whose_server_is_killed(backend: Backend) {
    const EVENTS: usize = 4_000;
    const KILLS: usize = 5;
    let mut random = Random::of_new_seed();
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let client = server.client("acme");
    let publishing = tokio::spawn(publish_all(client.clone(), EVENTS));
    let mut kills = 0;
    while kills < KILLS && !publishing.is_finished() {
        sleep(random.duration(Duration::from_millis(500))).await;
        server.kill().await;
        kills += 1;
        server.start_again().await;
    }
    let acknowledged = timeout(4 * PATIENCE, publishing).await.expect("in time").expect("no panic");
    let stored = events(&client).await;
    println!("{} events, {kills} kills", stored.len());
    assert!(kills > 1, "the kills are in the middle");
    assert_eq!(stored.len(), EVENTS, "none is lost and none is there twice");
    let stored: BTreeMap<_, _> =
        stored.into_iter().map(|event| (event.idempotency_key, event.id)).collect();
    assert_eq!(stored, acknowledged);
}

async fn a_key_that_is_revoked_ends_its_stream(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    // On Postgres it is revoked at one process and used at another.
    let other = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Server::service("ingest-service", &database).start().await),
    };
    let first = Caller::first(&server);
    let made = first.create_key("acme", v1::Role::Publisher).await;
    let client = client_with(other.as_ref().unwrap_or(&server), "acme", &made.token);
    let mut stream = EventStream::open(&client).await.expect("it begins");
    stream.send(item(1, client.event(EVENT_TYPE, "{}"))).await;
    assert!(stream.next().await.expect("it is valid").is_some());

    first.revoke("acme", &made.key.expect("a key").id).await;
    let revoked = Instant::now();
    let status = stream.end().await;
    assert_refused(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(revoked.elapsed() < 2 * Duration::from_secs(5), "{:?}", revoked.elapsed());
}

async fn a_shutdown_acknowledges_what_is_committed(backend: Backend) {
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let client = server.client("acme");
    let mut stream = EventStream::open(&client).await.expect("it begins");
    let (items, sending) = (stream.items.clone(), client.clone());
    let send = tokio::spawn(async move {
        let mut number = 0;
        loop {
            number += 1;
            if items.send(item(number, keyed(&sending, &number.to_string()))).await.is_err() {
                return;
            }
        }
    });
    let mut acknowledged = BTreeSet::new();
    let mut note = |(number, result): (i64, ItemResult)| match result {
        ItemResult::Response(response) => drop(acknowledged.insert(response.event_id)),
        ItemResult::Status(status) => panic!("{number}: {status:?}"),
    };
    for _ in 0..500 {
        note(stream.next().await.expect("it goes on").expect("it goes on"));
    }
    let began = Instant::now();
    server.process().signal(Signal::Term);
    let status = loop {
        match stream.next().await {
            Ok(Some(next)) => note(next),
            Ok(None) => panic!("it must not look complete"),
            Err(status) => break status,
        }
    };
    assert_refused(&status, Code::Unavailable, "SHUTTING_DOWN");
    let exit = server.wait_exit(PATIENCE).await;
    assert!(exit.success(), "{exit}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    send.abort();
    server.start_again().await;
    let stored: BTreeSet<_> = events(&client).await.into_iter().map(|event| event.id).collect();
    assert_eq!(stored, acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_slows_a_stream_and_refuses_nothing() {
    const QUOTA: usize = 1_000;
    const EVENTS: usize = 3 * QUOTA;
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).flag("--publish-quota", &QUOTA.to_string());
    let server = server.start().await;
    let client = server.client("acme");
    let mut stream = EventStream::open(&client).await.expect("it begins");
    let (items, sending) = (stream.items.clone(), client.clone());
    let began = Instant::now();
    tokio::spawn(async move {
        for number in 1..=EVENTS as i64 {
            let event = sending.event(EVENT_TYPE, "{}");
            items.send(item(number, event)).await.expect("it is open");
        }
    });
    for _ in 0..EVENTS {
        let (number, result) = stream.next().await.expect("it goes on").expect("it goes on");
        assert!(matches!(result, ItemResult::Response(_)), "{number}: {result:?}");
    }
    // As many as the quota at once, the others a second later each.
    let least = Duration::from_secs((EVENTS / QUOTA - 1) as u64);
    assert!(began.elapsed() > least - Duration::from_millis(100), "{:?}", began.elapsed());
}

/// A client whose connection holds little that nobody has read: the windows of RFC 9113, not the 2 MiB
/// of hyper's, which have room for tens of thousands of acknowledgements.
fn narrow_client(server: &Server) -> Client {
    const WINDOW: u32 = 65_535;
    let target = Endpoint::from_shared(format!("http://{}", server.address())).expect("a URL");
    let target = target.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let narrow = target.connect_lazy();
    Client::with_token("acme", [narrow.clone(), narrow.clone(), narrow], FIRST_KEY)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_acknowledgements_is_read_no_further_and_delays_nobody() {
    /// More than the server's limit and all buffers hold.
    const EVENTS: i64 = 20_000;
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let mut stream = EventStream::open(&narrow_client(&server)).await.expect("it begins");
    let (items, sending) = (stream.items.clone(), client.clone());
    let json = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000));
    let send = tokio::spawn(async move {
        for number in 1..=EVENTS {
            let event = sending.event(EVENT_TYPE, &json);
            items.send(item(number, event)).await.expect("it is open");
        }
    });
    // It stands still: nothing is accepted between two looks.
    let mut accepted = 0;
    eventually("the server reads no further", async || {
        let before = std::mem::replace(&mut accepted, events(&client).await.len());
        (accepted > 0 && before == accepted).then_some(())
    })
    .await;
    assert!((accepted as i64) < EVENTS && !send.is_finished(), "{accepted} are accepted");
    // The same organization and others, on connections of their own.
    for organization in ["acme", "globex"] {
        server.client(organization).publish(EVENT_TYPE, "{}").await;
    }
    for _ in 0..EVENTS {
        let (number, result) = stream.next().await.expect("it goes on").expect("it goes on");
        assert!(matches!(result, ItemResult::Response(_)), "{number}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_with_many_streams_leaves_others_their_turn() {
    const STREAMS: usize = 12;
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let mut greedy = Vec::new();
    for _ in 0..STREAMS {
        let client = server.client("greedy");
        let EventStream { items, mut acknowledgements } =
            EventStream::open(&client).await.expect("it begins");
        greedy.push(tokio::spawn(async move {
            for number in 1.. {
                let event = client.event(EVENT_TYPE, "{}");
                items.send(item(number, event)).await.expect("it is open");
            }
        }));
        greedy.push(tokio::spawn(async move {
            while acknowledgements.message().await.expect("it goes on").is_some() {}
        }));
    }
    let modest = server.client("modest");
    let mut stream = EventStream::open(&modest).await.expect("it begins");
    for number in 1..=100 {
        stream.send(item(number, modest.event(EVENT_TYPE, "{}"))).await;
        let (acknowledged, result) = stream.next().await.expect("it goes on").expect("it goes on");
        assert!(acknowledged == number && matches!(result, ItemResult::Response(_)), "{result:?}");
        modest.publish(EVENT_TYPE, "{}").await;
    }
    assert!(greedy.iter().all(|task| !task.is_finished()), "they publish all the time");
    greedy.iter().for_each(|task| task.abort());
}
