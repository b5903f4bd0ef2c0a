//! The product's tutorial, "Configuring Webhooks in Console", step by step.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keeptrusts_webhooks_contracts::v1::{delivery, endpoint};
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use keeptrusts_webhooks_testkit::verify;
use serde_json::json;

use crate::console::fixture::{CATALOGUE, ConsoleFixture, LOG, STATUS, column, having};
use crate::platform::PATIENCE;

const NAME: &str = "siem-all-events";
const CUSTOM_SECRET: &str = "a secret that the admin has chosen";

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorials_eight_steps_can_be_followed_in_the_browser() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    navigate_to_webhooks(&fixture).await;
    let typed_secret = create_a_webhook_endpoint(&fixture).await;
    select_event_types(&fixture).await;
    let secret = read_the_secret(&fixture).await;
    assert_eq!(secret, typed_secret);
    test_webhook_delivery(&fixture).await;
    view_delivery_logs(&fixture).await;
    retry_failed_deliveries(&fixture).await;
    verify::assert_signed(&secret, &fixture.receiver.requests());
    edit_the_webhook(&fixture).await;
    disable_and_enable_the_webhook(&fixture).await;
    delete_the_webhook(&fixture).await;
    fixture.assert_no_complaints().await;
}

/// Step 1.
async fn navigate_to_webhooks(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    fixture.open("/").await;
    browser.url_when("is the list's", |url| url.ends_with("/webhooks")).await;
    fixture.open("/events").await;
    browser.within("nav[aria-label=Main]").click(Role::Link, "Webhooks").await;
    browser.see(Role::Heading, "Webhooks").await;
    browser.see(Role::Heading, "Nothing here yet").await;
}

/// Step 2; returns the secret that was generated in the form.
async fn create_a_webhook_endpoint(fixture: &ConsoleFixture) -> String {
    let browser = &fixture.browser;
    browser.click(Role::Button, "Create Webhook").await;
    browser.see(Role::Heading, "Create Webhook").await;
    browser.fill("Name", NAME).await;
    browser.fill("URL", &fixture.receiver.url("/hook")).await;
    browser.fill("Description", "Everything, for the security team").await;
    let before = browser.value("Secret").await;
    browser.click(Role::Button, "Generate").await;
    let generated = browser.value("Secret").await;
    assert_ne!(generated, before, "a new one is generated");
    assert!(generated.len() >= 32, "{generated}");
    browser.click(Role::Button, "Next").await;
    generated
}

/// Step 3.
async fn select_event_types(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    for (category, event_types) in CATALOGUE {
        browser.tick(category, true).await;
        for event_type in event_types {
            assert!(browser.is_ticked(event_type).await, "{event_type} is in {category}");
        }
    }
    for (category, event_types) in CATALOGUE {
        browser.tick(category, false).await;
        assert!(!browser.is_ticked(event_types[0]).await);
    }
    // A category is ticked when all of its types are.
    browser.tick("export.completed", true).await;
    assert!(!browser.is_ticked("Export").await);
    browser.tick("export.failed", true).await;
    assert!(browser.is_ticked("Export").await);

    browser.click(Role::Button, "Select All").await;
    for event_type in CATALOGUE.iter().flat_map(|(_, event_types)| *event_types) {
        assert!(browser.is_ticked(event_type).await, "{event_type}");
    }
    browser.click(Role::Button, "Create").await;
}

/// The page after step 3: the secret is shown once.
async fn read_the_secret(fixture: &ConsoleFixture) -> String {
    let browser = &fixture.browser;
    browser.see(Role::Heading, &format!("{NAME} is ready")).await;
    let secret = browser.text("#secret").await;
    browser.see(Role::Button, "Copy").await;
    for language in ["Node", "Python", "Rust"] {
        browser.see(Role::Heading, language).await;
    }
    let url = browser.url().await;
    browser.reload().await;
    let page = browser.text("main").await;
    assert!(!page.contains(&secret), "the secret is shown once: {page}");
    browser.open(&url).await;
    assert!(!browser.text("main").await.contains(&secret));
    browser.click(Role::Link, "Go to the webhook").await;
    browser.see(Role::Heading, NAME).await;

    let endpoints = fixture.endpoints().await;
    let [endpoint] = endpoints.as_slice() else { panic!("one endpoint: {endpoints:?}") };
    assert_eq!(endpoint.display_name, NAME);
    assert_eq!(endpoint.url, fixture.receiver.url("/hook"));
    assert_eq!(endpoint.description, "Everything, for the security team");
    assert_eq!(endpoint.event_types.len(), 16);
    secret
}

/// Step 4.
async fn test_webhook_delivery(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    let thanks = Reply::ok().with_header("x-receipt", "receipt-1").with_body("thanks");
    fixture.receiver.set_script(Script::always(thanks));
    fixture.open("/webhooks").await;
    browser.click(Role::Link, NAME).await;
    browser.see(Role::Heading, "Recent Deliveries").await;
    fixture.mark_page().await;
    browser.click(Role::Button, "Send Test").await;
    let outcome = browser
        .text_when(STATUS, "tells the outcome", |text| text.contains("Test delivered"))
        .await;
    assert!(outcome.contains(" 200 in "), "{outcome}");
    browser
        .rows_when("#recent tr", "show the test", |rows| {
            rows.first().is_some_and(|row| {
                let row = row.join(" ");
                row.contains("webhook.test") && row.contains("200") && row.contains("Delivered")
            })
        })
        .await;
    fixture.assert_not_loaded_again().await;

    let requests = fixture.receiver.wait_for(1, PATIENCE).await;
    let body = String::from_utf8_lossy(&requests[0].body).into_owned();
    assert!(body.starts_with(r#"{"event":"webhook.test","timestamp":""#), "{body}");
    assert!(body.contains(r#""message":"This is a test delivery from Keeptrusts.""#), "{body}");
}

/// Step 5.
async fn view_delivery_logs(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    browser.see(Role::Heading, "Delivery Log").await;
    let header = browser.rows("table:has(#attempts) thead tr").await.concat();
    let columns = ["Timestamp", "Event", "Status Code", "Duration", "Outcome"];
    assert_eq!(header[..columns.len()], columns);
    assert!(header.len() <= columns.len() + 1, "{header:?}");
    let rows = browser.rows_when(LOG, "are there", |rows| !rows.is_empty()).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0][column::EVENT].starts_with("webhook.test"), "{rows:?}");
    assert_eq!(rows[0][column::STATUS_CODE], "200");
    assert_eq!(rows[0][column::OUTCOME], "Delivered");

    browser.click_first("#attempts tr a").await;
    browser.see(Role::Heading, "Delivery of webhook.test").await;
    for section in ["Request", "Response", "Attempts"] {
        browser.see(Role::Heading, section).await;
    }
    let page = inspect(fixture).await;
    let request = &fixture.receiver.requests()[0];
    for seen in [
        "This is a test delivery from Keeptrusts.",
        "x-keeptrusts-signature",
        request.header("x-keeptrusts-signature").expect("it is signed"),
        request.header("webhook-id").expect("it has an id"),
        &String::from_utf8_lossy(&request.body),
        "x-receipt",
        "receipt-1",
        "thanks",
    ] {
        assert!(page.contains(seen), "{seen} is not in {page}");
    }
    browser.back().await;
}

/// Step 6.
async fn retry_failed_deliveries(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    let broken = Reply::status(503).with_body("out of order");
    fixture.receiver.set_script(Script::always(broken));
    browser.see(Role::Heading, "Delivery Log").await;
    fixture.mark_page().await;
    let event_id = fixture.client.publish("policy.violation", r#"{"rule":"pii","hits":3}"#).await;
    let rows = browser.rows_when(LOG, "show the failure", |rows| rows.len() == 2).await;
    assert!(rows[0][column::EVENT].starts_with("policy.violation"), "{rows:?}");
    assert_eq!(rows[0][column::STATUS_CODE], "503");
    assert_eq!(rows[0][column::OUTCOME], "Retrying");

    fixture.receiver.set_script(Script::default());
    browser.within("#attempts tr:first-child").click(Role::Button, "Retry").await;
    let rows = browser.rows_when(LOG, "show the retry", |rows| rows.len() == 3).await;
    assert!(rows[0][column::EVENT].starts_with("policy.violation"), "{rows:?}");
    assert_eq!(rows[0][column::STATUS_CODE], "200");
    assert_eq!(rows[0][column::OUTCOME], "Delivered");
    fixture.assert_not_loaded_again().await;
    fixture.client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let requests = fixture.receiver.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].body, requests[2].body, "the original payload");

    browser.click_first("#attempts tr:nth-child(2) a").await;
    browser.see(Role::Heading, "Delivery of policy.violation").await;
    let page = inspect(fixture).await;
    for seen in ["503", "out of order", r#"{"rule":"pii","hits":3}"#] {
        assert!(page.contains(seen), "{seen} is not in {page}");
    }
}

/// All that an attempt's page shows, in every view.
async fn inspect(fixture: &ConsoleFixture) -> String {
    let script = "return document.querySelector('main').textContent;";
    let text = fixture.browser.run(script, json!([])).await;
    text.as_str().expect("text").to_owned()
}

/// Step 8, Edit. From then on, requests are signed with the new secret.
async fn edit_the_webhook(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    fixture.open("/webhooks").await;
    fixture.choose_action(NAME, "Edit").await;
    browser.see(Role::Heading, &format!("Edit {NAME}")).await;
    assert_eq!(browser.value("URL").await, fixture.receiver.url("/hook"));
    browser.fill("URL", &fixture.receiver.url("/other")).await;
    browser.tick("key.rotated", false).await;
    assert_eq!(browser.value("Secret").await, "", "the secret is not shown");
    browser.fill("Secret", CUSTOM_SECRET).await;
    browser.click(Role::Button, "Save").await;
    assert_eq!(browser.text("#secret").await, CUSTOM_SECRET, "a new secret is shown once");
    let standard = format!("whsec_{}", STANDARD.encode(CUSTOM_SECRET));
    assert_eq!(browser.text("#standard-secret").await, standard, "and its form for libraries");
    browser.click(Role::Link, "Go to the webhook").await;
    browser.see(Role::Heading, NAME).await;

    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.url, fixture.receiver.url("/other"));
    assert_eq!(endpoint.event_types.len(), 15);
    assert!(!endpoint.event_types.contains(&"key.rotated".to_owned()));
    let received = fixture.receiver.request_count();
    fixture.client.publish("key.rotated", "{}").await;
    let event_id = fixture.client.publish("key.revoked", "{}").await;
    fixture.client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let requests = fixture.receiver.requests();
    assert_eq!(requests.len(), received + 1, "key.rotated is not subscribed to any more");
    assert_eq!(requests[received].path, "/other");
    verify::assert_signed(CUSTOM_SECRET, &requests[received..]);
}

/// Step 8, Disable, and enable again.
async fn disable_and_enable_the_webhook(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    let id = fixture.endpoints().await.remove(0).id;
    fixture.open("/webhooks").await;
    fixture.choose_action(NAME, "Disable").await;
    fixture.client.wait_for_status(&id, endpoint::State::Disabled).await;
    fixture.open("/webhooks").await;
    browser
        .rows_when("main tbody tr", "show it disabled", |rows| having(rows, 2, "Disabled") == 1)
        .await;
    browser.click(Role::Link, NAME).await;
    fixture.choose_action(NAME, "Enable").await;
    fixture.client.wait_for_status(&id, endpoint::State::Active).await;
    browser.see(Role::Heading, NAME).await;
    browser.text_when("main", "shows it active", |text| text.contains("Active")).await;
}

/// Step 8, Delete.
async fn delete_the_webhook(fixture: &ConsoleFixture) {
    let browser = &fixture.browser;
    fixture.open("/webhooks").await;
    fixture.choose_action(NAME, "Delete").await;
    browser.see(Role::Heading, &format!("Delete {NAME}?")).await;
    browser.click(Role::Link, "Cancel").await;
    assert_eq!(fixture.endpoints().await.len(), 1, "nothing is deleted without a confirmation");

    fixture.open("/webhooks").await;
    fixture.choose_action(NAME, "Delete").await;
    browser.click(Role::Button, "Delete").await;
    browser.see(Role::Heading, "Nothing here yet").await;
    assert_eq!(fixture.endpoints().await.len(), 0);
}
