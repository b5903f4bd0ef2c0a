//! Clients that flood the server with frames that cost them nothing.

use std::time::Duration;

use keeptrusts_webhooks_process::grpc_server::LimitFlags;

use crate::fixture::{Fixture, peer};
use crate::raw::{ENHANCE_YOUR_CALM, NO_ERROR, RawClient, malformed_request, ping, request, reset};

/// Streams of a client have odd numbers.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| 2 * index + 1)
}

#[tokio::test]
async fn a_flood_of_pings_ends_its_connection_and_no_other() {
    let limits = LimitFlags { max_control_frames: 100, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let other = fixture.connect().await;
    let mut flood = RawClient::begun(fixture.address).await;
    flood.send(&ping().repeat(1_000)).await;
    flood.ends_without_a_word().await;
    peer(other).await.expect("the others are served");
}

#[tokio::test]
async fn requests_that_are_reset_again_and_again_end_their_connection() {
    let limits = LimitFlags { max_control_frames: 100, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let other = fixture.connect().await;
    let mut flood = RawClient::begun(fixture.address).await;
    for stream in streams(1_000) {
        // One by one, so that the server has started each before it is reset.
        flood.send(&request(stream, "/keeptrusts.webhooks.v1.IngestService/GetEvent")).await;
        flood.send(&reset(stream)).await;
    }
    flood.ends_without_a_word().await;
    peer(other).await.expect("the others are served");
}

/// Rapid reset, CVE-2023-44487.
#[tokio::test]
async fn requests_that_are_reset_at_once_end_their_connection() {
    let limits = LimitFlags { max_early_resets: 5, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let other = fixture.connect().await;
    let mut flood = RawClient::begun(fixture.address).await;
    // The flag sets a lower limit.
    let pairs = streams(15).map(|stream| [request(stream, "/"), reset(stream)].concat());
    flood.send(&pairs.collect::<Vec<_>>().concat()).await;
    assert_eq!(flood.read_to_end().await, [ENHANCE_YOUR_CALM]);
    peer(other).await.expect("the others are served");
}

#[tokio::test]
async fn requests_that_break_the_rules_of_http_end_their_connection() {
    let limits = LimitFlags { max_stream_errors: 5, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let other = fixture.connect().await;
    let mut flood = RawClient::begun(fixture.address).await;
    let malformed: Vec<_> = streams(100).map(malformed_request).collect();
    flood.send(&malformed.concat()).await;
    assert_eq!(flood.read_to_end().await, [ENHANCE_YOUR_CALM]);
    peer(other).await.expect("the others are served");
}

#[tokio::test]
async fn a_connection_takes_no_more_requests_at_once_than_it_says() {
    let limits = LimitFlags { max_streams_per_connection: 3, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let stream = tokio::net::TcpStream::connect(fixture.address).await.expect("accepted");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let driven = tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    let uri = format!("http://{}/no.such.Service/Method", fixture.address);
    let request = http::Request::post(uri).body(()).expect("a request");
    let (answer, _) = client.send_request(request, true).expect("sent");
    answer.await.expect("an answer, and the server's settings before it");
    assert_eq!(client.current_max_send_streams(), 3);
    driven.abort();
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_dead() {
    let limits = LimitFlags {
        keepalive_interval: Duration::from_millis(20),
        keepalive_timeout: Duration::from_millis(20),
        ..LimitFlags::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let dead = RawClient::begun(fixture.address).await;
    assert_eq!(dead.read_to_end().await, [NO_ERROR]);
}
