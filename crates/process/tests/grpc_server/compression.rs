//! Compressed requests and answers, over the wire.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use prost::Message;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use tower_service::Service;

use crate::fixture::{Fixture, SERVICE};

/// A message with its prefix.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a message");
    [&[flag][..], &length.to_be_bytes(), message].concat().into()
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(message).expect("into memory");
    encoder.finish().expect("into memory")
}

/// Calls a method with these headers. Returns the answer's headers, body and trailers.
pub(crate) async fn call(
    channel: &mut Channel,
    method: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (HeaderMap, Bytes, HeaderMap) {
    call_path(channel, &format!("/{SERVICE}/{method}"), headers, body).await
}

async fn call_path(
    channel: &mut Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (HeaderMap, Bytes, HeaderMap) {
    let mut request =
        Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Full::new(body))).expect("a request");
    std::future::poll_fn(|context| channel.poll_ready(context)).await.expect("connected");
    let (head, body) = channel.call(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("all of it");
    let trailers = body.trailers().cloned().unwrap_or_default();
    (head.headers, body.to_bytes(), trailers)
}

pub(crate) fn publish(bytes: usize) -> Vec<u8> {
    let payload = v1::publish_event_request::Payload::DataJson("x".repeat(bytes));
    let request = v1::PublishEventRequest { payload: Some(payload), ..Default::default() };
    request.encode_to_vec()
}

#[tokio::test]
async fn a_compressed_request_is_inflated_and_has_the_same_limits() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let message = publish(50_000);
    for (encoding, compressed) in
        [("gzip", gzip(&message)), ("zstd", zstd::encode_all(&message[..], 3).expect("in memory"))]
    {
        let headers = [("grpc-encoding", encoding)];
        let (head, body, trailers) =
            call(&mut channel, "PublishEvent", &headers, framed(1, &compressed)).await;
        let answer = v1::PublishEventResponse::decode(body.get(5..).expect("a message"));
        assert_eq!(answer.expect("decodes").event_id, "50000", "{encoding} {trailers:?}");
        assert_eq!(head.get("grpc-encoding"), None, "nobody has asked for it");
    }
    let status = |headers: &HeaderMap, name| headers.get(name).map(|it| it.as_bytes().to_vec());
    let bomb = framed(1, &gzip(&publish(100_000_000)));
    let (head, ..) = call(&mut channel, "PublishEvent", &[("grpc-encoding", "gzip")], bomb).await;
    assert_eq!(status(&head, "grpc-status"), Some(b"8".to_vec()), "RESOURCE_EXHAUSTED {head:?}");
    let plain = framed(1, &gzip(&publish(5)));
    let (head, ..) = call(&mut channel, "PublishEvent", &[], plain.clone()).await;
    assert_eq!(status(&head, "grpc-status"), Some(b"3".to_vec()), "it does not say how {head:?}");
    let (head, ..) =
        call(&mut channel, "PublishEvent", &[("grpc-encoding", "deflate")], plain).await;
    assert_eq!(status(&head, "grpc-status"), Some(b"12".to_vec()), "UNIMPLEMENTED {head:?}");
    assert_eq!(reason_of(&head), "ENCODING_NOT_SUPPORTED");
    let accepted = status(&head, "grpc-accept-encoding");
    assert_eq!(accepted, Some(b"identity,gzip,zstd".to_vec()));
}

#[tokio::test]
async fn bytes_after_the_first_message_count_as_well() {
    let limits = LimitFlags { max_request_bytes: 10_000, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let mut channel = fixture.connect().await;
    let message = framed(0, &publish(9_000));
    let (_, _, trailers) = call(&mut channel, "PublishEvent", &[], message.clone()).await;
    assert_eq!(trailers.get("grpc-status").expect("a status"), "0");
    let twice = [&message[..], &message].concat();
    let (head, ..) = call(&mut channel, "PublishEvent", &[], twice.into()).await;
    assert_eq!(head.get("grpc-status").expect("a status"), "8", "RESOURCE_EXHAUSTED");
}

/// The machine-readable reason.
pub(crate) fn reason_of(head: &HeaderMap) -> String {
    let status = tonic::Status::from_header_map(head).expect("a status");
    status.get_details_error_info().expect("every error has one").reason
}

#[tokio::test]
async fn health_takes_no_compressed_requests_and_says_so() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let request = framed(1, &gzip(b""));
    let headers = [("grpc-encoding", "gzip")];
    let (head, ..) =
        call_path(&mut channel, "/grpc.health.v1.Health/Check", &headers, request).await;
    assert_eq!(head.get("grpc-status").expect("a status"), "12", "UNIMPLEMENTED");
    assert_eq!(head.get("grpc-accept-encoding").expect("says which"), "identity");
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_accept_it() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let request = v1::ListEventsRequest { page_size: 500, ..Default::default() };
    let request = framed(0, &request.encode_to_vec());
    let (head, plain, _) = call(&mut channel, "ListEvents", &[], request.clone()).await;
    assert!(head.get("grpc-encoding").is_none() && plain[0] == 0 && plain.len() > 5_000);
    let (head, body, trailers) =
        call(&mut channel, "ListEvents", &[("grpc-accept-encoding", "gzip")], request).await;
    assert_eq!(head.get("grpc-encoding").expect("says how"), "gzip");
    assert_eq!(trailers.get("grpc-status").expect("a status"), "0");
    assert!(body[0] == 1 && body.len() < plain.len() / 4);
    let mut message = Vec::new();
    GzDecoder::new(&body[5..]).read_to_end(&mut message).expect("inflates");
    assert_eq!(message, plain[5..]);
}
