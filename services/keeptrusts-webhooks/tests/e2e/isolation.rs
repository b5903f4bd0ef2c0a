//! Invariants 8 and 9: an endpoint that hangs, with thousands of deliveries behind it, delays no
//! other, and its backlog waits in the database.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::process::Process;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tokio::time::sleep;

const BACKLOG: usize = 3_000;
const BATCH: usize = 1_000;
const HEALTHY: [&str; 3] = ["/siem", "/pager", "/archive"];
/// Long enough that a delivery that waits for a hanging request is late.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// From publishing to the receiver. It takes milliseconds on an idle machine.
const MAX_DELAY: Duration = Duration::from_secs(4);
const MAX_MEMORY: u64 = 256 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn invariants_8_and_9_a_hanging_endpoint_delays_no_other_and_waits_outside_of_memory() {
    let hanging = Script::always(Reply::Hang);
    let scripts = HEALTHY.map(|path| (path, Script::default()));
    let receiver =
        Receiver::start(Script::by_path(scripts.into_iter().chain([("/dead", hanging)])));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let types = ["policy.violation", "key.rotated"];
    let dead = client.create_endpoint(&receiver.url("/dead"), &types).await;
    for path in HEALTHY {
        client.create_endpoint(&receiver.url(path), &["key.rotated"]).await;
    }
    publish_backlog(&client).await;
    let to = |path: &str| receiver.requests().iter().filter(|it| it.path == path).count();
    receiver.wait_until(|requests| !requests.is_empty(), PATIENCE).await;

    // For longer than the hanging requests last, so that their ends are included.
    let begun = Instant::now();
    let mut published = BTreeMap::new();
    while begun.elapsed() < REQUEST_TIMEOUT + Duration::from_secs(2) {
        let at = Instant::now();
        published.insert(client.publish("key.rotated", "{}").await, at);
        sleep(Duration::from_millis(50)).await;
    }
    let all = |path: &str| to(path) == published.len();
    eventually("the healthy ones have everything", async || {
        HEALTHY.iter().all(|path| all(path)).then_some(())
    })
    .await;

    let requests = receiver.requests();
    let healthy = requests.iter().filter(|request| request.path != "/dead");
    let delays = healthy.map(|request| {
        request.arrived - published[request.header("webhook-id").expect("it has an id")]
    });
    let longest = delays.max().expect("there were some");
    let memory = resident_memory(server.process());
    println!("longest delay {longest:?}, {} MiB of memory", memory / 1024 / 1024);
    assert!(longest < MAX_DELAY, "delivered after {longest:?}");
    assert!(memory < MAX_MEMORY, "{memory} bytes of memory");

    let request = v1::ListDeliveriesRequest {
        organization_id: client.organization(),
        endpoint_ids: vec![dead.id],
        states: vec![v1::delivery::State::Scheduled.into()],
        page_size: 1_000,
        ..Default::default()
    };
    let page = client.dispatch().list_deliveries(request).await.expect("they are listed");
    let page = page.into_inner();
    let has_more = !page.next_page_token.is_empty();
    assert!(page.deliveries.len() == 1_000 && has_more, "the backlog is one to the end");
}

async fn publish_backlog(client: &Client) {
    use v1::batch_publish_events_response as response;
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000));
    for _ in 0..BACKLOG / BATCH {
        let event = client.event("policy.violation", &data);
        let request = v1::BatchPublishEventsRequest {
            organization_id: client.organization(),
            requests: vec![event; BATCH],
        };
        let answer =
            client.ingest().batch_publish_events(request).await.expect("a batch is accepted");
        for result in answer.into_inner().results {
            let is_accepted = matches!(result.result, Some(response::result::Result::Response(_)));
            assert!(is_accepted, "{result:?}");
        }
    }
}

/// A process's resident memory, in bytes.
fn resident_memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.expect("Linux says how much") * 1024
}
