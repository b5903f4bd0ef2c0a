//! Servers that are killed and stopped while clients publish and watch: nothing is lost, and nothing
//! counts twice.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use keeptrusts_webhooks_client::verify::Verifier;
use keeptrusts_webhooks_client::{Client, Event, v1};
use keeptrusts_webhooks_testkit::random::Random;
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Reply, Script};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::platform::{PATIENCE, Platform};

const RESTARTS: usize = 8;
const TASKS: usize = 4;

fn event(data: &str) -> Event {
    Event::new("acme", "policy.violation", data)
}

/// Kills and stops the server at random moments.
async fn restart(platform: &mut Platform) {
    let mut random = Random::of_new_seed();
    for number in 0..RESTARTS {
        sleep(random.duration(Duration::from_millis(700))).await;
        match number % 4 {
            3 => platform.stop_and_start().await,
            _ => platform.kill_and_start().await,
        }
    }
}

/// Every event of the organization: ids by idempotency keys.
async fn stored(client: &Client) -> BTreeMap<String, String> {
    let organization_id = "acme".to_owned();
    let request = v1::ListEventsRequest { organization_id, page_size: 100, ..Default::default() };
    let events: Vec<_> = client.items(request).try_collect().await.expect("events are listed");
    let count = events.len();
    let stored: BTreeMap<_, _> =
        events.into_iter().map(|event| (event.idempotency_key, event.id)).collect();
    assert_eq!(stored.len(), count, "no key is of two events");
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_published_one_by_one_survive_restarts_and_count_once() {
    let mut platform = Platform::start(&[]).await;
    let client = platform.client();
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (client, stopped) = (client.clone(), stopped.clone());
        tasks.spawn(async move {
            let mut ids = Vec::new();
            while !*stopped.borrow() {
                let published = client.publish(event("{}")).await;
                ids.push(published.expect("it is repeated until it is accepted").event_id);
            }
            ids
        });
    }
    restart(&mut platform).await;
    stop.send_replace(true);
    let ids: Vec<_> = tasks.join_all().await.concat();
    let stored: BTreeSet<_> = stored(&client).await.into_values().collect();
    assert!(ids.len() > 10 * RESTARTS, "{} events are no load", ids.len());
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), stored);
    assert_eq!(ids.len(), stored.len(), "no event was acknowledged twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_stream_survive_restarts_and_count_once() {
    let mut platform = Platform::start(&[]).await;
    let client = platform.client();
    let publisher = client.event_publisher("acme").max_events(200).start();
    let (stop, stopped) = watch::channel(false);
    let publishing = tokio::spawn(async move {
        let mut acknowledgements = Vec::new();
        while !*stopped.borrow() {
            let key = acknowledgements.len().to_string();
            let event = event("{}").idempotency_key(key);
            acknowledgements.push(publisher.publish(event).await.expect("taken"));
            // Enough for a few thousand events.
            if acknowledgements.len() % 20 == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        publisher.close().await.expect("everything is acknowledged");
        acknowledgements
    });
    restart(&mut platform).await;
    stop.send_replace(true);
    let acknowledgements = timeout(PATIENCE, publishing).await.expect("in time").expect("no panic");

    let stored = stored(&client).await;
    assert!(acknowledgements.len() > 10 * RESTARTS, "{} events", acknowledgements.len());
    assert_eq!(stored.len(), acknowledgements.len(), "nothing is lost, nothing doubled");
    for (number, acknowledgement) in acknowledgements.into_iter().enumerate() {
        let accepted = acknowledgement.await.expect("accepted");
        assert_eq!(stored.get(&number.to_string()), Some(&accepted.event_id));
    }
}

/// What a watch has seen.
#[derive(Default)]
struct Seen {
    /// The events whose delivery has succeeded.
    delivered: BTreeSet<String>,
    /// The tokens of all changes.
    tokens: Vec<String>,
}

/// Watches until the test ends.
fn watch(client: &Client) -> watch::Receiver<Seen> {
    let organization_id = "acme".to_owned();
    let request = v1::WatchDeliveriesRequest { organization_id, ..Default::default() };
    let changes = client.watch(request);
    let (seen, seen_so_far) = watch::channel(Seen::default());
    tokio::spawn(async move {
        let mut changes = pin!(changes);
        while let Some(change) = changes.try_next().await.expect("it goes on") {
            let delivery = change.delivery.expect("a delivery");
            seen.send_modify(|seen| {
                seen.tokens.push(change.resume_token);
                if delivery.state() == v1::delivery::State::Delivered {
                    seen.delivered.insert(delivery.event_id);
                }
            });
        }
    });
    seen_so_far
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sees_every_delivery_across_restarts_and_the_receiver_verifies_each() {
    let receiver = Receiver::start(Script::new(|_| Reply::ok()));
    let ca = receiver.ca_file().to_str().expect("UTF-8").to_owned();
    let allowed = ["--trust-ca", &ca, "--allow-network", "127.0.0.0/8"];
    let mut platform = Platform::start(&allowed).await;
    let client = platform.client();
    let endpoint = v1::Endpoint {
        display_name: "receiver".to_owned(),
        url: receiver.url("/hook"),
        event_types: vec!["policy.violation".to_owned()],
        ..Default::default()
    };
    let request = v1::CreateEndpointRequest {
        organization_id: "acme".to_owned(),
        endpoint: Some(endpoint),
        ..Default::default()
    };
    let secret = client.create_endpoint(request).await.expect("created").secret;

    let mut seen = watch(&client);
    let mut published = BTreeSet::new();
    // A watch resumes after what it has seen, so it sees something first: until then it may not have
    // begun yet when an event is published.
    while seen.borrow().tokens.is_empty() {
        client.publish(event("{}")).await.expect("published");
        let _ = timeout(Duration::from_millis(500), seen.changed()).await;
    }
    for number in 0..RESTARTS {
        for _ in 0..20 {
            published.insert(client.publish(event("{}")).await.expect("published").event_id);
        }
        match number % 2 {
            0 => platform.kill_and_start().await,
            _ => platform.stop_and_start().await,
        }
    }
    let all = seen.wait_for(|seen| published.is_subset(&seen.delivered));
    let tokens = timeout(PATIENCE, all).await.expect("every delivery is seen").expect("it watches");
    let tokens = tokens.tokens.clone();
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len(), "no change comes twice");

    let verifier = Verifier::new(secret).expect("a secret");
    let requests = receiver.requests();
    assert!(requests.len() >= published.len());
    for request in requests {
        let ReceivedRequest { headers, body, arrived_at, .. } = &*request;
        verifier.verify_at(headers, body, *arrived_at).expect("signed");
        verifier.verify_body(headers, body).expect("signed");
    }
}
