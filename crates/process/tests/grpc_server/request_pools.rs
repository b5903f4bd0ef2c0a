//! Organizations share the pools of the server: a greedy one leaves room for the others.

use std::time::Duration;

use h2::SendStream;
use h2::client::SendRequest;
use http::Request as HttpRequest;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use keeptrusts_webhooks_process::grpc_server::limits::{MAX_CONCURRENT_CALLS, MAX_OPEN_CALLS};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::fixture::{Fixture, ORGANIZATION, PATIENCE, REVOKED, SERVICE, reason};

/// 5 of 20 requests are reserved for publishing. Of the other 15 a single organization gets 8.
const IN_FLIGHT: u32 = 20;
const SHARE: usize = 8;

fn limits() -> LimitFlags {
    LimitFlags { max_requests_in_flight: IN_FLIGHT, ..LimitFlags::default() }
}

fn by<T>(organization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(ORGANIZATION, organization.parse().expect("a value"));
    request
}

async fn publish(
    client: &mut IngestServiceClient<Channel>,
    organization: &str,
) -> Result<(), Status> {
    let request = by(organization, v1::PublishEventRequest::default());
    client.publish_event(request).await.map(|_| ())
}

async fn list(client: &mut IngestServiceClient<Channel>, organization: &str) -> Result<(), Status> {
    let request = by(organization, v1::ListEventsRequest::default());
    client.list_events(request).await.map(|_| ())
}

fn is_share_exhausted(status: &Status) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_REQUESTS"),
        "{status}"
    );
    let retry = status.get_details_retry_info().expect("says when to try again");
    assert!(retry.retry_delay.is_some());
}

/// A client that can send a part of a request.
async fn unfinished_client(fixture: &Fixture) -> SendRequest<bytes::Bytes> {
    unfinished_client_at(fixture, "127.0.0.1:0").await
}

/// Such a client at another address of this machine.
async fn unfinished_client_at(fixture: &Fixture, address: &str) -> SendRequest<bytes::Bytes> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(address.parse().expect("an address")).expect("it is loopback's");
    let stream = socket.connect(fixture.address).await.expect("the server accepts");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

struct Unfinished {
    answer: h2::client::ResponseFuture,
    body: SendStream<bytes::Bytes>,
}

impl Unfinished {
    /// Sends the headers of a request, but not its end.
    async fn begin(
        client: &mut SendRequest<bytes::Bytes>,
        path: &str,
        organization: Option<&str>,
    ) -> Unfinished {
        let mut request = HttpRequest::post(format!("http://server{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(organization) = organization {
            request = request.header(ORGANIZATION, organization);
        }
        let request = request.body(()).expect("a request");
        *client = client.clone().ready().await.expect("the connection goes on");
        let (answer, body) = client.send_request(request, false).expect("sent");
        Unfinished { answer, body }
    }

    /// Sends the rest of the request, an empty message. Whether the answer is a message.
    async fn finish(mut self) -> bool {
        self.body.send_data(bytes::Bytes::from_static(&[0; 5]), true).expect("it goes on");
        self.gets_in().await
    }

    /// Whether the request is admitted: its answer begins before the request is complete.
    async fn gets_in(self) -> bool {
        let answer = timeout(PATIENCE, self.answer).await.expect("in time").expect("an answer");
        Status::from_header_map(answer.headers()).is_none()
    }

    /// The status that the server answers before the request is complete.
    async fn status(self) -> Status {
        let answer = timeout(PATIENCE, self.answer).await.expect("in time").expect("an answer");
        Status::from_header_map(answer.headers()).expect("without a message")
    }
}

fn path(method: &str) -> String {
    format!("/{SERVICE}/{method}")
}

#[tokio::test]
async fn an_unfinished_request_takes_no_other_organizations_share() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut hog = unfinished_client(&fixture).await;
    let mut begun = Vec::new();
    for _ in 0..SHARE {
        begun.push(Unfinished::begin(&mut hog, &path("ListEvents"), Some("hog")).await);
    }
    let one_more = Unfinished::begin(&mut hog, &path("ListEvents"), Some("hog")).await;
    is_share_exhausted(&one_more.status().await);

    let mut client = fixture.client().await;
    for _ in 0..100 {
        publish(&mut client, "other").await.expect("there is room for others");
        list(&mut client, "other").await.expect("also to read");
    }
    publish(&mut client, "hog").await.expect("and for its own publishing");
    drop(begun);
    while let Err(status) = list(&mut client, "hog").await {
        // Until the server has noticed that they are gone.
        is_share_exhausted(&status);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unfinished_request_ends_in_time() {
    let request_body_timeout = Duration::from_millis(50);
    let fixture = Fixture::with_limits(LimitFlags { request_body_timeout, ..limits() }).await;
    let mut client = unfinished_client(&fixture).await;
    let begun = Unfinished::begin(&mut client, &path("PublishEvent"), Some("slow")).await;
    let status = begun.status().await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    assert!(status.message().contains("--request-body-timeout"), "{status}");
}

/// Arriving requests have a pool of their own: a client with running requests can send the next.
#[tokio::test]
async fn a_request_counts_as_running_only_when_its_whole_body_has_arrived() {
    let fixture = Fixture::with_limits(limits()).await;
    let client = fixture.client().await;
    let mut requests = Vec::new();
    for _ in 0..SHARE {
        let mut client = client.clone();
        let request = by("busy", v1::GetEventRequest::default());
        requests.push(tokio::spawn(async move { client.get_event(request).await }));
        fixture.gate.arrival().await;
    }
    let mut next = unfinished_client(&fixture).await;
    let begun = Unfinished::begin(&mut next, &path("ListEvents"), Some("busy")).await;
    // The server has seen it when it answers a later request on the same connection.
    let later = Unfinished::begin(&mut next, &path("PublishEvent"), Some(REVOKED)).await;
    later.status().await;
    fixture.gate.open();
    for request in requests {
        request.await.expect("no panic").expect("an answer");
    }
    assert!(begun.finish().await, "it was not refused while it was on its way");
}

#[tokio::test]
async fn an_unfinished_request_ends_when_its_key_is_revoked() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut client = unfinished_client(&fixture).await;
    let begun = Unfinished::begin(&mut client, &path("PublishEvent"), Some(REVOKED)).await;
    assert_eq!(begun.status().await.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn one_organizations_running_requests_leave_room_for_others_and_for_health_checks() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut client = fixture.client().await;
    let asking = client.clone();
    let ask = |organization: &'static str| {
        let mut client = asking.clone();
        let request = by(organization, v1::GetEventRequest::default());
        tokio::spawn(async move { client.get_event(request).await })
    };
    let mut requests = Vec::new();
    for _ in 0..SHARE {
        requests.push(ask("hog"));
        fixture.gate.arrival().await;
    }
    is_share_exhausted(&list(&mut client, "hog").await.expect_err("one too many"));
    // The others take smaller and smaller parts of the rest.
    for (organization, share) in [("second", 4), ("third", 2), ("fourth", 1)] {
        for _ in 0..share {
            requests.push(ask(organization));
            fixture.gate.arrival().await;
        }
    }
    let refused = list(&mut client, "fifth").await.expect_err("all is taken");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "OVERLOADED"));
    for organization in ["fifth", "sixth"] {
        publish(&mut client, organization).await.expect("a part is kept for publishing");
    }
    let mut health = HealthClient::new(fixture.connect().await);
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());

    fixture.gate.open();
    for request in requests {
        request.await.expect("no panic").expect("an answer");
    }
    list(&mut client, "hog").await.expect("there is room again");
}

#[tokio::test]
async fn an_organizations_calls_above_the_limit_wait_and_delay_no_other_organization() {
    let fixture = Fixture::with_limits(LimitFlags::default()).await;
    let mut client = fixture.client().await;
    let asking = client.clone();
    let ask = || {
        let mut client = asking.clone();
        let request = by("hog", v1::GetEventRequest::default());
        tokio::spawn(async move { client.get_event(request).await })
    };
    let mut requests = Vec::new();
    for _ in 0..MAX_CONCURRENT_CALLS {
        requests.push(ask());
        fixture.gate.arrival().await;
    }
    requests.push(ask());
    for _ in 0..100 {
        list(&mut client, "other").await.expect("it waits for nobody");
    }
    publish(&mut client, "hog").await.expect("publishing has nothing to do with it");
    assert!(timeout(Duration::ZERO, fixture.gate.arrival()).await.is_err(), "it waits");

    fixture.gate.open();
    for request in requests {
        request.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test]
async fn before_its_key_is_known_a_request_counts_for_its_address() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut hog = unfinished_client(&fixture).await;
    let mut begun = Vec::new();
    for _ in 0..SHARE {
        begun.push(Unfinished::begin(&mut hog, &path("ListEvents"), None).await);
    }
    let one_more = Unfinished::begin(&mut hog, &path("ListEvents"), None).await;
    is_share_exhausted(&one_more.status().await);
    // Another address has a share of its own.
    let mut other = unfinished_client_at(&fixture, "127.0.0.2:0").await;
    for _ in 0..SHARE / 2 {
        begun.push(Unfinished::begin(&mut other, &path("ListEvents"), None).await);
    }
    let one_more = Unfinished::begin(&mut other, &path("ListEvents"), None).await;
    is_share_exhausted(&one_more.status().await);
    for begun in &mut begun {
        let refused = timeout(Duration::ZERO, &mut begun.answer).await;
        assert!(refused.is_err(), "it is still waited for");
    }
}

#[tokio::test]
async fn streams_without_a_key_are_limited_by_address_and_health_checks_are_answered() {
    let fixture = Fixture::with_limits(LimitFlags::default()).await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut hog = unfinished_client(&fixture).await;
    let mut begun = Vec::new();
    for _ in 0..MAX_OPEN_CALLS / 2 {
        begun.push(Unfinished::begin(&mut hog, reflection, None).await);
    }
    let one_more = Unfinished::begin(&mut hog, reflection, None).await;
    is_share_exhausted(&one_more.status().await);
    let watch = Unfinished::begin(&mut hog, "/grpc.health.v1.Health/Watch", None).await;
    is_share_exhausted(&watch.status().await);
    let mut health = HealthClient::new(fixture.connect().await);
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
    publish(&mut fixture.client().await, "other").await.expect("others have their places");
    let mut other = unfinished_client_at(&fixture, "127.0.0.2:0").await;
    assert!(Unfinished::begin(&mut other, reflection, None).await.gets_in().await);
}

#[tokio::test]
async fn the_memory_of_requests_is_shared_as_well() {
    // An organization gets less than half: three requests, each counted encoded and decoded.
    const REQUEST_BYTES: u32 = 64 * 1024;
    let max_request_memory = REQUEST_BYTES * 16;
    let limits = LimitFlags {
        max_request_bytes: REQUEST_BYTES + 64,
        max_request_memory,
        ..LimitFlags::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let mut client = fixture.client().await;
    let page_token = "x".repeat(REQUEST_BYTES as usize);
    let large = v1::GetEventRequest { event_id: page_token, ..Default::default() };
    let mut requests = Vec::new();
    let refused = loop {
        let mut client = client.clone();
        let request = by("hog", large.clone());
        let mut asking = tokio::spawn(async move { client.get_event(request).await });
        tokio::select! {
            answer = &mut asking => break answer.expect("no panic").expect_err("refused"),
            () = fixture.gate.arrival() => requests.push(asking),
        }
    };
    is_share_exhausted(&refused);
    assert!((2..=4).contains(&requests.len()), "{}", requests.len());
    publish(&mut client, "other").await.expect("there is room for others");
    fixture.gate.open();
    for request in requests {
        request.await.expect("no panic").expect("an answer");
    }
    let answer = client.get_event(by("hog", large)).await;
    answer.expect("there is room again");
}

#[tokio::test]
async fn a_batchs_entries_are_counted_before_they_are_decoded() {
    let fixture = Fixture::with_limits(LimitFlags::default()).await;
    let mut client = fixture.client().await;
    let events = vec![v1::PublishEventRequest::default(); 1_001];
    let request = v1::BatchPublishEventsRequest { requests: events, ..Default::default() };
    let status = client.batch_publish_events(request).await.expect_err("too many");
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().expect("the field").field_violations;
    assert_eq!(violations[0].field, "requests");
}
