//! Slow receivers, with short limits on real sockets.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use keeptrusts_webhooks_outbound::{OutboundConfig, Remark, SendFailure, Sender};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, HTTP2, Receiver, empty, read_request};
use crate::{GENEROUS, answer, config_for, post};

/// Long enough for a connection and a TLS handshake on a busy machine.
const SHORT: Duration = Duration::from_millis(500);

fn impatient_sender(authority: &Authority) -> Sender {
    Sender::new(OutboundConfig { request_timeout: SHORT, ..config_for(authority) }).unwrap()
}

/// Expects that a post takes as long as the limit, but not much longer.
async fn timed_out(sender: &Sender, receiver: &Receiver) -> SendFailure {
    let exchange = post(sender, &receiver.url()).await;
    assert!(exchange.duration >= SHORT, "{:?}", exchange.duration);
    assert!(exchange.duration < GENEROUS / 2, "{:?}", exchange.duration);
    exchange.result.unwrap_err()
}

#[tokio::test]
async fn a_receiver_that_never_answers_times_out() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| {
            pending::<()>().await;
            empty(200)
        })
        .await;
        let failure = timed_out(&impatient_sender(&authority), &receiver).await;
        assert_eq!(failure, SendFailure::AnswerTimedOut { after: SHORT });
        assert_eq!(failure.to_string(), "no answer within 500ms");
    }
}

#[tokio::test]
async fn an_endless_slow_body_times_out_and_the_status_counts() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    let exchange = post(&impatient_sender(&authority), &receiver.url()).await;
    let answer = exchange.result.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.starts_with(b"xx"), "{:?}", answer.body);
    assert_eq!(exchange.remarks, [Remark::BodyTookTooLong]);
}

#[tokio::test]
async fn endless_slow_headers_time_out_and_the_status_counts() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x-more: x\r\n").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let exchange = post(&impatient_sender(&authority), &receiver.url()).await;
    let answer = exchange.result.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-more"], "x");
    assert_eq!(exchange.remarks, [Remark::HeadersTookTooLong]);
}

#[tokio::test]
async fn a_tls_handshake_without_an_answer_ends_after_the_connect_timeout() {
    let receiver = Receiver::tcp(async |stream| {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let sender =
        Sender::new(OutboundConfig { connect_timeout: SHORT, ..config_for(&Authority::new()) })
            .unwrap();
    assert_eq!(timed_out(&sender, &receiver).await, SendFailure::TlsTimedOut);
}

#[tokio::test]
async fn an_http_2_connection_that_timed_out_is_not_used_again() {
    let authority = Authority::new();
    let hangs = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::http(authority.identity(), HTTP2, move |_| {
        let hangs = Arc::clone(&hangs);
        async move {
            if hangs.swap(false, Ordering::SeqCst) {
                pending::<()>().await;
            }
            empty(200)
        }
    })
    .await;
    let sender = impatient_sender(&authority);

    let failure = timed_out(&sender, &receiver).await;
    assert_eq!(failure, SendFailure::AnswerTimedOut { after: SHORT });

    assert_eq!(answer(&sender, &receiver.url()).await.status, 200);
    assert_eq!(receiver.connections(), 2);
}
