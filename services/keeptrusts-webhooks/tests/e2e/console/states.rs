//! States that nothing records: a webhook that is failing, and deliveries that are paused.

use keeptrusts_webhooks_contracts::v1::{delivery, endpoint};
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};

use super::accessibility::look_at;
use super::fixture::{ConsoleFixture, FAR_AWAY};

const ENDPOINTS: &str = "table[aria-label=Endpoints] tbody tr";
const RECENT: &str = "#recent tr";

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_webhook_and_its_paused_deliveries_are_shown_so() {
    let script = Script::by_path([
        ("/well", Script::default()),
        ("/ill", Script::always(Reply::status(503))),
    ]);
    let fixture = ConsoleFixture::start(script, FAR_AWAY).await;
    let browser = &fixture.browser;
    fixture.endpoint("siem", "/well", &["key.rotated"]).await;
    let id = fixture.endpoint("pager", "/ill", &["policy.block"]).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(fixture.client.publish("policy.block", "{}").await);
    }
    fixture.client.wait_for_status(&id, endpoint::State::Failing).await;
    for event in &events {
        fixture.client.wait_for_state(event, delivery::State::Retrying).await;
    }

    let names = async |status: &str| {
        fixture.open(&format!("/webhooks?status={status}")).await;
        let rows = browser.rows(ENDPOINTS).await;
        rows.into_iter().map(|row| (row[0].clone(), row[2].clone())).collect::<Vec<_>>()
    };
    let row = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    assert_eq!(names("").await, [row("pager", "Failing"), row("siem", "Active")]);
    assert_eq!(names("failing").await, [row("pager", "Failing")]);
    assert_eq!(names("active").await, [row("siem", "Active")]);

    let mut problems = Vec::new();
    fixture.open(&format!("/webhooks/{id}")).await;
    let summary = browser.text("#summary").await;
    for seen in ["Failing", "nothing but failures since", "3 failed attempts so far", "inspect it"]
    {
        assert!(summary.contains(seen), "{seen} is not in {summary}");
    }
    assert!(!summary.contains("Every attempt has failed"), "it is said once: {summary}");
    look_at(browser, "webhook-failing", &mut problems).await;

    fixture.choose_action("pager", "Disable").await;
    fixture.client.wait_for_status(&id, endpoint::State::Disabled).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    let states = |rows: &[Vec<String>], state| rows.iter().all(|row| row[2] == state);
    browser.rows_when(RECENT, "are paused", |rows| states(rows, "Paused")).await;
    look_at(browser, "webhook-disabled-with-paused-deliveries", &mut problems).await;
    let waiting = fixture.client.wait_for_state(&events[0], delivery::State::Paused).await;
    fixture.open(&format!("/deliveries/{}", waiting.id)).await;
    let page = browser.text("main").await;
    for seen in ["Paused", "until the webhook is enabled", "Cancel Delivery"] {
        assert!(page.contains(seen), "{seen} is not in {page}");
    }
    assert!(!page.contains("Under way"), "{page}");
    look_at(browser, "delivery-paused", &mut problems).await;

    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.choose_action("pager", "Enable").await;
    fixture.client.wait_for_status(&id, endpoint::State::Active).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.rows_when(RECENT, "wait for a retry", |rows| states(rows, "Retrying")).await;
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    fixture.assert_no_complaints().await;
}
