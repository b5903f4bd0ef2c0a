//! Clients within the process.

use keeptrusts_webhooks_process::grpc_server::LimitFlags;
use tonic::transport::Endpoint;

use crate::fixture::{Fixture, peer};

#[tokio::test]
async fn a_client_within_the_process_needs_no_connection_permit_and_has_no_address() {
    let limits = LimitFlags { max_connections: 1, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let taken = fixture.connect().await;
    peer(taken.clone()).await.expect("served");
    let endpoint = Endpoint::from_static("http://this-process");
    for _ in 0..3 {
        let channel = endpoint.connect_with_connector_lazy(fixture.in_process.clone());
        assert_eq!(peer(channel).await.expect("served"), "this process");
    }
}

#[tokio::test]
async fn a_server_that_has_ended_refuses_clients_within_the_process() {
    let fixture = Fixture::start().await;
    let in_process = fixture.in_process.clone();
    fixture.shutdown.cancel();
    fixture.ended().await;
    let channel =
        Endpoint::from_static("http://this-process").connect_with_connector_lazy(in_process);
    peer(channel).await.expect_err("nobody is there");
}
