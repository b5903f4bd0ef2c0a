//! Receivers that break the rules of HTTP/2, or block all sending.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use keeptrusts_webhooks_outbound::limits::{HTTP2_MAX_HEAD, MAX_READ_HEAD};
use keeptrusts_webhooks_outbound::{OutboundConfig, Remark, SendFailure, Sender};
use keeptrusts_webhooks_testkit::http2::{
    HTTP_1_1_REQUIRED, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS,
};
use tokio::io::AsyncWriteExt;

use crate::certificates::Authority;
use crate::http2::{Frames, burst, receiver};
use crate::receiver::{HTTP2, Receiver, empty, read_request};
use crate::{GROUP, config_for, post, sender_for};

/// `:status: 201`, as a literal.
const CREATED: &[u8] = b"\x08\x03201";

fn literal(name: &str, value: &str) -> Vec<u8> {
    let [name_size, value_size] = [name.len() as u8, value.len() as u8];
    [&[0, name_size], name.as_bytes(), &[value_size], value.as_bytes()].concat()
}

fn impatient(authority: &Authority) -> Sender {
    let limit = Duration::from_millis(500);
    let config = OutboundConfig {
        connect_timeout: limit,
        request_timeout: 2 * limit,
        ..config_for(authority)
    };
    Sender::new(config).unwrap()
}

#[tokio::test]
async fn the_status_counts_whatever_is_wrong_with_the_rest_of_its_head() {
    let authority = Authority::new();
    for rest in [
        literal("connection", "close"),
        literal("content-length", "many"),
        literal("content-length", "5"),
        literal("X-Capital", "1"),
        literal("x-control", "a\0b"),
        literal("", "without a name"),
        CREATED.to_vec(),
        // An entry that no table has, and a string that goes on beyond the end.
        vec![0xfe],
        vec![0x00, 0x7e, b'x'],
    ] {
        let head = [CREATED, &rest].concat();
        let receiver = receiver(&authority, &[], move |mut frames: Frames, _| {
            let head = head.clone();
            async move {
                let stream = frames.request().await?;
                frames.head(stream, &head).await?;
                frames.end().await;
                Ok(())
            }
        })
        .await;
        let exchange = post(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::CREATED, "{rest:x?}");
        assert_eq!(exchange.remarks, [Remark::HeadersUnreadable], "{rest:x?}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_fails_no_other_request_on_its_connection() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames: Frames, connection| {
        let first = frames.request().await?;
        if connection > 1 {
            frames.answer(first, 201, false).await?;
        } else {
            let second = frames.request().await?;
            let unreadable = [literal(":status", "abc"), literal("X-Capital", "1")].concat();
            frames.head(first.min(second), &unreadable).await?;
        }
        frames.end().await;
        Ok(())
    })
    .await;
    let exchanges = burst(&sender_for(&authority), &receiver, 2).await;
    let (failed, others): (Vec<_>, Vec<_>) =
        exchanges.into_iter().partition(|exchange| exchange.result.is_err());
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].result, Err(SendFailure::Http2Violated));
    assert_eq!(others[0].result.as_ref().unwrap().status, StatusCode::CREATED);
    assert_eq!(others[0].remarks, [Remark::SentAgainMaybeProcessed]);
}

#[tokio::test]
async fn the_status_counts_also_if_an_earlier_answer_had_the_same() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP2, async |request| {
        let mut answer = empty(202);
        if request.headers().contains_key("x-badly") {
            answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("many"));
        }
        answer
    })
    .await;
    let sender = sender_for(&authority);
    post(&sender, &receiver.url()).await.result.unwrap();
    let badly = HeaderMap::from_iter([(
        header::HeaderName::from_static("x-badly"),
        HeaderValue::from_static("1"),
    )]);
    let exchange = sender.post(GROUP, &receiver.url(), badly, Bytes::from_static(b"{}")).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::ACCEPTED);
    assert_eq!(exchange.remarks, [Remark::HeadersUnreadable]);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn the_status_counts_however_large_its_head_is() {
    let authority = Authority::new();
    // Sizes that h2 reads, that it refuses, and for which it closes the connection.
    for size in [MAX_READ_HEAD + 1000, HTTP2_MAX_HEAD + 1000, 5 * HTTP2_MAX_HEAD] {
        let field = literal("x-large", &"x".repeat(120));
        let head = [CREATED.to_vec(), field.repeat(size / 120)].concat();
        let receiver = receiver(&authority, &[], move |mut frames: Frames, _| {
            let head = head.clone();
            async move {
                let stream = frames.request().await?;
                // Fails when the sender hangs up halfway.
                let _ = frames.head(stream, &head).await;
                frames.end().await;
                Ok(())
            }
        })
        .await;
        let exchange = post(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::CREATED, "{size}");
        assert_eq!(exchange.remarks, [Remark::HeadersTooLarge], "{size}");
    }
}

#[tokio::test]
async fn the_status_counts_although_its_head_never_ends() {
    let authority = Authority::new();
    for (hangs_up, remark) in
        [(true, Remark::HeadersEndedEarly), (false, Remark::HeadersTookTooLong)]
    {
        let receiver = receiver(&authority, &[], move |mut frames: Frames, _| async move {
            let stream = frames.request().await?;
            frames.part_of_head(stream, CREATED, 10).await?;
            match hangs_up {
                true => frames.end().await,
                false => _ = frames.request().await,
            }
            Ok(())
        })
        .await;
        let exchange = post(&impatient(&authority), &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::CREATED);
        assert_eq!(exchange.remarks, [remark]);
    }
}

#[tokio::test]
async fn an_invalid_answer_without_a_status_is_reported_as_such() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let stream = frames.request().await?;
        frames.head(stream, &literal("connection", "close")).await?;
        frames.end().await;
        Ok(())
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::Http2Violated));
    assert!(exchange.was_sent);
}

/// How a receiver that offers HTTP/2 says that it wants HTTP/1.1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    ByReset,
    ByGoAway,
    InsteadOfSettings,
}

#[tokio::test]
async fn a_receiver_that_asks_for_http_1_gets_it_and_is_not_asked_for_http_2_again() {
    let authority = Authority::new();
    for asks in [Asks::ByReset, Asks::ByGoAway, Asks::InsteadOfSettings] {
        let receiver = Receiver::tls(authority.identity(), HTTP2, move |mut stream| async move {
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                while read_request(&mut stream).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
                return;
            }
            if asks == Asks::InsteadOfSettings {
                // GOAWAY, on stream 0.
                stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0]).await.unwrap();
                stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 13]).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
            let mut frames = Frames::begin(stream, &[]).await.unwrap();
            let request = frames.request().await.unwrap();
            match asks {
                Asks::ByReset => frames.reset(request, HTTP_1_1_REQUIRED).await.unwrap(),
                _ => frames.go_away(0, HTTP_1_1_REQUIRED).await.unwrap(),
            }
            frames.end().await;
        })
        .await;
        let sender = sender_for(&authority);
        let first = post(&sender, &receiver.url()).await;
        assert_eq!(first.result.unwrap().status, StatusCode::OK);
        match asks {
            Asks::InsteadOfSettings => assert_eq!(first.remarks, [], "it was sent once"),
            _ => assert_eq!(first.remarks, [Remark::SentAgainByHttp1]),
        }
        let connections = receiver.connections();
        let mut posts = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (sender, url) = (sender.clone(), receiver.url());
            posts.spawn(async move { post(&sender, &url).await });
        }
        for next in posts.join_all().await {
            assert_eq!(next.result.unwrap().status, StatusCode::OK);
            assert_eq!(next.remarks, []);
        }
        assert_eq!(connections, 2, "one by each version");
    }
}

#[tokio::test]
async fn the_failure_says_how_the_receiver_started_http_2() {
    let authority = Authority::new();
    for (settings, failure) in [
        (&[(MAX_CONCURRENT_STREAMS, 0)], SendFailure::Http2WithoutStreams),
        (&[(INITIAL_WINDOW_SIZE, u32::MAX)], SendFailure::Http2BegunWrongly),
        // SETTINGS_ENABLE_PUSH and SETTINGS_MAX_FRAME_SIZE.
        (&[(2, 2)], SendFailure::Http2BegunWrongly),
        (&[(5, 1)], SendFailure::Http2BegunWrongly),
    ] {
        let receiver = receiver(&authority, settings, async |mut frames, _| {
            frames.request().await?;
            Ok(())
        })
        .await;
        let exchange = post(&impatient(&authority), &receiver.url()).await;
        assert_eq!(exchange.result, Err(failure));
        assert!(!exchange.was_sent);
    }
    for (bytes, failure) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], SendFailure::Http1InsteadOfHttp2),
        (b"220 smtp.example ESMTP\r\n", SendFailure::Http2BegunWrongly),
        // HEADERS.
        (b"\0\0\x01\x01\x05\0\0\0\x01\x88", SendFailure::Http2BegunWrongly),
    ] {
        let receiver = Receiver::tls(authority.identity(), HTTP2, move |mut stream| async move {
            stream.write_all(bytes).await.unwrap();
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await;
        let exchange = post(&impatient(&authority), &receiver.url()).await;
        assert_eq!(exchange.result, Err(failure));
    }
}

#[tokio::test]
async fn invariant_8_a_flood_instead_of_settings_is_given_up() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP2, async |mut stream| {
        // PING, without end.
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        while stream.write_all(&ping.repeat(100)).await.is_ok() {}
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::Flooded));
    assert!(!exchange.was_sent);
}

#[tokio::test]
async fn a_receiver_that_lets_no_body_be_sent_is_reported_as_such() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[(INITIAL_WINDOW_SIZE, 0)], async |mut frames, _| {
        frames.request_head().await?;
        frames.request().await?;
        Ok(())
    })
    .await;
    let exchange = post(&impatient(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::BodyNotTaken));
    assert!(exchange.was_sent);
}

#[tokio::test]
async fn a_connection_on_which_a_body_was_too_slow_is_not_used_again() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let stream = frames.request().await?;
        frames.answer(stream, 201, true).await?;
        frames.request().await?;
        Ok(())
    })
    .await;
    let sender = impatient(&authority);
    for connections in [1, 2] {
        let exchange = post(&sender, &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::CREATED);
        assert_eq!(exchange.remarks, [Remark::BodyTookTooLong]);
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn an_answer_counts_although_the_body_was_not_let_through() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[(INITIAL_WINDOW_SIZE, 0)], async |mut frames, _| {
        let stream = frames.request_head().await?;
        frames.answer(stream, 413, false).await?;
        frames.end().await;
        Ok(())
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_larger_than_any_window_is_sent_within_the_receivers_flow_control() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP2, async |request| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::from(body.len().to_string()))
    })
    .await;
    let body = Bytes::from(vec![b'x'; 3_000_000]);
    let sender = sender_for(&authority);
    let exchange = sender.post(GROUP, &receiver.url(), HeaderMap::new(), body).await;
    assert_eq!(exchange.result.unwrap().body, "3000000");
}
