use keeptrusts_webhooks_contracts::v1::ingest_service_server::IngestServiceServer;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::fixture::{Fixture, SERVICE};

async fn status(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = client.check(request).await.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn each_service_has_its_health_and_the_server_that_of_all() {
    let fixture = Fixture::start().await;
    let client = &mut HealthClient::new(fixture.connect().await);
    assert_eq!(status(client, SERVICE).await, Ok(ServingStatus::Serving));
    assert_eq!(status(client, "").await, Ok(ServingStatus::Serving));
    assert_eq!(status(client, "no.such.Service").await, Err(Code::NotFound));

    fixture.health.set_by_name(SERVICE, false).await;
    assert_eq!(status(client, SERVICE).await, Ok(ServingStatus::NotServing));
    assert_eq!(status(client, "").await, Ok(ServingStatus::NotServing));

    fixture.health.set::<IngestServiceServer<()>>(true).await;
    assert_eq!(status(client, SERVICE).await, Ok(ServingStatus::Serving));
    assert_eq!(status(client, "").await, Ok(ServingStatus::Serving));
}

#[tokio::test]
async fn a_watcher_of_health_is_told_of_the_shutdown_and_does_not_hold_it_up() {
    let fixture = Fixture::start().await;
    let mut client = HealthClient::new(fixture.connect().await);
    let watched = client.watch(HealthCheckRequest { service: SERVICE.to_owned() }).await;
    let mut changes = watched.expect("a stream").into_inner();
    let first = changes.message().await.expect("no error").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);

    fixture.shutdown.cancel();
    fixture.health.set_by_name(SERVICE, true).await;
    let mut seen = Vec::new();
    let end = loop {
        match changes.message().await {
            Ok(Some(change)) => seen.push(change.status()),
            Ok(None) => panic!("the stream ends with a status"),
            Err(status) => break status.code(),
        }
    };
    assert_eq!(end, Code::Unavailable);
    assert_eq!(seen, [ServingStatus::NotServing]);
    fixture.ended().await;
}
