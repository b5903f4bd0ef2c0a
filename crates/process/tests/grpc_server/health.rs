use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::ingest_service_server::IngestServiceServer;
use keeptrusts_webhooks_process::grpc_server::limits::ANSWER_TIMEOUT;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower_service::Service;

use crate::answers::{SlowReader, read_bytes, unread};
use crate::fixture::{Fixture, SERVICE, reason};

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
async fn a_watcher_of_health_hears_of_the_shutdown_and_does_not_delay_it() {
    let fixture = Fixture::start().await;
    let mut client = HealthClient::new(fixture.connect().await);
    let watched = client.watch(HealthCheckRequest { service: SERVICE.to_owned() }).await;
    let mut changes = watched.expect("a stream").into_inner();
    let first = changes.message().await.expect("no error").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);

    fixture.shutdown.cancel();
    fixture.health.set_by_name(SERVICE, true).await;
    let mut statuses = Vec::new();
    let end = loop {
        match changes.message().await {
            Ok(Some(change)) => statuses.push(change.status()),
            Ok(None) => panic!("the stream ends with a status"),
            Err(status) => break status.code(),
        }
    };
    assert_eq!(end, Code::Unavailable);
    assert_eq!(statuses, [ServingStatus::NotServing]);
    fixture.ended().await;
}

/// Time is paused: it passes when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn a_slow_watcher_of_health_hears_of_the_shutdown_before_its_stream_ends() {
    let mut fixture = Fixture::start().await;
    let uri = "http://server".parse().expect("a URI");
    let connection = fixture.in_process.call(uri).await.expect("connected").into_inner();
    let mut client = SlowReader::new(connection, 0).await;
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let answer = client.ask_service("grpc.health.v1.Health", "Watch", &request, &[]);
    let mut answer = unread(answer).await.expect("a stream");

    // The first status is not written yet, and the last one waits behind it.
    fixture.shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.opened.notify_one();
    let (mut bytes, trailers) = read_bytes(&mut answer).await;
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let length = 5 + usize::from(bytes[4]);
        let message = bytes.drain(..length).skip(5).collect::<Vec<u8>>();
        statuses.push(HealthCheckResponse::decode(&message[..]).expect("a message").status());
    }
    assert_eq!(statuses, [ServingStatus::Serving, ServingStatus::NotServing]);
    let end = Status::from_header_map(&trailers).expect("a status");
    assert_eq!(end.code(), Code::Unavailable, "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_read_for_a_minute_ends_so_that_its_client_begins_anew() {
    let mut fixture = Fixture::start().await;
    let uri = "http://server".parse().expect("a URI");
    let connection = fixture.in_process.call(uri).await.expect("connected").into_inner();
    let mut client = SlowReader::new(connection, 0).await;
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let answer = client.ask_service("grpc.health.v1.Health", "Watch", &request, &[]);
    let mut answer = unread(answer).await.expect("a stream");
    tokio::time::sleep(ANSWER_TIMEOUT + Duration::from_secs(1)).await;
    client.opened.notify_one();
    let (_, trailers) = read_bytes(&mut answer).await;
    let end = Status::from_header_map(&trailers).expect("a status");
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "NOT_READ"), "{end}");
}
