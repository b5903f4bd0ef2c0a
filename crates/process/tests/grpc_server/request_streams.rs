//! Requests that are streams of messages.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request as HttpRequest;
use hyper_util::rt::TokioIo;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::stream_events_response::Result as ItemResult;
use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use keeptrusts_webhooks_process::grpc_server::limits::{
    ANSWER_TIMEOUT, MAX_MEMORY_WAIT, REQUEST_BODY_TIMEOUT,
};
use prost::Message;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower_service::Service;

use crate::compression::framed;
use crate::fixture::{Fixture, HELD, ORGANIZATION, PATIENCE, REVOKED, SERVICE, reason};

/// More than any wait of the server.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// A connection within the process: its time can be paused.
async fn connect(fixture: &mut Fixture) -> SendRequest<Bytes> {
    connect_with(fixture, &h2::client::Builder::new()).await
}

async fn connect_with(fixture: &mut Fixture, builder: &h2::client::Builder) -> SendRequest<Bytes> {
    let uri = "http://server".parse().expect("a URI");
    let stream = fixture.in_process.call(uri).await.map(TokioIo::into_inner).expect("connected");
    let (requests, connection) = builder.handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    requests
}

/// An open StreamEvents, whose messages are bytes.
struct Call {
    messages: SendStream<Bytes>,
    answer: Result<h2::RecvStream, ResponseFuture>,
    read: Vec<u8>,
}

impl Call {
    fn begin(
        requests: &mut SendRequest<Bytes>,
        organization: &str,
        headers: &[(&str, &str)],
    ) -> Call {
        let mut request = HttpRequest::post(format!("http://server/{SERVICE}/StreamEvents"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(ORGANIZATION, organization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, messages) = requests.send_request(request, false).expect("sent");
        Call { messages, answer: Err(answer), read: Vec::new() }
    }

    fn send(&mut self, bytes: impl Into<Bytes>) {
        self.messages.send_data(bytes.into(), false).expect("it is open");
    }

    /// Sends an item with `bytes` of data.
    fn item(&mut self, number: i64, event_type: &str, bytes: usize) {
        self.send(framed(0, &item(number, event_type, bytes)));
    }

    /// The next acknowledgement: the item's number and the bytes that it is charged for. Error: the
    /// status at the end; OK is one, too.
    async fn next(&mut self) -> Result<(i64, usize), Status> {
        loop {
            if let Some(([0, length @ ..], rest)) = self.read.split_first_chunk::<5>() {
                let length = u32::from_be_bytes(*length) as usize;
                if rest.len() >= length {
                    let answer =
                        v1::StreamEventsResponse::decode(&rest[..length]).expect("decodes");
                    self.read.drain(..5 + length);
                    let Some(ItemResult::Response(response)) = answer.result else {
                        panic!("{answer:?}")
                    };
                    let bytes = response.event_id.parse().expect("a number");
                    return Ok((answer.sequence_number, bytes));
                }
            }
            self.opened().await?;
            let Ok(body) = &mut self.answer else { continue };
            let Some(data) = body.data().await else {
                let trailers = body.trailers().await.expect("it ends").expect("with a status");
                return Err(Status::from_header_map(&trailers).expect("a status"));
            };
            let data = data.expect("it goes on");
            body.flow_control().release_capacity(data.len()).expect("it was read");
            self.read.extend_from_slice(&data);
        }
    }

    /// Waits until the stream is open, and reads nothing.
    async fn opened(&mut self) -> Result<(), Status> {
        if let Err(answer) = &mut self.answer {
            let answer = answer.await.expect("an answer");
            if let Some(status) = Status::from_header_map(answer.headers()) {
                return Err(status);
            }
            self.answer = Ok(answer.into_body());
        }
        Ok(())
    }

    /// The status at the end, after the acknowledgements of what was sent.
    async fn end(&mut self) -> Status {
        let end = async {
            loop {
                if let Err(status) = self.next().await {
                    return status;
                }
            }
        };
        timeout(LONG, end).await.expect("it ends")
    }
}

fn item(number: i64, event_type: &str, bytes: usize) -> Vec<u8> {
    let payload = v1::publish_event_request::Payload::DataJson("x".repeat(bytes));
    let request = v1::PublishEventRequest {
        event_type: event_type.to_owned(),
        payload: Some(payload),
        ..Default::default()
    };
    v1::StreamEventsRequest { sequence_number: number, request: Some(request) }.encode_to_vec()
}

#[tokio::test(start_paused = true)]
async fn each_message_has_the_limits_of_a_request_and_the_stream_may_be_silent_in_between() {
    let limits = LimitFlags { max_request_bytes: 1_000, ..LimitFlags::default() };
    let mut fixture = Fixture::with_limits(limits).await;
    let mut requests = connect(&mut fixture).await;
    let mut call = Call::begin(&mut requests, "acme", &[]);
    for number in 1..=20 {
        call.item(number, "a", 900);
        let (acknowledged, charged) = call.next().await.expect("it is within the limit");
        assert_eq!(acknowledged, number);
        assert!(charged > 2 * 900, "as sent and as decoded: {charged}");
        sleep(LONG).await;
    }
    // Several in a frame, and one in several.
    let [one, two] = [21, 22].map(|number| framed(0, &item(number, "a", 100)));
    let both = Bytes::from([&one[..], &two[..]].concat());
    call.send(both.slice(..one.len() + 3));
    assert_eq!(call.next().await.expect("it is whole").0, 21);
    call.send(Bytes::new());
    call.send(both.slice(one.len() + 3..));
    assert_eq!(call.next().await.expect("it is whole").0, 22);

    call.item(23, "a", 1_000);
    let status = call.end().await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
        "{status}"
    );
    // A client may end its stream by a frame without data.
    let mut call = Call::begin(&mut requests, "acme", &[]);
    call.item(1, "a", 1);
    assert!(call.next().await.is_ok());
    call.messages.send_data(Bytes::new(), true).expect("it is open");
    assert_eq!(call.end().await.code(), Code::Ok);
}

#[tokio::test]
async fn each_message_is_inflated_within_the_limits_of_a_request() {
    let mut fixture = Fixture::start().await;
    let mut requests = connect(&mut fixture).await;
    let mut call = Call::begin(&mut requests, "acme", &[("grpc-encoding", "zstd")]);
    let compressed = |number, bytes| {
        framed(1, &zstd::encode_all(&item(number, "a", bytes)[..], 3).expect("in memory"))
    };
    for number in 1..=3 {
        call.send(compressed(number, 200_000));
        let (acknowledged, charged) = call.next().await.expect("it is within the limits");
        assert!(acknowledged == number && charged > 2 * 200_000, "{acknowledged} {charged}");
    }
    // In the same stream, not compressed.
    call.item(4, "a", 10);
    assert_eq!(call.next().await.expect("it may be").0, 4);
    // A bomb: 2 MiB of the same letter.
    call.send(compressed(5, 2 * 1024 * 1024));
    let status = call.end().await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
        "{status}"
    );
    let mut call = Call::begin(&mut requests, "acme", &[("grpc-encoding", "br")]);
    assert_eq!(call.end().await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_stream_ends_at_what_is_no_message() {
    let mut fixture = Fixture::start().await;
    let mut requests = connect(&mut fixture).await;
    let whole = framed(0, &item(2, "a", 10));
    for (what, bytes) in [
        ("an unknown flag", framed(2, b"")),
        ("a part of a prefix", whole.slice(..3)),
        ("a part of a message", whole.slice(..whole.len() - 1)),
        ("a compressed one without grpc-encoding", framed(1, b"x")),
        ("no protobuf", framed(0, b"{}")),
    ] {
        let mut call = Call::begin(&mut requests, "acme", &[]);
        call.item(1, "a", 10);
        assert_eq!(call.next().await.expect("it is whole").0, 1);
        call.messages.send_data(bytes, true).expect("it is open");
        let status = call.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        assert!(status.get_details_bad_request().is_some(), "{what}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_in_ends_its_stream() {
    let mut fixture = Fixture::start().await;
    let mut requests = connect(&mut fixture).await;
    let mut call = Call::begin(&mut requests, "acme", &[]);
    call.item(1, "a", 10);
    assert!(call.next().await.is_ok());
    sleep(LONG).await;
    let whole = framed(0, &item(2, "a", 10));
    let began = Instant::now();
    call.send(whole.slice(..1));
    for at in 1..=3 {
        sleep(REQUEST_BODY_TIMEOUT / 4).await;
        call.send(whole.slice(at..=at));
    }
    let status = call.end().await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("--request-body-timeout"), "{status}");
    assert_eq!(began.elapsed().as_secs(), REQUEST_BODY_TIMEOUT.as_secs());
}

/// What makes an organization's share of the memory smaller than one more message.
const FILLS_ITS_SHARE: usize = 40 * 1024;

#[tokio::test(start_paused = true)]
async fn a_stream_waits_for_memory_and_takes_nobody_elses() {
    let limits = LimitFlags {
        max_request_bytes: 64 * 1024,
        max_request_memory: 1024 * 1024,
        ..LimitFlags::default()
    };
    let mut fixture = Fixture::with_limits(limits).await;
    let mut requests = connect(&mut fixture).await;
    let mut hogs: Vec<Call> = Vec::new();
    let mut held = 0;
    let status = loop {
        let mut hog = Call::begin(&mut requests, "hog", &[]);
        hog.item(1, HELD, FILLS_ITS_SHARE);
        let began = Instant::now();
        match hog.next().await {
            Ok((_, charged)) => {
                held += charged;
                hogs.push(hog);
            }
            Err(status) => {
                assert_eq!(began.elapsed().as_secs(), MAX_MEMORY_WAIT.as_secs());
                break status;
            }
        }
    };
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_REQUESTS"),
        "{status}"
    );
    assert!((256 * 1024..=512 * 1024).contains(&held), "half of it: {held}");
    let mut other = Call::begin(&mut requests, "other", &[]);
    other.item(1, "a", FILLS_ITS_SHARE);
    assert!(other.next().await.is_ok(), "there is room for others");

    // One that waits gets what becomes free.
    let mut waiting = Call::begin(&mut requests, "hog", &[]);
    waiting.item(1, "a", FILLS_ITS_SHARE);
    assert!(timeout(MAX_MEMORY_WAIT / 2, waiting.next()).await.is_err(), "it waits");
    drop(hogs);
    assert_eq!(waiting.next().await.expect("there is room").0, 1);
}

#[tokio::test]
async fn a_caller_and_an_organization_have_a_limited_number_of_streams() {
    let limits = LimitFlags {
        max_publish_streams: 8,
        max_publish_streams_per_key: 2,
        ..LimitFlags::default()
    };
    let mut fixture = Fixture::with_limits(limits).await;
    let mut requests = connect(&mut fixture).await;
    let open = async |requests: &mut SendRequest<Bytes>, organization: &str| {
        let mut call = Call::begin(requests, organization, &[]);
        call.item(1, "a", 1);
        timeout(PATIENCE, call.next()).await.expect("in time").map(|_| call)
    };
    let mut calls = Vec::new();
    for _ in 0..2 {
        calls.push(open(&mut requests, "acme").await.expect("two may be open"));
    }
    let refused = open(&mut requests, "acme").await.map(|_| ()).expect_err("two are open");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS"),
        "{refused}"
    );
    assert!(refused.get_details_retry_info().is_some());
    let _other = open(&mut requests, "other").await.expect("another one's");
    drop(calls.pop());
    timeout(PATIENCE, async {
        while open(&mut requests, "acme").await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn streams_whose_acknowledgements_are_never_read_give_their_places_back() {
    const PLACES: u32 = 2;
    let limits = LimitFlags { max_publish_streams_per_key: PLACES, ..LimitFlags::default() };
    // The transport takes nothing of the answer, or a part of it and no more.
    for window in [0, 1] {
        let mut fixture = Fixture::with_limits(limits.clone()).await;
        let mut narrow = h2::client::Builder::new();
        narrow.initial_window_size(window);
        let mut requests = connect_with(&mut fixture, &narrow).await;
        let mut unread = Vec::new();
        let mut open = async || {
            let mut call = Call::begin(&mut requests, "acme", &[]);
            call.item(1, "a", 1);
            let opened = call.opened().await;
            opened.map(|()| unread.push(call)).map_err(|refused| reason(&refused))
        };
        for _ in 0..PLACES {
            assert_eq!(open().await, Ok(()));
        }
        sleep(ANSWER_TIMEOUT - Duration::from_secs(1)).await;
        assert_eq!(open().await, Err("TOO_MANY_STREAMS".to_owned()), "not yet");
        sleep(Duration::from_secs(2)).await;
        for _ in 0..PLACES {
            assert_eq!(open().await, Ok(()), "although their client is there");
        }
        assert_eq!(open().await, Err("TOO_MANY_STREAMS".to_owned()), "no more than before");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_a_stream_at_its_deadline_or_when_its_key_ends() {
    let mut fixture = Fixture::start().await;
    let mut requests = connect(&mut fixture).await;
    let mut call = Call::begin(&mut requests, "acme", &[("grpc-timeout", "5S")]);
    let began = Instant::now();
    call.item(1, "a", 1);
    assert!(call.next().await.is_ok());
    assert_eq!(call.end().await.code(), Code::DeadlineExceeded);
    assert_eq!(began.elapsed().as_secs(), 5);

    let mut call = Call::begin(&mut requests, REVOKED, &[]);
    call.item(1, "a", 1);
    let status = call.next().await.expect_err("nothing is done for a key that has ended");
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_is_not_delayed_by_them() {
    let mut fixture = Fixture::start().await;
    let mut requests = connect(&mut fixture).await;
    let mut call = Call::begin(&mut requests, "acme", &[]);
    call.item(1, "a", 1);
    assert_eq!(call.next().await.expect("it is acknowledged").0, 1);
    fixture.shutdown.cancel();
    let status = timeout(PATIENCE / 4, call.end()).await.expect("before the grace period is over");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    drop((call, requests));
    timeout(PATIENCE / 4, fixture.ended()).await.expect("before the grace period is over");
}
