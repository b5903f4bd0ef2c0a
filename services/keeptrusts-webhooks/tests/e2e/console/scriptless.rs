//! The console with scripts switched off: everything can still be done.

use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use keeptrusts_webhooks_testkit::verify;

use crate::console::fixture::{CATALOGUE, ConsoleFixture, FAR_AWAY, LOG, STATUS, column};
use crate::platform::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_webhook_can_be_created_tested_and_retried() {
    let replies = [Reply::ok(), Reply::status(500), Reply::ok()];
    let fixture = ConsoleFixture::start(Script::sequence(replies), FAR_AWAY).await;
    let browser = &fixture.browser;
    browser.disable_scripts().await;
    fixture.open("/webhooks/new").await;
    browser.fill("Name", "scriptless").await;
    browser.fill("URL", &fixture.receiver.url("/hook")).await;
    browser.click(Role::Button, "Generate").await;
    let secret = browser.value("Secret").await;
    assert!(secret.len() >= 32, "{secret}");
    assert_eq!(browser.value("Name").await, "scriptless", "generating loses nothing");
    browser.click(Role::Button, "Next").await;

    browser.tick("policy.violation", true).await;
    browser.click(Role::Button, "Select All").await;
    for event_type in CATALOGUE.iter().flat_map(|(_, event_types)| *event_types) {
        assert!(browser.is_ticked(event_type).await, "{event_type}");
    }
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "scriptless is ready").await;
    assert_eq!(browser.text("#secret").await, secret);
    browser.click(Role::Link, "Go to the webhook").await;

    browser.click(Role::Button, "Send Test").await;
    let outcome = browser.text(STATUS).await;
    assert!(outcome.contains("Test delivered") && outcome.contains(" 200 in "), "{outcome}");

    let event_id = fixture.client.publish("export.failed", "{}").await;
    let attempted = |delivery: &_| attempts(delivery) == 1;
    fixture.client.wait_for_delivery(&event_id, "was tried", attempted).await;
    browser.reload().await;
    let rows = browser.rows(LOG).await;
    assert_eq!(rows[0][column::OUTCOME], "Retrying");
    browser.within("#attempts tr:first-child").click(Role::Button, "Retry").await;
    let attempted = |delivery: &_| attempts(delivery) == 2;
    fixture.client.wait_for_delivery(&event_id, "was tried again", attempted).await;
    browser.reload().await;
    let rows = browser.rows(LOG).await;
    assert_eq!(rows[0][column::OUTCOME], "Delivered");
    verify::assert_signed(&secret, &fixture.receiver.wait_for(3, PATIENCE).await);
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_category_stands_for_its_types_and_a_secret_can_be_replaced() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    browser.disable_scripts().await;
    fixture.open("/webhooks/new").await;
    browser.fill("Name", "exports").await;
    browser.fill("URL", &fixture.receiver.url("/hook")).await;
    browser.click(Role::Button, "Next").await;
    browser.tick("Export", true).await;
    browser.tick("user.invited", true).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "exports is ready").await;
    let first = browser.text("#secret").await;
    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.event_types, ["export.completed", "export.failed", "user.invited"]);

    fixture.open("/webhooks").await;
    fixture.choose_action("exports", "Edit").await;
    browser.click(Role::Button, "Generate").await;
    let generated = browser.value("Secret").await;
    browser.choose("Overlap", "1 hour").await;
    browser.click(Role::Button, "Save").await;
    let secret = browser.text("#secret").await;
    assert_eq!(secret, generated);
    assert_ne!(secret, first);
    let endpoint = fixture.endpoints().await.remove(0);
    assert_ne!(endpoint.previous_secret_expire_time, None, "the old one signs for a while");

    fixture.open("/webhooks").await;
    fixture.choose_action("exports", "Delete").await;
    browser.click(Role::Button, "Delete").await;
    browser.see(Role::Heading, "Nothing here yet").await;
    fixture.assert_no_complaints().await;
}

fn attempts(delivery: &keeptrusts_webhooks_contracts::v1::Delivery) -> i32 {
    delivery.attempt_count
}
