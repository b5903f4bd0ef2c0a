//! Answers that clients read slowly or not at all.

use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request as HttpRequest};
use hyper_util::rt::TokioIo;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use keeptrusts_webhooks_process::grpc_server::limits::{ANSWER_TIMEOUT, FREE_ANSWER_BYTES};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower_service::Service;

use crate::compression::framed;
use crate::fixture::{Fixture, ORGANIZATION, PATIENCE, SERVICE, reason};

/// The window after the client has opened it.
const OPEN_WINDOW: u32 = 1024 * 1024;
/// Makes a list of 64,000 to 80,000 bytes.
const EVENTS: i32 = 4_000;
/// The lists that fit into half of 1 MiB without the reserve for publishing, which is a quarter.
const LISTS: RangeInclusive<usize> = 4..=6;

fn limits() -> LimitFlags {
    LimitFlags {
        max_request_bytes: 64 * 1024,
        max_request_memory: 1024 * 1024,
        ..LimitFlags::default()
    }
}

/// A client that reads nothing of an answer beyond a small window.
pub(crate) struct SlowReader {
    requests: SendRequest<Bytes>,
    /// Opens the window.
    pub(crate) opened: Arc<Notify>,
}

impl SlowReader {
    /// `window`: the bytes that the server may send of each answer.
    pub(crate) async fn new(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        window: u32,
    ) -> SlowReader {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(64 * OPEN_WINDOW);
        // A client that does not read does not learn the limit from the server.
        builder.initial_max_send_streams(1_000);
        let handshake = builder.handshake::<_, Bytes>(stream).await;
        let (requests, mut connection) = handshake.expect("HTTP/2");
        let opened = Arc::new(Notify::new());
        let open = Arc::clone(&opened);
        tokio::spawn(async move {
            tokio::select! {
                ended = &mut connection => return ended,
                () = open.notified() => connection.set_initial_window_size(OPEN_WINDOW)?,
            }
            connection.await
        });
        SlowReader { requests, opened }
    }

    async fn at(fixture: &Fixture, window: u32) -> SlowReader {
        let stream = TcpStream::connect(fixture.address).await.expect("the server accepts");
        SlowReader::new(stream, window).await
    }

    fn ask(
        &mut self,
        method: &str,
        message: &impl Message,
        headers: &[(&str, &str)],
    ) -> ResponseFuture {
        self.ask_service(SERVICE, method, message, headers)
    }

    pub(crate) fn ask_service(
        &mut self,
        service: &str,
        method: &str,
        message: &impl Message,
        headers: &[(&str, &str)],
    ) -> ResponseFuture {
        let mut request = HttpRequest::post(format!("http://server/{service}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(ORGANIZATION, "hog");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, mut body) = self.requests.send_request(request, false).expect("sent");
        body.send_data(framed(0, &message.encode_to_vec()), true).expect("sent");
        answer
    }

    /// An answer that is read up to the window, or the status instead of it.
    async fn list(&mut self, headers: &[(&str, &str)]) -> Result<h2::RecvStream, Status> {
        let request = v1::ListEventsRequest { page_size: EVENTS, ..Default::default() };
        unread(self.ask("ListEvents", &request, headers)).await
    }
}

pub(crate) async fn unread(answer: ResponseFuture) -> Result<h2::RecvStream, Status> {
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    match Status::from_header_map(answer.headers()) {
        Some(status) => Err(status),
        None => Ok(answer.into_body()),
    }
}

/// The length and the trailers of an answer.
async fn read(body: &mut h2::RecvStream) -> (usize, HeaderMap) {
    let (bytes, trailers) = read_bytes(body).await;
    (bytes.len(), trailers)
}

/// The bytes and the trailers of an answer.
pub(crate) async fn read_bytes(body: &mut h2::RecvStream) -> (Vec<u8>, HeaderMap) {
    let read = async {
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.expect("it goes on");
            bytes.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).expect("it was read");
        }
        let trailers = body.trailers().await.expect("it ends in order");
        (bytes, trailers.expect("there is a status"))
    };
    timeout(PATIENCE, read).await.expect("in time")
}

#[tokio::test]
async fn unread_answers_count_for_their_caller_and_leave_room_for_others() {
    // With a window of one byte the transport takes more than nothing.
    for window in [0, 1] {
        let fixture = Fixture::with_limits(limits()).await;
        let mut hog = SlowReader::at(&fixture, window).await;
        let mut held = Vec::new();
        let refused = loop {
            match hog.list(&[]).await {
                Ok(unread) => held.push(unread),
                Err(refused) => break refused,
            }
            assert!(held.len() <= *LISTS.end(), "all are held with a window of {window}");
        };
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::ResourceExhausted, "TOO_MANY_REQUESTS"),
            "{refused}"
        );
        assert!(refused.get_details_retry_info().is_some_and(|it| it.retry_delay.is_some()));
        assert!(LISTS.contains(&held.len()), "{} with a window of {window}", held.len());

        let mut client = fixture.client().await;
        let request = v1::ListEventsRequest { page_size: EVENTS, ..Default::default() };
        for _ in 0..2 * LISTS.end() {
            let answer = client.list_events(request.clone()).await;
            let events = answer.expect("there is room for others").into_inner().events;
            assert_eq!(events.len(), EVENTS as usize);
        }
        hog.opened.notify_one();
        for mut unread in held {
            let (length, trailers) = read(&mut unread).await;
            assert!(length > 64_000 && trailers["grpc-status"] == "0", "{length} {trailers:?}");
        }
        assert!(hog.list(&[]).await.is_ok(), "there is room again");
    }
}

/// A connection from which nothing is read.
struct Unread(DuplexStream);

impl AsyncRead for Unread {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Unread {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Steps are counted, not timed: how long one takes depends on the machine.
#[tokio::test]
async fn answers_in_the_buffers_of_a_connection_count_as_well() {
    /// More answers than the buffers and the organization's share can hold.
    const TOO_MANY_ANSWERS: usize = 200;
    /// A refusal may be passing: until the server has dropped the reader's own last answer.
    const LASTING_REFUSALS: usize = 20;
    let mut fixture = Fixture::with_limits(limits()).await;
    let uri = "http://server".parse().expect("a URI");
    let stream = fixture.in_process.call(uri).await.expect("connected").into_inner();
    // Every stream's window is open, so that the transport takes all that it can buffer.
    let mut deaf = SlowReader::new(Unread(stream), OPEN_WINDOW).await;
    let request = v1::ListEventsRequest { page_size: EVENTS, ..Default::default() };
    let mut unread_answers = Vec::new();
    let mut reader = SlowReader::at(&fixture, OPEN_WINDOW).await;
    let mut refusals = 0;
    while refusals < LASTING_REFUSALS {
        if reader.list(&[]).await.is_ok() {
            refusals = 0;
            unread_answers.push(deaf.ask("ListEvents", &request, &[]));
            assert!(unread_answers.len() < TOO_MANY_ANSWERS, "unread answers do not count");
        } else {
            refusals += 1;
        }
        tokio::task::yield_now().await;
    }
    drop((unread_answers, deaf));
    let mut attempts = 0;
    while reader.list(&[]).await.is_err() {
        attempts += 1;
        assert!(attempts < 10_000, "what was written or dropped still counts");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_that_their_client_has_reset_do_not_count() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut hog = SlowReader::at(&fixture, 1).await;
    let mut held = Vec::new();
    while let Ok(unread) = hog.list(&[]).await {
        held.push(unread);
        assert!(held.len() <= *LISTS.end(), "all are held");
    }
    drop(held);
    // Until the server has noticed that they are gone.
    while hog.list(&[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_answer_to_a_change_is_not_refused_and_counts() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut hog = SlowReader::at(&fixture, 0).await;
    let mut held = Vec::new();
    while let Ok(unread) = hog.list(&[]).await {
        held.push(unread);
        assert!(held.len() <= *LISTS.end(), "all are held");
    }
    // The request fits into the reserve for publishing, but the answer does not.
    let events = vec![v1::PublishEventRequest::default(); 700];
    let change = v1::BatchPublishEventsRequest { requests: events, ..Default::default() };
    let answer = unread(hog.ask("BatchPublishEvents", &change, &[])).await;
    let mut answer = answer.expect("it was done, and must not look as if it were not");
    let refused = unread(hog.ask("BatchPublishEvents", &change, &[])).await;
    assert_eq!(refused.expect_err("it counts").code(), Code::ResourceExhausted);
    hog.opened.notify_one();
    let (length, trailers) = read(&mut answer).await;
    assert!(length > 700 * 1_024 && trailers["grpc-status"] == "0", "{length} {trailers:?}");
}

#[tokio::test]
async fn a_compressed_answer_counts_with_its_compressed_size() {
    let fixture = Fixture::with_limits(limits()).await;
    let mut hog = SlowReader::at(&fixture, 0).await;
    let mut held = Vec::new();
    for _ in 0..3 * LISTS.end() {
        held.push(hog.list(&[("grpc-accept-encoding", "gzip")]).await.expect("it is short"));
    }
    hog.opened.notify_one();
    for mut unread in held {
        let (length, trailers) = read(&mut unread).await;
        assert!(length < 16_000 && trailers["grpc-status"] == "0", "{length} {trailers:?}");
    }
}

/// Time is paused: it passes when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_until_its_deadline_and_for_a_minute_at_most() {
    for (headers, kept_for) in
        [(&[][..], ANSWER_TIMEOUT), (&[("grpc-timeout", "5S")], Duration::from_secs(5))]
    {
        let mut fixture = Fixture::with_limits(limits()).await;
        let uri = "http://server".parse().expect("a URI");
        let stream = fixture.in_process.call(uri).await.map(TokioIo::into_inner);
        let mut hog = SlowReader::new(stream.expect("connected"), 1).await;
        let mut held = Vec::new();
        while let Ok(unread) = hog.list(headers).await {
            held.push(unread);
            assert!(held.len() <= *LISTS.end(), "all are held");
        }
        assert!(LISTS.contains(&held.len()), "{}", held.len());
        sleep(kept_for - Duration::from_secs(1)).await;
        assert!(hog.list(headers).await.is_err(), "they are kept");
        sleep(Duration::from_secs(2)).await;
        let again = hog.list(headers).await;
        drop(again.expect("they are kept no longer, although their client is there"));

        hog.opened.notify_one();
        for mut unread in held {
            let (length, trailers) = read(&mut unread).await;
            // Only what the transport has taken for the window of one byte.
            assert!(length <= 2 * FREE_ANSWER_BYTES, "{length} bytes of what is not there");
            let status = Status::from_header_map(&trailers).expect("a status");
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        }
    }
}

/// Time is paused: it passes when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn a_short_answer_that_is_not_read_counts_as_a_request_in_flight_for_a_minute() {
    const LIMIT: usize = 32;
    let limits = LimitFlags { max_requests_in_flight: LIMIT as u32, ..LimitFlags::default() };
    let mut fixture = Fixture::with_limits(limits).await;
    let uri = "http://server".parse().expect("a URI");
    let stream = fixture.in_process.call(uri).await.map(TokioIo::into_inner);
    let mut hog = SlowReader::new(stream.expect("connected"), 0).await;
    let request = v1::ListEventsRequest::default();
    let mut held = Vec::new();
    while let Ok(answer) = unread(hog.ask("ListEvents", &request, &[])).await {
        held.push(answer);
        assert!(held.len() < LIMIT, "there is a limit");
    }
    sleep(ANSWER_TIMEOUT - Duration::from_secs(1)).await;
    assert!(unread(hog.ask("ListEvents", &request, &[])).await.is_err(), "not yet");
    sleep(Duration::from_secs(2)).await;
    let again = unread(hog.ask("ListEvents", &request, &[])).await;
    drop(again.expect("they count no longer, although their client is there"));
    hog.opened.notify_one();
    for mut unread in held {
        let (length, trailers) = read(&mut unread).await;
        assert!(length > 0 && trailers["grpc-status"] == "0", "kept: {length} {trailers:?}");
    }
}
