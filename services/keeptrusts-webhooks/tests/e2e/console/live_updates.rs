//! Open pages show changes as they happen.

use keeptrusts_webhooks_contracts::v1::WatchDeliveriesRequest;
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use serde_json::json;

use crate::console::fixture::{
    ConsoleFixture, FAR_AWAY, HttpSession, LOG, ORGANIZATION, column, having,
};
use crate::platform::{Backend, Database, Server};

#[tokio::test(flavor = "multi_thread")]
async fn published_events_appear_in_the_delivery_log_without_a_reload() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let types = ["policy.block", "policy.violation"];
    let id = fixture.endpoint("siem", "/hook", &types).await;
    let other = fixture.endpoint("another", "/other", &types).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.mark_page().await;
    for event_type in ["policy.violation", "policy.block", "policy.violation"] {
        let before = browser.rows(LOG).await;
        let before = having(&before, column::EVENT, event_type);
        fixture.client.publish(event_type, "{}").await;
        browser
            .rows_when(LOG, &format!("show the {event_type}"), |rows| {
                having(rows, column::EVENT, event_type) > before
            })
            .await;
    }
    let rows = browser.rows(LOG).await;
    assert_eq!(having(&rows, column::OUTCOME, "Delivered"), 3, "each once, none of {other}'s");
    fixture.assert_not_loaded_again().await;
    browser.reload().await;
    let loaded: Vec<_> = browser.rows(LOG).await;
    assert_eq!(loaded, rows, "a page that is loaded shows what the open one has seen");
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_delivery_log_respects_its_filter() {
    let broken = Script::new(|request| match request.header("x-keeptrusts-event") {
        Some("policy.block") => Reply::status(500),
        _ => Reply::ok(),
    });
    let fixture = ConsoleFixture::start(broken, FAR_AWAY).await;
    let browser = &fixture.browser;
    let types = ["policy.block", "policy.redaction", "policy.violation"];
    let id = fixture.endpoint("siem", "/hook", &types).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.choose("Event type", "policy.violation").await;
    browser.click(Role::Button, "Filter").await;
    browser.url_when("has the filter", |url| url.contains("event_type=policy.violation")).await;
    assert_eq!(browser.value("Event type").await, "policy.violation");
    fixture.mark_page().await;
    for event_type in ["policy.block", "policy.redaction", "policy.violation"] {
        let event_id = fixture.client.publish(event_type, "{}").await;
        let tried =
            |delivery: &keeptrusts_webhooks_contracts::v1::Delivery| delivery.attempt_count == 1;
        fixture.client.wait_for_delivery(&event_id, "was tried", tried).await;
    }
    let rows = browser
        .rows_when(LOG, "show the violation", |rows| {
            having(rows, column::EVENT, "policy.violation") == 1
        })
        .await;
    assert_eq!(rows.len(), 1, "the others are filtered out: {rows:?}");
    fixture.assert_not_loaded_again().await;

    fixture.open(&format!("/webhooks/{id}")).await;
    browser.choose("Outcome", "Retrying").await;
    browser.click(Role::Button, "Filter").await;
    browser.url_when("has the filter", |url| url.contains("outcome=retrying")).await;
    let rows = browser
        .rows_when(LOG, "show the failure", |rows| having(rows, column::OUTCOME, "Retrying") == 1)
        .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0][column::EVENT], "policy.block");
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_shows_when_a_receivers_pause_is_over() {
    let busy = Script::new(|_| Reply::status(429).with_header("retry-after", "5"));
    let fixture = ConsoleFixture::start(busy, FAR_AWAY).await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.mark_page().await;
    fixture.client.publish("policy.block", "{}").await;
    let asked = "asked to be left alone until";
    browser.text_when("#summary", "tells of the pause", |text| text.contains(asked)).await;
    // Nothing is recorded then.
    browser.text_when("#summary", "tells of it no more", |text| !text.contains(asked)).await;
    fixture.assert_not_loaded_again().await;
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_delivery_shows_its_next_attempt_when_it_is_made() {
    let replies = [Reply::status(500), Reply::ok()];
    let fixture = ConsoleFixture::start(Script::sequence(replies), FAR_AWAY).await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    fixture.client.publish("policy.block", "{}").await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.rows_when(LOG, "show the failure", |rows| rows.len() == 1).await;
    browser.click_first("#attempts tr a").await;
    browser.see(Role::Heading, "Delivery of policy.block").await;
    let page = browser.text("main").await;
    assert!(page.contains("Retrying") && !page.contains("Delivered"), "{page}");
    browser.click(Role::Button, "Retry").await;
    browser.text_when("main", "shows the success", |text| text.contains("Delivered")).await;
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_the_viewers_zone_and_exact_in_their_tooltip() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    fixture.client.publish("policy.block", "{}").await;
    let mut texts = Vec::new();
    // A zone without summer time, and with an offset in minutes.
    for zone in ["UTC", "Asia/Kathmandu"] {
        browser.set_time_zone(zone).await;
        fixture.open(&format!("/webhooks/{id}")).await;
        browser.rows_when(LOG, "show the event", |rows| rows.len() == 1).await;
        let time = browser.run(
            "const time = document.querySelector('#attempts time');
             const parts = new Date(time.dateTime).toLocaleTimeString(undefined, { timeStyle: 'medium' });
             return { text: time.innerText, exact: time.title, utc: time.dateTime, clock: parts };",
            json!([]),
        );
        let time = time.await;
        let text = |name: &str| time[name].as_str().expect("text").to_owned();
        assert!(text("utc").ends_with('Z'), "{time}");
        assert!(!text("exact").is_empty(), "{time}");
        assert!(text("text").contains(&text("clock")), "{time} in {zone}");
        texts.push(text("text"));
    }
    assert_ne!(texts[0], texts[1]);
    fixture.assert_no_complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_beyond_the_limit_of_watches_reconnects_later() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).flag("--max-watches-per-key", "1").start().await;
    let console = server.console().await;
    let api = server.client(ORGANIZATION);
    let endpoint = api.create_endpoint("https://hooks.example.com/x", &["policy.block"]).await;
    let organization_id = ORGANIZATION.to_owned();
    let request = WatchDeliveriesRequest { organization_id, ..Default::default() };
    let _watched = api.dispatch().watch_deliveries(request).await.expect("the key's only one");

    let session = HttpSession::open(&console, FIRST_KEY).await;
    let told = session.get(&format!("/webhooks/{}/live", endpoint.id)).await;
    assert_eq!(told.status, 200);
    let retries: Vec<_> =
        told.text().lines().filter(|line| line.starts_with("retry:")).map(str::to_owned).collect();
    assert_eq!(retries, ["retry: 2000", "retry: 30000"], "the last one holds");
}
