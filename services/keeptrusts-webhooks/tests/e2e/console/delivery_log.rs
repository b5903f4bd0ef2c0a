//! Many webhooks and many deliveries: searching, filtering, paging.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::v1::{
    BatchPublishEventsRequest, DisableEndpointRequest, ListAttemptsRequest, delivery,
};
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};

use crate::console::fixture::{ConsoleFixture, FAR_AWAY, LOG, ORGANIZATION, column, having};
use crate::platform::eventually;

const LIST: &str = "main tbody tr";

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_searched_by_name_and_url_and_filtered_by_status() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    for (name, path) in [("siem", "/siem"), ("slack", "/team"), ("pager", "/siem-too")] {
        fixture.endpoint(name, path, &["policy.block", "user.invited"]).await;
    }
    let disabled = fixture.endpoints().await.remove(0);
    let request = DisableEndpointRequest {
        organization_id: ORGANIZATION.to_owned(),
        endpoint_id: disabled.id,
        reason: "maintenance until noon".to_owned(),
    };
    fixture.client.endpoints().disable_endpoint(request).await.expect("it is disabled");
    let event_id = fixture.client.publish("user.invited", "{}").await;
    eventually("both are delivered", async || {
        let deliveries = fixture.client.deliveries_of(&event_id).await;
        let delivered = |it: &&_| state(it) == delivery::State::Delivered;
        (deliveries.iter().filter(delivered).count() == 2).then_some(())
    })
    .await;

    fixture.open("/webhooks").await;
    let rows = browser.rows(LIST).await;
    assert_eq!(names(&rows), ["pager", "slack", "siem"], "the newest is on top");
    assert_eq!(having(&rows, 2, "Active"), 2, "{rows:?}");
    assert!(rows[0][2].contains("Disabled"), "{rows:?}");

    browser.fill("Search", "SIEM").await;
    browser.click(Role::Button, "Filter").await;
    browser.rows_when(LIST, "are two", |rows| names(rows) == ["pager", "siem"]).await;
    assert_eq!(browser.value("Search").await, "SIEM");
    browser.choose("Status", "Disabled").await;
    browser.click(Role::Button, "Filter").await;
    browser.rows_when(LIST, "are one", |rows| names(rows) == ["pager"]).await;
    browser.fill("Search", "nobody is called so").await;
    browser.click(Role::Button, "Filter").await;
    browser.rows_when(LIST, "are none", |rows| rows.len() <= 1 && names(rows) != ["pager"]).await;
    assert!(!browser.shows(Role::Heading, "Nothing here yet").await, "there are some");
    fixture.assert_no_complaints().await;
}

fn state(delivery: &keeptrusts_webhooks_contracts::v1::Delivery) -> delivery::State {
    delivery.state()
}

fn names(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| row[0].lines().next().unwrap_or_default()).collect()
}

/// More than a page.
const EVENTS: usize = 70;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_delivery_log_is_read_page_by_page_and_no_attempt_is_left_out() {
    let broken = Script::new(|request| match request.header("x-keeptrusts-event") {
        Some("policy.block") => Reply::status(500),
        _ => Reply::ok(),
    });
    let fixture = ConsoleFixture::start(broken, FAR_AWAY).await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block", "policy.violation"]).await;
    let event_type = |number: usize| if number == 0 { "policy.block" } else { "policy.violation" };
    let events = (0..EVENTS).map(|number| fixture.client.event(event_type(number), "{}"));
    let request = BatchPublishEventsRequest {
        organization_id: ORGANIZATION.to_owned(),
        requests: events.collect(),
    };
    fixture.client.ingest().batch_publish_events(request).await.expect("they are accepted");
    eventually("every event was tried", async || {
        let request = ListAttemptsRequest {
            organization_id: ORGANIZATION.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        let answer = fixture.client.dispatch().list_attempts(request).await;
        let attempts = answer.expect("attempts are listed").into_inner().attempts;
        (attempts.len() == EVENTS).then_some(())
    })
    .await;

    fixture.open(&format!("/webhooks/{id}")).await;
    let first = links(&fixture).await;
    assert!(!browser.shows(Role::Link, "Newer").await, "nothing is newer than the first page");
    let mut seen = first.clone();
    let mut pages = 1;
    while browser.shows(Role::Link, "Older").await {
        browser.click(Role::Link, "Older").await;
        browser.see(Role::Link, "Newer").await;
        let page = links(&fixture).await;
        assert!(!page.is_empty() && seen.is_disjoint(&page), "{page:?}");
        seen.extend(page);
        pages += 1;
    }
    assert!(pages > 1, "they do not fit on a page");
    assert_eq!(seen.len(), EVENTS);
    for _ in 1..pages {
        browser.click(Role::Link, "Newer").await;
    }
    assert_eq!(links(&fixture).await, first);

    browser.choose("Event type", "policy.block").await;
    browser.click(Role::Button, "Filter").await;
    let rows = browser.rows_when(LOG, "are one", |rows| rows.len() == 1).await;
    assert_eq!(rows[0][column::OUTCOME], "Retrying");
    browser.set("From", "2001-01-01T00:00").await;
    browser.set("To", "2001-01-02T00:00").await;
    browser.click(Role::Button, "Filter").await;
    browser
        .rows_when(LOG, "are none", |rows| having(rows, column::EVENT, "policy.block") == 0)
        .await;
    fixture.assert_no_complaints().await;
}

/// The links of the log's entries, each to an attempt of its own.
async fn links(fixture: &ConsoleFixture) -> BTreeSet<String> {
    let script = "return Array.from(document.querySelectorAll('#attempts tr'),
        (row) => row.querySelector('a').href);";
    let links = fixture.browser.run(script, serde_json::json!([])).await;
    serde_json::from_value(links).expect("links are texts")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_and_lead_to_their_deliveries() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    let unheard =
        fixture.client.publish("export.failed", r#"{"rows":12345678901234567890.0}"#).await;
    let heard = fixture.client.publish("policy.block", "{}").await;
    fixture.client.wait_for_state(&heard, delivery::State::Delivered).await;

    fixture.open("/webhooks").await;
    browser.within("nav[aria-label=Main]").click(Role::Link, "Events").await;
    browser.see(Role::Heading, "Events").await;
    let rows = browser.rows(LIST).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0][1..3], ["policy.block", &heard], "the newest is on top");
    assert_eq!(rows[1][1..3], ["export.failed", &unheard]);
    browser.choose("Event type", "export.failed").await;
    browser.click(Role::Button, "Filter").await;
    browser.rows_when(LIST, "are one", |rows| rows.len() == 1 && rows[0][2] == unheard).await;
    browser.click_first("main tbody tr a").await;
    browser.see(Role::Heading, "export.failed").await;
    let text = browser.text("main").await;
    assert!(text.contains("12345678901234567890.0"), "numbers are not rewritten: {text}");

    fixture.open(&format!("/events/{heard}")).await;
    let rows = browser.rows(LIST).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0][..2], ["siem", "Delivered"], "endpoint and state");
    fixture.assert_no_complaints().await;
}
