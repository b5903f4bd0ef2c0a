//! What only HTTP/2 has: streams, GOAWAY, REFUSED_STREAM, PING.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keeptrusts_webhooks_outbound::{
    ConnectionGroup, HttpExchange, OutboundConfig, Remark, SendFailure, Sender,
};
use keeptrusts_webhooks_testkit::http2::{Connection, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use crate::certificates::Authority;
use crate::receiver::{HTTP2, Receiver, empty};
use crate::{GROUP, config_for, post, post_as, sender_for};

pub(crate) type Frames = Connection<TlsStream<TcpStream>>;

/// A receiver that serves each connection frame by frame. `serve` gets the connection's number, from 1.
pub(crate) async fn receiver<Serve, Serving>(
    authority: &Authority,
    settings: &'static [(u16, u32)],
    serve: Serve,
) -> Receiver
where
    Serve: Fn(Frames, usize) -> Serving + Clone + Send + Sync + 'static,
    Serving: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let connections = Arc::new(AtomicUsize::new(0));
    Receiver::tls(authority.identity(), HTTP2, move |stream| {
        let serve = serve.clone();
        let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if let Ok(frames) = Connection::begin(stream, settings).await {
                // Fails when the sender hangs up.
                let _ = serve(frames, number).await;
            }
        }
    })
    .await
}

pub(crate) async fn burst(sender: &Sender, receiver: &Receiver, count: usize) -> Vec<HttpExchange> {
    let mut posts = JoinSet::new();
    for _ in 0..count {
        let (sender, url) = (sender.clone(), receiver.url());
        posts.spawn(async move { post(&sender, &url).await });
    }
    posts.join_all().await
}

#[tokio::test]
async fn requests_that_a_goaway_leaves_unprocessed_are_sent_again_at_once() {
    let authority = Authority::new();
    let processed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&processed);
    let receiver = receiver(&authority, &[], move |mut frames, _| {
        let count = Arc::clone(&count);
        async move {
            let mut last = 0;
            for _ in 0..3 {
                last = frames.request().await?;
                frames.answer(last, 200, false).await?;
                count.fetch_add(1, Ordering::SeqCst);
            }
            frames.go_away(last, NO_ERROR).await?;
            frames.end().await;
            Ok(())
        }
    })
    .await;
    let sender = sender_for(&authority);
    let mut sent_again = 0;
    for _ in 0..3 {
        for exchange in burst(&sender, &receiver, 20).await {
            assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
            assert!(exchange.remarks.iter().all(|r| *r == Remark::SentAgainNotProcessed));
            sent_again += exchange.remarks.len();
        }
    }
    assert_eq!(processed.load(Ordering::SeqCst), 60, "none was processed twice");
    assert!(sent_again > 0);
}

#[tokio::test]
async fn a_request_that_is_refused_is_sent_again_on_another_connection() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, number| {
        loop {
            let stream = frames.request().await?;
            match number {
                1 => frames.reset(stream, REFUSED_STREAM).await?,
                _ => frames.answer(stream, 204, false).await?,
            }
        }
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(exchange.remarks, [Remark::SentAgainNotProcessed]);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_receiver_that_never_processes_a_request_is_given_up() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        frames.request().await?;
        frames.go_away(0, NO_ERROR).await?;
        frames.end().await;
        Ok(())
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::NeverProcessed { connections: 9 }));
    assert_eq!(receiver.connections(), 9);
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    for (goes_away, expected) in
        [(true, SendFailure::ConnectionClosed), (false, SendFailure::RequestReset)]
    {
        let authority = Authority::new();
        let receiver = receiver(&authority, &[], move |mut frames: Frames, _| async move {
            let stream = frames.request().await?;
            match goes_away {
                true => frames.go_away(stream, INTERNAL_ERROR).await?,
                false => frames.reset(stream, INTERNAL_ERROR).await?,
            }
            frames.end().await;
            Ok(())
        })
        .await;
        let exchange = post(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(exchange.result, Err(expected));
        assert_eq!(exchange.remarks, []);
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn a_request_that_meets_a_used_connection_being_closed_is_sent_once_more() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let first = frames.request().await?;
        frames.answer(first, 200, false).await?;
        frames.request().await?;
        frames.end().await;
        Ok(())
    })
    .await;
    let sender = sender_for(&authority);
    assert_eq!(post(&sender, &receiver.url()).await.remarks, []);
    let second = post(&sender, &receiver.url()).await;
    assert_eq!(second.result.unwrap().status, StatusCode::OK);
    assert_eq!(second.remarks, [Remark::SentAgainMaybeProcessed]);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_request_is_not_sent_again_if_its_answer_had_begun() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let first = frames.request().await?;
        frames.answer(first, 200, false).await?;
        let second = frames.request().await?;
        frames.answer(second, 103, true).await?;
        frames.end().await;
        Ok(())
    })
    .await;
    let sender = sender_for(&authority);
    post(&sender, &receiver.url()).await.result.unwrap();
    let second = post(&sender, &receiver.url()).await;
    assert_eq!(second.result, Err(SendFailure::ConnectionClosed));
    assert_eq!((second.remarks, receiver.connections()), (vec![], 1));
}

#[tokio::test]
async fn no_more_requests_are_on_a_connection_than_the_receiver_allows() {
    let authority = Authority::new();
    // None is answered before all have arrived.
    let all_are_there = Arc::new(Barrier::new(20));
    let receiver = Receiver::tls(authority.identity(), HTTP2, move |stream| {
        let all_are_there = Arc::clone(&all_are_there);
        async move {
            let service = service_fn(|_| {
                let all_are_there = Arc::clone(&all_are_there);
                async move {
                    all_are_there.wait().await;
                    Ok::<_, Infallible>(empty(200))
                }
            });
            // Refuses those that are too many.
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(4);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    for exchange in burst(&sender_for(&authority), &receiver, 20).await {
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert_eq!(exchange.remarks, []);
    }
    assert_eq!(receiver.connections(), 5);
}

#[tokio::test]
async fn an_answer_whose_body_is_reset_counts() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, number| {
        let stream = frames.request().await?;
        frames.answer(stream, 201, true).await?;
        frames.body(stream, b"half", false).await?;
        match number {
            1 => frames.reset(stream, INTERNAL_ERROR).await?,
            2 => frames.reset(stream, NO_ERROR).await?,
            _ => {}
        }
        frames.end().await;
        Ok(())
    })
    .await;
    for remarks in [vec![Remark::BodyEndedEarly], vec![], vec![Remark::BodyEndedEarly]] {
        let exchange = post(&sender_for(&authority), &receiver.url()).await;
        let answer = exchange.result.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"half"[..]));
        assert_eq!(exchange.remarks, remarks);
    }
}

#[tokio::test]
async fn an_endless_run_of_informational_answers_is_given_up() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let stream = frames.request().await?;
        loop {
            frames.answer(stream, 103, true).await?;
        }
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::TooManyInformational));
}

#[tokio::test]
async fn invariant_8_a_flood_of_frames_that_carry_nothing_is_given_up() {
    let authority = Authority::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let receiver = receiver(&authority, &[], move |mut frames, _| {
        let count = Arc::clone(&count);
        async move {
            frames.request().await?;
            loop {
                frames.pings(100).await?;
                count.fetch_add(100, Ordering::SeqCst);
            }
        }
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::Flooded));
    assert_eq!(exchange.remarks, [], "it is not sent again");
    // 17 bytes each, and what is in the network's buffers.
    assert!(sent.load(Ordering::SeqCst) < 1_000_000, "{sent:?}");
}

#[tokio::test]
async fn pings_among_answers_are_no_flood() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        loop {
            let stream = frames.request().await?;
            frames.pings(1_000).await?;
            frames.answer(stream, 200, false).await?;
        }
    })
    .await;
    let sender = sender_for(&authority);
    for _ in 0..200 {
        let exchange = post(&sender, &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert_eq!(exchange.remarks, []);
    }
}

#[tokio::test]
async fn a_few_informational_answers_are_skipped() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        loop {
            let stream = frames.request().await?;
            for status in [100, 103, 103] {
                frames.answer(stream, status, true).await?;
            }
            frames.answer(stream, 200, false).await?;
        }
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_silent_connection_is_detected_and_its_requests_are_sent_again() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, number| {
        let first = frames.request().await?;
        frames.answer(first, 200, false).await?;
        // Like a receiver that has vanished: no answer, no acknowledgement of PINGs, no end.
        frames.answers_pings = number > 1;
        loop {
            let stream = frames.request().await?;
            if number > 1 {
                frames.answer(stream, 200, false).await?;
            }
        }
    })
    .await;
    let sender = sender_for(&authority);
    post(&sender, &receiver.url()).await.result.unwrap();
    for exchange in burst(&sender, &receiver, 3).await {
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert_eq!(exchange.remarks, [Remark::SentAgainMaybeProcessed]);
        assert!(exchange.duration < Duration::from_secs(10), "{:?}", exchange.duration);
    }
}

#[tokio::test]
async fn a_connection_that_is_silent_from_its_first_requests_on_is_detected_as_well() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, number| {
        let first = frames.request().await?;
        if number == 1 {
            frames.request().await?;
            frames.answers_pings = false;
        }
        frames.answer(first, 200, false).await?;
        frames.request().await?;
        Ok(())
    })
    .await;
    let exchanges = burst(&sender_for(&authority), &receiver, 2).await;
    let mut remarks = Vec::new();
    for exchange in exchanges {
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        remarks.extend(exchange.remarks);
    }
    assert_eq!(remarks, [Remark::SentAgainMaybeProcessed]);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_slow_receiver_that_answers_pings_is_waited_for() {
    let authority = Authority::new();
    let receiver = receiver(&authority, &[], async |mut frames, _| {
        let first = frames.request().await?;
        frames.answer(first, 200, false).await?;
        let second = frames.request().await?;
        let answered = tokio::time::timeout(Duration::from_secs(8), frames.request()).await;
        assert!(answered.is_err());
        frames.answer(second, 200, false).await
    })
    .await;
    let sender = sender_for(&authority);
    post(&sender, &receiver.url()).await.result.unwrap();
    let second = post(&sender, &receiver.url()).await;
    assert_eq!(second.result.unwrap().status, StatusCode::OK);
    assert_eq!(second.remarks, []);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_receiver_that_agrees_to_http_2_and_does_not_start_it_is_reported_as_such() {
    let authority = Authority::new();
    let config =
        OutboundConfig { connect_timeout: Duration::from_millis(500), ..config_for(&authority) };
    let sender = Sender::new(config).unwrap();

    let closing = Receiver::tls(authority.identity(), HTTP2, async |_| {}).await;
    let exchange = post(&sender, &closing.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::Http2NotBegun));

    let silent = Receiver::tls(authority.identity(), HTTP2, async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let exchange = post(&sender, &silent.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::Http2TimedOut));
}

/// Invariant 8.
#[tokio::test]
async fn a_hanging_request_of_one_group_delays_no_other_group_at_the_same_host() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP2, async |request| {
        if request.uri().path() == "/hang" {
            std::future::pending::<()>().await;
        }
        empty(200)
    })
    .await;
    let sender = sender_for(&authority);
    let hanging = receiver.url().to_string().replace("/hook", "/hang").parse().unwrap();
    let mut posts = JoinSet::new();
    for group in [2, 3] {
        for _ in 0..64 {
            let (sender, url): (_, http::Uri) = (sender.clone(), http::Uri::clone(&hanging));
            posts.spawn(async move { post_as(ConnectionGroup::new(group), &sender, &url).await });
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..5 {
        let exchange = post_as(GROUP, &sender, &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert!(exchange.duration < Duration::from_secs(1), "{:?}", exchange.duration);
    }
    assert_eq!(receiver.connections(), 3, "one for each group");
}

#[tokio::test]
async fn a_request_that_waited_for_a_slot_has_its_full_time_limit() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP2, async |_| {
        tokio::time::sleep(Duration::from_millis(700)).await;
        empty(200)
    })
    .await;
    let config = OutboundConfig {
        max_connections: 1,
        request_timeout: Duration::from_millis(1500),
        ..config_for(&authority)
    };
    let sender = Sender::new(config).unwrap();
    let mut posts = JoinSet::new();
    for group in 1..=5 {
        let (sender, url) = (sender.clone(), receiver.url());
        posts.spawn(async move { post_as(ConnectionGroup::new(group), &sender, &url).await });
    }
    for exchange in posts.join_all().await {
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert!(exchange.duration < Duration::from_millis(1500), "{:?}", exchange.duration);
    }
}
