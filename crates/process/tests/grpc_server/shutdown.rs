use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use tokio::net::TcpStream;
use tonic::Code;

use crate::fixture::{Fixture, PATIENCE, reason};

/// Waits until the listening socket is closed, which is the first step of a shutdown.
async fn no_longer_listening(fixture: &Fixture) {
    let refused = async {
        while TcpStream::connect(fixture.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the socket closes");
}

#[tokio::test]
async fn a_request_in_flight_may_finish() {
    let fixture = Fixture::start().await;
    let request = fixture.request_in_flight().await;
    fixture.shutdown.cancel();
    no_longer_listening(&fixture).await;
    assert!(!fixture.served.is_finished(), "it waits for the request");
    fixture.gate.open();
    let answer = request.await.expect("no panic").expect("an answer");
    assert_eq!(answer, "finished");
    fixture.ended().await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_grace_period_is_told_to_ask_again() {
    let fixture = Fixture::with_grace_period(Duration::from_millis(50)).await;
    let request = fixture.request_in_flight().await;
    fixture.shutdown.cancel();
    let status = request.await.expect("no panic").expect_err("the gate stays closed");
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    fixture.ended().await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_shutdown() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.list_events(v1::ListEventsRequest::default()).await.expect("an answer");
    fixture.shutdown.cancel();
    fixture.ended().await;
    let refused = client.list_events(v1::ListEventsRequest::default()).await;
    assert_eq!(refused.expect_err("nobody is there").code(), Code::Unavailable);
}
