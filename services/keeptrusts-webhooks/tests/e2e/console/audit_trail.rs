//! The audit trail: reading, filtering, exporting.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;

use crate::console::fixture::{ConsoleFixture, HttpSession, ORGANIZATION};

const LIST: &str = "main tbody tr";

/// The columns of the trail.
const WHO: usize = 1;
const WHAT: usize = 2;
const CHANGES: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn changes_in_the_console_are_in_the_trail_with_before_and_after() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    fixture.endpoint("other", "/other", &["policy.block"]).await;
    fixture.open(&format!("/webhooks/{id}/edit")).await;
    browser.fill("Name", "=HYPERLINK(1)").await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "=HYPERLINK(1)").await;

    browser.click(Role::Link, "Audit trail of this webhook").await;
    browser.see(Role::Heading, "Audit trail").await;
    let rows = browser.rows(LIST).await;
    let what: Vec<_> = rows.iter().map(|row| row[WHAT].as_str()).collect();
    assert_eq!(what, ["Endpoint updated", "Endpoint created"], "only this one's, newest first");
    assert!(rows[0][WHO].contains("127.0.0.1"), "{rows:?}");
    let changes = &rows[0][CHANGES];
    assert!(changes.contains("siem") && changes.contains("=HYPERLINK(1)"), "{changes}");

    browser.click(Role::Link, "Clear").await;
    let rows = browser.rows_when(LIST, "are all", |rows| rows.len() > 2).await;
    assert!(rows.iter().any(|row| row[WHAT] == "Session created"), "{rows:?}");
    browser.choose("Action", "Session created").await;
    browser.click(Role::Button, "Filter").await;
    let rows = browser.rows_when(LIST, "are one", |rows| rows.len() == 1).await;
    assert_eq!(rows[0][WHAT], "Session created");
    browser.fill("Actor", "key_nobody").await;
    browser.click(Role::Button, "Filter").await;
    browser.see(Role::Heading, "Nothing matches").await;
    fixture.assert_no_complaints().await;

    let session = HttpSession::open(&fixture.console, FIRST_KEY).await;
    let answer = session.get(&format!("/audit.csv?endpoint={id}")).await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let disposition = answer.header("content-disposition").unwrap_or_default();
    assert!(disposition.contains("attachment"), "{disposition}");
    let text = answer.text();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("time,action,actor,"), "{text}");
    assert!(
        lines[1].contains(",endpoint.updated,") && lines[1].contains("=HYPERLINK(1)"),
        "{text}"
    );
    assert_eq!(session.get("/audit.csv?from=soon").await.status, 400, "not everything instead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_trail_is_read_page_by_page_and_exported_whole() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    for _ in 0..20 {
        let (organization_id, endpoint_id) = (ORGANIZATION.to_owned(), id.clone());
        let disable = v1::DisableEndpointRequest {
            organization_id: organization_id.clone(),
            endpoint_id: endpoint_id.clone(),
            reason: String::new(),
        };
        fixture.client.endpoints().disable_endpoint(disable).await.expect("it is disabled");
        let enable = v1::EnableEndpointRequest { organization_id, endpoint_id };
        fixture.client.endpoints().enable_endpoint(enable).await.expect("it is enabled");
    }
    fixture.open(&format!("/audit?endpoint={id}")).await;
    assert_eq!(browser.rows(LIST).await.len(), 25);
    browser.click(Role::Link, "Older").await;
    let rows = browser.rows_when(LIST, "are the rest", |rows| rows.len() == 16).await;
    assert_eq!(rows[15][WHAT], "Endpoint created");
    let session = HttpSession::open(&fixture.console, FIRST_KEY).await;
    let text = session.get(&format!("/audit.csv?endpoint={id}")).await.text();
    assert_eq!(text.matches(",endpoint.disabled,").count(), 20);
    assert_eq!(text.matches("time,action").count(), 1);
}
