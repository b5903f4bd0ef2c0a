//! What visitors with restricted roles see.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use serde_json::json;

use crate::console::access::AccessClient;
use crate::console::fixture::{ConsoleFixture, FAR_AWAY, HttpSession};
use crate::platform::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_every_page_and_nothing_that_viewers_may_not_press() {
    let fixture = ConsoleFixture::start(Script::always(Reply::status(500)), FAR_AWAY).await;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    let event_id = fixture.client.publish("policy.block", "{}").await;
    let tried = |delivery: &v1::Delivery| delivery.attempt_count == 1;
    let delivery = fixture.client.wait_for_delivery(&event_id, "was tried", tried).await;
    let key = AccessClient::new(&fixture.server).create_key("auditor", v1::Role::Viewer).await;
    let browser = fixture.sign_in_again_with(&key).await;
    let frame = browser.text("header").await;
    assert!(frame.contains("auditor") && frame.contains("viewer"), "{frame}");

    let delivery_path = format!("/deliveries/{}", delivery.id);
    for path in [
        "/webhooks".to_owned(),
        format!("/webhooks/{id}"),
        delivery_path.clone(),
        "/events".to_owned(),
        format!("/events/{event_id}"),
        "/nothing".to_owned(),
    ] {
        browser.open(&format!("{}{path}", fixture.console)).await;
        browser.see(Role::Link, "Webhooks").await;
        // Live updates contain nothing else either.
        let offered = browser.run(OFFERED, json!([])).await;
        assert_eq!(offered, json!(["/sign-out"]), "{path}");
    }

    let session = HttpSession::open(&fixture.console, &key).await;
    let token = session.form_token("/webhooks").await;
    let before = fixture.endpoints().await;
    for path in [
        format!("/webhooks/{id}/disable"),
        format!("/webhooks/{id}/enable"),
        format!("/webhooks/{id}/delete"),
        format!("/webhooks/{id}/edit"),
        format!("/webhooks/{id}/test"),
        "/webhooks/new".to_owned(),
        format!("{delivery_path}/retry"),
        format!("{delivery_path}/cancel"),
        "/keys/new".to_owned(),
    ] {
        let answer =
            session.post(&path, format!("csrf={token}&display_name=x&action=create")).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("You may not do this"), "{path}");
    }
    for path in ["/webhooks/new", "/keys", "/keys/new", "/audit", "/audit.csv"] {
        assert_eq!(session.get(path).await.status, 403, "{path}");
    }
    assert_eq!(fixture.endpoints().await, before, "nothing has happened");
}

/// The targets of the page's forms and links that do more than show something.
pub(crate) const OFFERED: &str = "
    const posts = [...document.querySelectorAll('form[method=post], [formaction]')]
        .map((it) => it.getAttribute('formaction') ?? it.getAttribute('action'));
    const leads = [...document.querySelectorAll('a[href], form:not([method=post])')]
        .map((it) => it.getAttribute('href') ?? it.getAttribute('action'))
        .filter((to) => /\\/(new|edit|delete|keys|audit)/.test(to));
    const menus = [...document.querySelectorAll('[role=menu], [form]')].map((it) => it.outerHTML);
    return [...posts, ...leads, ...menus];
";

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_offers_a_viewer_no_retry_when_an_attempt_fails() {
    let fixture = ConsoleFixture::start(Script::always(Reply::status(500)), FAR_AWAY).await;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;
    let key = AccessClient::new(&fixture.server).create_key("auditor", v1::Role::Viewer).await;
    let browser = fixture.sign_in_again_with(&key).await;
    browser.open(&format!("{}/webhooks/{id}", fixture.console)).await;
    fixture.client.publish("policy.block", "{}").await;
    browser.rows_when("#attempts tr", "show the failure", |rows| rows.len() == 1).await;
    assert!(!browser.shows(Role::Button, "Retry").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_sees_that_there_is_nothing_for_the_role_and_can_sign_out() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let key = AccessClient::new(&fixture.server).create_key("gateway", v1::Role::Publisher).await;
    let browser = fixture.sign_in_again_with(&key).await;
    for path in ["/webhooks", "/events", "/keys"] {
        browser.open(&format!("{}{path}", fixture.console)).await;
        browser.see(Role::Heading, "There is nothing here for your role").await;
        assert!(!browser.shows(Role::Link, "Webhooks").await, "{path}");
    }
    browser.click(Role::Button, "Sign out").await;
    browser.see(Role::Heading, "Sign in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_creates_a_key_sees_it_once_and_revokes_it() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    fixture.open("/webhooks").await;
    browser.within("nav[aria-label=Main]").click(Role::Link, "Keys").await;
    browser.see(Role::Heading, "No keys yet").await;
    browser.click(Role::Button, "Create Key").await;
    browser.choose("Role", "viewer: sees everything but secrets, keys and the audit trail").await;
    browser.choose("Expires after", "7 days").await;
    browser.click(Role::Button, "Create").await;
    browser.text_when("#display_name-error", "asks for a name", |text| !text.is_empty()).await;
    assert_eq!(browser.value("Role").await, "viewer", "what was chosen is kept");
    assert_eq!(browser.value("Expires after").await, "7");
    browser.fill("Name", "kim").await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "kim is ready").await;
    let token = browser.text("#token").await;
    assert!(token.starts_with("kt_") && token.len() == 67, "{token}");
    browser.reload().await;
    assert!(!browser.text("main").await.contains(&token), "it is shown once");

    let session = HttpSession::open(&fixture.console, &token).await;
    assert_eq!(session.get("/webhooks").await.status, 200, "the key lets its owner in");
    browser.disable_scripts().await;
    browser.click(Role::Link, "Go to the keys").await;
    let rows = browser.rows("main tbody tr").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0][0].starts_with("kim") && rows[0][2].contains("Valid"), "{rows:?}");
    browser.click(Role::Link, "Sessions").await;
    let rows = browser.rows("main tbody tr").await;
    assert_eq!(rows.len(), 2, "the admin's and kim's: {rows:?}");
    browser.click(Role::Link, "API keys").await;
    browser.click(Role::Link, "Revoke kim").await;
    browser.see(Role::Heading, "Revoke kim?").await;
    browser.click(Role::Button, "Revoke").await;
    browser.see(Role::Heading, "Keys").await;
    let rows = browser.rows("main tbody tr").await;
    assert!(rows[0][2].contains("Revoked"), "{rows:?}");
    eventually("kim's session has ended with the key", async || {
        (session.get("/webhooks").await.status == 303).then_some(())
    })
    .await;
    fixture.assert_no_complaints_but_of_status(&[422]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_would_outlive_its_creator_is_refused_beside_its_field() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let access = AccessClient::new(&fixture.server);
    let key = access.create_key_for("guest", v1::Role::Admin, Some(3 * 86_400)).await;
    let browser = fixture.sign_in_again_with(&key).await;
    browser.open(&format!("{}/keys/new", fixture.console)).await;
    browser.fill("Name", "kim").await;
    browser.choose("Role", "viewer: sees everything but secrets, keys and the audit trail").await;
    browser.choose("Expires after", "30 days").await;
    browser.click(Role::Button, "Create").await;
    let said = browser.text_when("#ttl-error", "says why", |text| !text.is_empty()).await;
    assert!(said.contains("valid until"), "{said}");
    let attribute = async |name| browser.attribute(Role::Field, "Expires after", name).await;
    assert_eq!(attribute("aria-invalid").await.as_deref(), Some("true"));
    assert_eq!(attribute("aria-describedby").await.as_deref(), Some("ttl-error"));
    for (label, value) in [("Name", "kim"), ("Role", "viewer"), ("Expires after", "30")] {
        assert_eq!(browser.value(label).await, value, "what was typed is kept");
    }
    let above =
        browser.run("return document.querySelectorAll('main [role=alert]').length;", json!([]));
    assert_eq!(above.await, 0, "it is said once");

    browser.choose("Expires after", "1 day").await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "kim is ready").await;
}
