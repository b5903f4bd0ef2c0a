//! Limits on connections: their number, their handshakes, their age.

use std::time::Duration;

use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use tokio::net::TcpStream;

use crate::fixture::{Fixture, PATIENCE, peer};
use crate::raw::RawClient;

/// Waits until a permit is free and a client is served.
async fn served_in_the_end(fixture: &Fixture) {
    let served = async {
        loop {
            let endpoint = format!("http://{}", fixture.address);
            let endpoint = tonic::transport::Channel::from_shared(endpoint).expect("a URI");
            if peer(endpoint.connect_lazy()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("there is a place again");
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_preface_is_disconnected_in_time() {
    let handshake_timeout = Duration::from_secs(1);
    let fixture =
        Fixture::with_limits(LimitFlags { handshake_timeout, ..LimitFlags::default() }).await;
    let begun = fixture.connect().await;
    peer(begun.clone()).await.expect("served");

    let silent = RawClient::silent(fixture.address).await;
    let mut stammering = RawClient::silent(fixture.address).await;
    stammering.send(b"PRI * HTTP/2.0\r\n").await;
    silent.ends_without_a_word().await;
    stammering.ends_without_a_word().await;
    peer(begun).await.expect("a connection that has begun stays, however long");
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    for limits in [
        // One address gets half of them.
        LimitFlags { max_connections: 4, ..LimitFlags::default() },
        LimitFlags { max_connections_per_peer: 2, ..LimitFlags::default() },
    ] {
        let fixture = Fixture::with_limits(limits).await;
        let first = fixture.connect().await;
        peer(first.clone()).await.expect("served");
        let mut second = RawClient::begun(fixture.address).await;
        second.hears_something().await;
        // Closed at once, without a GOAWAY.
        RawClient::begun(fixture.address).await.ends_without_a_word().await;
        let mut elsewhere = RawClient::begun_from("127.0.0.2:0", fixture.address).await;
        elsewhere.hears_something().await;
        peer(first).await.expect("those that are there are served");
        drop(second);
        served_in_the_end(&fixture).await;
    }
}

#[tokio::test]
async fn there_are_no_more_handshakes_at_once_than_allowed() {
    let fixture =
        Fixture::with_limits(LimitFlags { max_handshakes: 1, ..LimitFlags::default() }).await;
    let first = fixture.connect().await;
    peer(first.clone()).await.expect("served, so that its handshakes are over");
    // The server sends its SETTINGS first, also to a silent client.
    let mut silent = RawClient::silent(fixture.address).await;
    silent.hears_something().await;
    RawClient::begun(fixture.address).await.ends_without_a_word().await;
    peer(first).await.expect("those that are there are served");
    drop(silent);
    served_in_the_end(&fixture).await;
}

#[tokio::test]
async fn a_connection_of_the_maximum_age_ends_gracefully() {
    let limits = LimitFlags {
        max_connection_age: Some(Duration::from_millis(500)),
        ..LimitFlags::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let request = fixture.request_in_flight().await;
    let stream = TcpStream::connect(fixture.address).await.expect("accepted");
    let (_client, old) = h2::client::handshake(stream).await.expect("HTTP/2");
    let ended = tokio::time::timeout(PATIENCE, old).await.expect("it ends");
    ended.expect("without an error: the client was told to connect again");
    fixture.gate.open();
    let answer = request.await.expect("no panic").expect("what was under way is finished");
    assert_eq!(answer, "finished");
}
