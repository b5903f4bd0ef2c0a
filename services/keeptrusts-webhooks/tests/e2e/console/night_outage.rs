//! A receiver is down for a night. Its owner has only the console and a Slack channel: they report
//! it at once, and in the morning what was missed is replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keeptrusts_webhooks_contracts::v1::delivery;
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Reply, Script};
use keeptrusts_webhooks_testkit::vendors;

use crate::console::fixture::ConsoleFixture;
use crate::platform::eventually;

const SLACK: &str = "/services/T0/B0/slacksecret";
const SIEM: &str = "/siem";

/// Slack always answers; the receiver answers with `siem`.
fn script(siem: Reply) -> Script {
    let slack = Reply::ok().with_body("ok");
    Script::by_path([(SLACK, Script::always(slack)), (SIEM, Script::always(siem))])
}

fn came_to(fixture: &ConsoleFixture, path: &str) -> Vec<Arc<ReceivedRequest>> {
    let requests = fixture.receiver.requests().into_iter();
    requests.filter(|request| request.path == path).collect()
}

/// The fallback text of each message in the Slack channel.
fn posted(fixture: &ConsoleFixture) -> Vec<String> {
    let messages = came_to(fixture, SLACK).into_iter().map(|request| {
        vendors::check_slack_message(&request.body).expect("Slack takes it");
        let message: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        message["text"].as_str().expect("a text").to_owned()
    });
    messages.collect()
}

async fn publish(fixture: &ConsoleFixture, count: usize, state: delivery::State) -> Vec<String> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(fixture.client.publish("policy.block", "{}").await);
    }
    for event_id in &events {
        fixture.client.wait_for_state(event_id, state).await;
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_notified_at_once_and_its_events_are_replayed_in_the_morning() {
    let fixture = ConsoleFixture::start(script(Reply::ok()), "20ms,40ms").await;
    let browser = &fixture.browser;
    browser.click(Role::Link, "Notification channels").await;
    browser.click(Role::Button, "Create Channel").await;
    browser.click(Role::Button, "Next").await;
    browser.fill("Name", "on call").await;
    browser.fill("Webhook URL", &fixture.receiver.url(SLACK)).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "on call").await;
    let id = fixture.endpoint("siem", SIEM, &["policy.block"]).await;
    let mut events = publish(&fixture, 10, delivery::State::Delivered).await;

    // Evening: the receiver goes down.
    fixture.receiver.set_script(script(Reply::status(503)));
    events.extend(publish(&fixture, 30, delivery::State::Failed).await);
    let heard = eventually("the channel hears of it", async || {
        let heard = posted(&fixture);
        (heard.len() >= 2).then_some(heard)
    })
    .await;
    // However many have failed, there is one message for the hour.
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().any(|text| text.contains("siem is degraded")), "{heard:?}");
    assert!(heard.iter().any(|text| text.contains("failed for good")), "{heard:?}");

    // Morning: the console says what has happened, and leads to the remedy.
    fixture.receiver.set_script(script(Reply::ok()));
    fixture.open("/webhooks").await;
    let rows = browser.rows("table[aria-label=Endpoints] tbody tr").await;
    assert_eq!(rows[0][2], "Degraded");
    browser.click(Role::Link, "siem").await;
    let summary = browser.text("#summary").await;
    assert!(
        summary.contains("failed after its last retry: the receiver answered 503"),
        "{summary}"
    );
    assert!(summary.contains("Every attempt has failed since"), "{summary}");
    browser.set("Recover failed deliveries since", "2020-01-01T22:00").await;
    browser.click(Role::Button, "Recover…").await;
    browser.see(Role::Heading, "30 deliveries would be sent").await;
    browser.click(Role::Button, "Replay").await;
    browser.text_when("#replay", "is done", |text| text.contains("Done")).await;
    for event_id in &events {
        fixture.client.wait_for_state(event_id, delivery::State::Delivered).await;
    }

    // A receiver that removes duplicates by delivery id has each event once, and none is missing.
    let mut ledger = BTreeMap::new();
    for request in came_to(&fixture, SIEM) {
        let header = |name| request.header(name).expect("the header").to_owned();
        ledger.insert(header("x-keeptrusts-delivery"), header("webhook-id"));
    }
    assert_eq!(ledger.len(), events.len());
    let (received, published): (BTreeSet<_>, BTreeSet<_>) =
        (ledger.into_values().collect(), events.into_iter().collect());
    assert_eq!(received, published);

    let recovered = |text: &String| text.contains("siem is active again");
    eventually("the channel hears that it is over", async || {
        posted(&fixture).iter().any(recovered).then_some(())
    })
    .await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.text_when("#summary", "is active", |text| text.starts_with("Active")).await;
    fixture.assert_no_complaints().await;
}
