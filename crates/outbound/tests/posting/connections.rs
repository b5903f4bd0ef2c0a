//! Which connections are reused, and which are not.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keeptrusts_webhooks_outbound::{Remark, SendFailure, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, HTTP2, Receiver, empty, read_request};
use crate::{GROUP, answer, failure, post, sender_for};

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| empty(200)).await;
        let sender = sender_for(&authority);
        for _ in 0..5 {
            answer(&sender.clone(), &receiver.url()).await;
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_to_a_new_receiver_succeeds() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| empty(200)).await;
        let sender = sender_for(&authority);
        let mut posts = JoinSet::new();
        for _ in 0..50 {
            let (sender, url) = (sender.clone(), receiver.url());
            posts.spawn(async move { answer(&sender, &url).await.status });
        }
        for status in posts.join_all().await {
            assert_eq!(status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_receiver_closed_while_idle_is_replaced() {
    let authority = Authority::new();
    let (closed, mut is_closed) = mpsc::channel(1);
    let receiver = Receiver::tls(authority.identity(), HTTP1, move |mut stream| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.shutdown().await.unwrap();
            // The sender closes its side once it has noticed that we closed ours.
            let _ = stream.read(&mut [0]).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let sender = sender_for(&authority);
    for _ in 0..3 {
        assert_eq!(answer(&sender, &receiver.url()).await.status, StatusCode::OK);
        is_closed.recv().await.unwrap();
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn a_connection_closed_instead_of_an_answer_fails_and_nothing_is_sent_again() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        stream.shutdown().await.unwrap();
    })
    .await;
    assert_eq!(
        failure(&sender_for(&authority), &receiver.url()).await,
        SendFailure::ConnectionClosed
    );
    assert_eq!(receiver.connections(), 1);
}

/// Answers the first request of each connection, and closes it when there is another one.
async fn closing_at_the_second_request(authority: &Authority) -> Receiver {
    Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(head).await.unwrap();
        read_request(&mut stream).await;
        stream.shutdown().await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_request_that_meets_a_kept_connection_being_closed_is_sent_once_more_on_a_new_one() {
    let authority = Authority::new();
    let receiver = closing_at_the_second_request(&authority).await;
    let sender = sender_for(&authority);
    assert_eq!(post(&sender, &receiver.url()).await.remarks, []);
    let second = post(&sender, &receiver.url()).await;
    assert_eq!(second.result.unwrap().status, StatusCode::OK);
    assert_eq!(second.remarks, [Remark::SentAgainMaybeProcessed]);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_is_closed_may_have_been_processed_even_without_a_new_one()
 {
    let authority = Authority::new();
    let receiver = closing_at_the_second_request(&authority).await;
    let sender = sender_for(&authority);
    let url = receiver.url();
    assert!(post(&sender, &url).await.was_sent);
    drop(receiver);
    // The listener is closed when its task has ended.
    tokio::task::yield_now().await;
    let second = post(&sender, &url).await;
    assert!(matches!(second.result, Err(SendFailure::ConnectionRefused { .. })), "{second:?}");
    assert!(second.was_sent);
    assert_eq!(second.remarks, [Remark::MaybeProcessed]);
    let third = post(&sender, &url).await;
    assert!(third.result.is_err() && !third.was_sent, "{third:?}");
    assert_eq!(third.remarks, []);
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_with_408_counts_as_closed_without_an_answer() {
    const TOO_LATE: &[u8] =
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for first_answer in [&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], TOO_LATE] {
        let authority = Authority::new();
        let receiver = Receiver::tls(authority.identity(), HTTP1, move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(first_answer).await.unwrap();
            if read_request(&mut stream).await {
                stream.write_all(TOO_LATE).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        })
        .await;
        let sender = sender_for(&authority);
        let first = post(&sender, &receiver.url()).await;
        let second = post(&sender, &receiver.url()).await;
        assert_eq!(first.remarks, []);
        assert_eq!(second.result.unwrap().status, first.result.as_ref().unwrap().status);
        // As the first answer on its connection it is the receiver's, and final.
        let is_repeated = first.result.unwrap().status == StatusCode::OK;
        assert_eq!(second.remarks.contains(&Remark::SentAgainMaybeProcessed), is_repeated);
        assert_eq!(receiver.connections(), 2);
    }
}

#[test]
fn a_post_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    fn posting(sender: &Sender) {
        let url = http::Uri::from_static("https://a.example/");
        is_send(&sender.post(GROUP, &url, HeaderMap::new(), Bytes::new()));
    }
    let _ = posting;
}
