//! Payload formats in the forms.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::Role;

use crate::console::fixture::ConsoleFixture;
use crate::platform::PATIENCE;

const TEMPLATE: &str = "Template";
const ROUTING_KEY: &str = "R0123456789abcdef0123456789ABCDE";

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_template_is_tried_corrected_previewed_and_used() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    browser.disable_scripts().await;
    fixture.open("/webhooks/new").await;
    browser.fill("Name", "tickets").await;
    browser.fill("URL", &fixture.receiver.url("/hook")).await;
    browser.choose("Payload format", "Custom template: whatever your template makes").await;
    browser.click(Role::Button, "Next").await;
    let error = browser.text("#payload_template-error").await;
    assert!(error.starts_with("Template is required for the custom format"), "{error}");

    browser.fill(TEMPLATE, "{\"title\": {{ data.policy }").await;
    browser.click(Role::Button, "Preview").await;
    let error = browser.text("#payload_template-error").await;
    assert!(error.contains("line 1: syntax error"), "{error}");
    assert_eq!(browser.value("Name").await, "tickets", "what was typed is kept");
    assert!(browser.value(TEMPLATE).await.contains("data.policy"));

    browser.fill(TEMPLATE, "{\"title\": {{ data.policy }}}").await;
    browser.choose("Preview of", "policy.block").await;
    browser.click(Role::Button, "Preview").await;
    let preview = browser.text("[aria-labelledby=preview-title]").await;
    assert!(preview.contains("prompt-injection"), "{preview}");
    assert!(preview.contains("application/json"), "{preview}");

    browser.click(Role::Button, "Next").await;
    browser.tick("policy.violation", true).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "tickets is ready").await;
    browser.click(Role::Link, "Go to the webhook").await;
    let page = browser.text("main").await;
    assert!(page.contains("Custom template"), "{page}");

    fixture.client.publish("policy.violation", r#"{"policy":"pii"}"#).await;
    let received = fixture.receiver.wait_for(1, PATIENCE).await;
    assert_eq!(&received[0].body[..], br#"{"title": "pii"}"#);
    fixture.assert_no_complaints_but_of_status(&[422]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_is_taken_and_never_shown_again() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("alerts", "/hook", &["policy.violation"]).await;
    let path = format!("/webhooks/{id}/edit");
    fixture.open(&path).await;
    browser.choose("Payload format", "PagerDuty: an alert for the Events API v2").await;
    browser.click(Role::Button, "Save").await;
    let error = browser.text("#routing_key-error").await;
    assert!(error.starts_with("Routing key is required for the pagerduty format"), "{error}");
    browser.fill("Routing key", ROUTING_KEY).await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "alerts").await;
    assert!(browser.text("main").await.contains("PagerDuty"));
    let endpoint = fixture.endpoints().await.remove(0);
    assert!(endpoint.has_routing_key);

    fixture.open(&path).await;
    assert_eq!(browser.value("Routing key").await, "", "it is not shown");
    browser.click(Role::Button, "Preview").await;
    browser.see(Role::Heading, "What is sent of policy.violation").await;
    let violations = browser.accessibility_violations().await;
    assert!(violations.is_empty(), "{violations:?}");
    browser.fill("Name", "renamed").await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "renamed").await;
    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.payload_format(), v1::PayloadFormat::Pagerduty, "it stays");

    // Another server does not get it: the form asks for one, and keeps the input.
    fixture.open(&path).await;
    browser.fill("URL", "https://other.example/v2/enqueue").await;
    browser.click(Role::Button, "Save").await;
    let error = browser.text("#routing_key-error").await;
    assert!(error.starts_with("Routing key must be given again"), "{error}");
    assert_eq!(browser.value("URL").await, "https://other.example/v2/enqueue");
    assert_eq!(browser.value("Routing key").await, "");

    let event_id = fixture.client.publish("policy.violation", r#"{"policy":"pii"}"#).await;
    let delivered = v1::delivery::State::Delivered;
    let delivery = fixture.client.wait_for_state(&event_id, delivered).await;
    let received = fixture.receiver.wait_for(1, PATIENCE).await;
    assert!(String::from_utf8_lossy(&received[0].body).contains(ROUTING_KEY));
    fixture.open(&format!("/deliveries/{}", delivery.id)).await;
    let page = browser.text("main").await;
    assert!(page.contains("dedup_key") && page.contains(&"*".repeat(32)), "{page}");
    assert!(!page.contains(ROUTING_KEY), "{page}");
    fixture.assert_no_complaints_but_of_status(&[422]).await;
}
