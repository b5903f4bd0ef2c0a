//! What the receiver gets, and how its answer is read.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use keeptrusts_webhooks_outbound::limits::{MAX_KEPT_BODY, MAX_READ_BODY, MAX_READ_HEAD};
use keeptrusts_webhooks_outbound::{Remark, SendFailure};
use tokio::io::AsyncWriteExt;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, HTTP2, Receiver, empty, read_request};
use crate::{GROUP, answer, failure, post, sender_for};

/// A receiver that returns what it got in its answer.
async fn echo(authority: &Authority, alpn: &[&str]) -> Receiver {
    Receiver::http(authority.identity(), alpn, async |request| {
        let (head, body) = request.into_parts();
        assert_eq!(head.method, Method::POST);
        let version = match head.version {
            Version::HTTP_11 => "1.1",
            Version::HTTP_2 => "2",
            other => panic!("unexpected {other:?}"),
        };
        Response::builder()
            .status(StatusCode::ACCEPTED)
            .header("x-version", version)
            .header("x-authority", authority_of(&head))
            .header("x-path", head.uri.path_and_query().unwrap().as_str())
            .header("x-signature", &head.headers["x-signature"])
            .header("x-length", &head.headers[header::CONTENT_LENGTH])
            .body(Full::new(body.collect().await.unwrap().to_bytes()))
            .unwrap()
    })
    .await
}

/// An endless body.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = Bytes::from_static(&[b'x'; 4096]);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// The host of the request, which each version of HTTP has in its own place.
fn authority_of(head: &Parts) -> String {
    match head.uri.authority() {
        Some(authority) => authority.to_string(),
        None => head.headers[header::HOST].to_str().unwrap().to_owned(),
    }
}

async fn assert_request_arrives_unchanged(alpn: &[&str], version: &str) {
    let authority = Authority::new();
    let receiver = echo(&authority, alpn).await;
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-signature"),
        HeaderValue::from_static("sha256=00"),
    )]);
    let body = Bytes::from_static(b"{\"event\": \"exactly these bytes\"}");

    let exchange = sender_for(&authority).post(GROUP, &receiver.url(), headers, body.clone()).await;

    let answer = exchange.result.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.headers["x-version"], version);
    assert_eq!(answer.headers["x-authority"], receiver.address.to_string());
    assert_eq!(answer.headers["x-path"], "/hook?x=1");
    assert_eq!(answer.headers["x-signature"], "sha256=00");
    assert_eq!(answer.headers["x-length"], body.len().to_string());
    assert_eq!((answer.body, answer.body_truncated), (body, false));
    assert!(!exchange.duration.is_zero());
}

#[tokio::test]
async fn a_request_arrives_unchanged_by_http_1() {
    assert_request_arrives_unchanged(HTTP1, "1.1").await;
}

#[tokio::test]
async fn a_request_arrives_unchanged_by_http_2() {
    assert_request_arrives_unchanged(HTTP2, "2").await;
}

#[tokio::test]
async fn a_receiver_without_alpn_gets_http_1() {
    assert_request_arrives_unchanged(&[], "1.1").await;
}

#[tokio::test]
async fn error_statuses_are_answers() {
    for status in [204, 400, 404, 410, 429, 500, 503] {
        let authority = Authority::new();
        let answering = move |_| async move { empty(status) };
        let receiver = Receiver::http(authority.identity(), HTTP1, answering).await;
        let answer = answer(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let authority = Authority::new();
        let target = Receiver::tcp(async |_| {}).await;
        let location = target.url().to_string();
        let receiver = Receiver::http(authority.identity(), HTTP2, move |_| {
            let mut response = empty(status);
            let location = HeaderValue::try_from(&location).unwrap();
            response.headers_mut().insert(header::LOCATION, location);
            async { response }
        })
        .await;

        let answer = answer(&sender_for(&authority), &receiver.url()).await;

        assert_eq!(answer.status, status);
        assert_eq!(answer.headers[header::LOCATION], target.url().to_string());
        assert_eq!(target.connections(), 0);
    }
}

#[tokio::test]
async fn a_body_up_to_the_read_limit_is_truncated_and_the_connection_reused() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| {
            // One byte less, so that the end of the body is read along with it.
            Response::new(Full::new(Bytes::from(vec![b'x'; MAX_READ_BODY - 1])))
        })
        .await;
        let sender = sender_for(&authority);
        for _ in 0..3 {
            let answer = answer(&sender, &receiver.url()).await;
            assert_eq!(answer.body.len(), MAX_KEPT_BODY);
            assert!(answer.body_truncated);
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn a_body_over_the_read_limit_is_truncated_and_not_a_failure() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| {
            Response::new(Full::new(Bytes::from(vec![b'x'; 10 * MAX_READ_BODY])))
        })
        .await;
        let sender = sender_for(&authority);
        for _ in 0..2 {
            let answer = answer(&sender, &receiver.url()).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.body.len(), MAX_KEPT_BODY);
            assert!(answer.body_truncated);
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_truncated_and_its_connection_closed() {
    let authority = Authority::new();
    let (hung_up, mut was_hung_up) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::tls(authority.identity(), HTTP1, move |mut stream| {
        let hung_up = hung_up.clone();
        async move {
            read_request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            hung_up.send(()).await.unwrap();
        }
    })
    .await;

    let answer = answer(&sender_for(&authority), &receiver.url()).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body.len(), MAX_KEPT_BODY);
    assert!(answer.body_truncated);
    assert_eq!(was_hung_up.recv().await, Some(()));
}

#[tokio::test]
async fn an_endless_http_2_body_is_truncated() {
    let authority = Authority::new();
    let receiver =
        Receiver::http(authority.identity(), HTTP2, async |_| Response::new(Endless)).await;

    let answer = answer(&sender_for(&authority), &receiver.url()).await;

    assert_eq!(answer.body.len(), MAX_KEPT_BODY);
    assert!(answer.body_truncated);
}

#[tokio::test]
async fn an_answer_with_headers_over_the_limit_counts_by_http_1() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nretry-after: 5\r\nx-large: {}\r\n\r\n",
            "x".repeat(2 * MAX_READ_HEAD)
        );
        // Fails when the sender hangs up halfway.
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    let answer = exchange.result.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::RETRY_AFTER], "5");
    assert_eq!(exchange.remarks, [Remark::HeadersTooLarge]);
}

#[tokio::test]
async fn by_http_2_as_well_the_status_counts_if_the_headers_are_too_large() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP2, async |_| {
        let mut response = empty(200);
        for n in 0..40 {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            let value = HeaderValue::try_from("x".repeat(MAX_READ_HEAD / 20)).unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    let answer = exchange.result.unwrap();
    assert_eq!((answer.status, answer.headers.len()), (StatusCode::OK, 2), "the first are kept");
    assert_eq!(exchange.remarks, [Remark::HeadersTooLarge]);
}

#[tokio::test]
async fn an_answer_that_is_not_http_fails() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"220 smtp.example ESMTP\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    assert_eq!(failure(&sender_for(&authority), &receiver.url()).await, SendFailure::NotHttp);
}
