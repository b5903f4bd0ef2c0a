//! SIGTERM and SIGINT: what is under way is finished, nothing new begins.

use std::time::Duration;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::process::Signal;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic::Code;
use tonic::transport::Endpoint as Target;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const ANSWER_TIME: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_process_when_the_attempts_under_way_are_recorded() {
    the_process_ends_in_order(Signal::Term).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_ends_the_process_when_the_attempts_under_way_are_recorded() {
    the_process_ends_in_order(Signal::Int).await;
}

async fn the_process_ends_in_order(signal: Signal) {
    let receiver = Receiver::start(Script::always(Reply::ok().after(ANSWER_TIME)));
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
    let mut process = serve.start_process();
    let address = process.wait_for_listening(PATIENCE).await;
    let client = Client::new("acme", address, address, address);
    client.create_endpoint(&receiver.url("/hook"), &["key.rotated"]).await;
    let event_id = client.publish("key.rotated", "{}").await;

    let target = Target::from_shared(format!("http://{address}")).expect("a URL");
    let mut health = HealthClient::new(target.connect_lazy());
    let whole_server = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(whole_server).await.expect("a stream").into_inner();
    // It serves only after it has taken its shards.
    let mut status = ServingStatus::NotServing;
    while status != ServingStatus::Serving {
        status = changes.message().await.expect("no error").expect("a status").status();
    }
    receiver.wait_for(1, PATIENCE).await;

    // `timeout` sends one signal to the process and one to its group.
    process.signal(signal);
    process.signal(signal);
    let next = changes.message().await.expect("no error").expect("a status");
    assert_eq!(next.status(), ServingStatus::NotServing);
    // What reaches the server before the client learns of the end is accepted and recorded.
    let mut accepted = vec![event_id.clone()];
    let refused = eventually("publishing is refused", async || {
        let event = client.event("key.rotated", "{}");
        match client.ingest().publish_event(event).await {
            Ok(answer) => {
                accepted.push(answer.into_inner().event_id);
                None
            }
            Err(status) => Some(status),
        }
    })
    .await;
    // The server answers UNAVAILABLE. A request that meets the end of its connection gets an error
    // of the client itself, with another text. Such an error has a transport error as its source,
    // which no answer of a server has.
    let ended = [Code::Unavailable, Code::Cancelled, Code::Internal];
    let is_the_clients_own = std::error::Error::source(&refused).is_some();
    assert!(ended.contains(&refused.code()) || is_the_clients_own, "{refused:?}");
    let status = process.wait_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");

    let server = serve.start().await;
    let client = server.client("acme");
    let routed = client.deliveries_of(&event_id).await;
    let delivery = client.delivery(&routed[0].id).await;
    assert_eq!(
        delivery.state(),
        v1::delivery::State::Delivered,
        "recorded at the end: {delivery:?}"
    );
    for event_id in &accepted {
        let delivery = client.wait_for_state(event_id, v1::delivery::State::Delivered).await;
        assert_eq!(delivery.attempts.len(), 1, "{delivery:?}");
    }
    // The request that met the end may have been accepted as well.
    let received = receiver.wait_for(accepted.len(), PATIENCE).await;
    let mut ids: Vec<_> = received.iter().map(|request| request.header("webhook-id")).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "nothing was sent twice: {ids:?}");
    assert!(receiver.request_count() <= accepted.len() + 1);
}
