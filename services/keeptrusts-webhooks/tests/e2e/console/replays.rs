//! Replays in the console: missed and failed events are counted first, then replayed.

use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};

use crate::console::fixture::{ConsoleFixture, STATUS};
use crate::platform::PATIENCE;

const PROGRESS: &str = "#replay";

/// Publishes events that a disabled endpoint misses.
async fn miss(fixture: &ConsoleFixture, count: usize) {
    for _ in 0..count {
        let event_id = fixture.client.publish("policy.block", "{}").await;
        let routed = fixture.client.deliveries_of(&event_id).await;
        assert!(routed.is_empty(), "it is disabled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enabling_a_webhook_offers_a_replay_of_missed_events_that_is_followed_to_its_end() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/siem", &["policy.block"]).await;
    fixture.open("/webhooks").await;
    fixture.choose_action("siem", "Disable").await;
    browser.text_when(STATUS, "says so", |text| text.contains("is disabled")).await;
    miss(&fixture, 12).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.choose_action("siem", "Enable").await;
    let told = |text: &str| text.contains("It missed 12 events while it was disabled");
    browser.text_when(STATUS, "says what was missed", told).await;
    browser.within(STATUS).click(Role::Link, "Replay missed events").await;

    browser.see(Role::Heading, "12 deliveries would be sent").await;
    assert_eq!(fixture.receiver.request_count(), 0, "counting sends nothing");
    // Slow enough to be seen running.
    browser.fill("Deliveries a second, at the most", "4").await;
    browser.click(Role::Button, "Count").await;
    browser.see(Role::Heading, "12 deliveries would be sent").await;
    assert_eq!(browser.value("Deliveries a second, at the most").await, "4", "it is kept");
    assert_eq!(browser.accessibility_violations().await, []);
    browser.click(Role::Button, "Replay").await;

    browser.text_when(PROGRESS, "runs", |text| text.contains("of 12 scheduled")).await;
    fixture.mark_page().await;
    assert_eq!(browser.accessibility_violations().await, []);
    let done = |text: &str| text.contains("Done") && text.contains("12 of 12 scheduled");
    browser.text_when(PROGRESS, "is done", done).await;
    fixture.assert_not_loaded_again().await;
    fixture.receiver.wait_for(12, PATIENCE).await;
    // A second time there is nothing to do.
    fixture.open(&format!("/webhooks/{id}/replay?scope=missed")).await;
    browser.see(Role::Heading, "Nothing to replay").await;
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_deliveries_are_recovered_since_a_time_or_as_the_log_is_filtered() {
    let fixture = ConsoleFixture::start(Script::always(Reply::status(500)), "50ms").await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/siem", &["policy.block", "key.rotated"]).await;
    let mut events = Vec::new();
    for event_type in ["policy.block", "policy.block", "key.rotated"] {
        events.push(fixture.client.publish(event_type, "{}").await);
    }
    let failed = keeptrusts_webhooks_contracts::v1::delivery::State::Failed;
    for event_id in &events {
        fixture.client.wait_for_state(event_id, failed).await;
    }
    fixture.receiver.set_script(Script::always(Reply::ok()));

    fixture.open(&format!("/webhooks/{id}?event_type=key.rotated")).await;
    browser.click(Role::Link, "Retry all failed that match").await;
    browser.see(Role::Heading, "1 delivery would be sent").await;
    browser.click(Role::Button, "Replay").await;
    let done = |text: &str| text.contains("Done");
    browser.text_when(PROGRESS, "is done", done).await;
    let delivered = keeptrusts_webhooks_contracts::v1::delivery::State::Delivered;
    fixture.client.wait_for_state(&events[2], delivered).await;

    fixture.open(&format!("/webhooks/{id}")).await;
    browser.set("Recover failed deliveries since", "2020-01-01T22:00").await;
    browser.click(Role::Button, "Recover…").await;
    browser.see(Role::Heading, "2 deliveries would be sent").await;
    browser.click(Role::Button, "Replay").await;
    browser.text_when(PROGRESS, "is done", done).await;
    for event_id in &events {
        fixture.client.wait_for_state(event_id, delivered).await;
    }
    // Invalid input is reported beside its field, and kept.
    fixture.open(&format!("/webhooks/{id}/replay?scope=all")).await;
    browser.fill("Deliveries a second, at the most", "many").await;
    browser.click(Role::Button, "Count").await;
    let said = browser.text("#rate-error").await;
    assert!(said.contains("from 1 to 5000"), "{said}");
    assert_eq!(browser.value("Deliveries a second, at the most").await, "many");
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_replay_can_be_started_followed_and_cancelled() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    browser.disable_scripts().await;
    let id = fixture.endpoint("siem", "/siem", &["policy.block"]).await;
    fixture.open("/webhooks").await;
    fixture.choose_action("siem", "Disable").await;
    miss(&fixture, 40).await;
    fixture.open(&format!("/webhooks/{id}/replay?scope=missed")).await;
    let counted = browser.text("form[aria-labelledby=count-title]").await;
    assert!(counted.contains("40") && counted.contains("Enable it to replay this"), "{counted}");

    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.choose_action("siem", "Enable").await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.click(Role::Link, "Replay missed events").await;
    browser.fill("Deliveries a second, at the most", "1").await;
    browser.click(Role::Button, "Count").await;
    browser.click(Role::Button, "Replay").await;
    browser.see(Role::Heading, "Progress").await;
    browser.click(Role::Link, "Look again").await;
    browser.click(Role::Button, "Cancel Replay").await;
    let progress = browser.text(PROGRESS).await;
    assert!(progress.contains("Cancelled") && progress.contains("of 40 scheduled"), "{progress}");
    // A second one could be started now, for the rest.
    fixture.open(&format!("/webhooks/{id}")).await;
    let rows = browser.rows("table[aria-label=Replays] tbody tr").await;
    assert_eq!((rows.len(), rows[0][2].as_str()), (1, "Cancelled"));
    fixture.assert_no_complaints().await;
}
