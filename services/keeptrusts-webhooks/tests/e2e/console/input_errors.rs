//! Errors in the console: said in words, in the right place, without losing input.

use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http::{Client, Method};
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::process::Launch;

use crate::console::fixture::{ConsoleFixture, HttpSession};
use crate::platform::{PATIENCE, console_url};

const SECRET: &str = "a custom secret, long enough";
const NOTES: &str = "Notes & \"quotes\"\nin two lines";

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_shown_beside_their_fields_and_input_is_kept() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    fixture.open("/webhooks/new").await;
    browser.fill("Name", "slack-escalations").await;
    browser.fill("URL", "http://hooks.example.com/x").await;
    browser.fill("Secret", SECRET).await;
    browser.fill("Description", NOTES).await;
    // As many people do: it means Next, although Generate is the first visible button.
    browser.press_enter("URL").await;
    let reason = wrong(browser, "URL", "url").await;
    assert!(reason.contains("https"), "{reason}");
    assert_first_step(browser, ["slack-escalations", "http://hooks.example.com/x", SECRET]).await;

    let url = fixture.receiver.url("/hook");
    browser.fill("URL", &url).await;
    browser.fill("Name", "").await;
    browser.click(Role::Button, "Next").await;
    wrong(browser, "Name", "display_name").await;
    assert_first_step(browser, ["", &url, SECRET]).await;

    browser.fill("Name", "slack-escalations").await;
    browser.fill("Secret", "too short").await;
    browser.click(Role::Button, "Next").await;
    let reason = wrong(browser, "Secret", "secret").await;
    assert!(reason.contains("16"), "it says how long a secret must be: {reason}");
    assert_first_step(browser, ["slack-escalations", &url, "too short"]).await;

    browser.fill("Secret", SECRET).await;
    browser.click(Role::Button, "Next").await;
    browser.see(Role::Checkbox, "policy.violation").await;
    browser.click(Role::Button, "Create").await;
    browser.text_when("main .error", "asks for an event type", |text| !text.is_empty()).await;
    assert_eq!(fixture.endpoints().await, [], "nothing was created so far");

    browser.tick("export.failed", true).await;
    browser.click(Role::Button, "Back").await;
    assert_first_step(browser, ["slack-escalations", &url, SECRET]).await;
    browser.click(Role::Button, "Next").await;
    assert!(browser.is_ticked("export.failed").await, "going back loses nothing either");
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "slack-escalations is ready").await;
    assert_eq!(browser.text("#secret").await, SECRET);
    let endpoint = fixture.endpoints().await.remove(0);
    assert_eq!(endpoint.description.replace("\r\n", "\n"), NOTES);
    assert_eq!(endpoint.event_types, ["export.failed"]);
    fixture.assert_no_complaints_but_of_status(&[422]).await;
}

/// The error text of a field, which must be marked.
async fn wrong(browser: &Browser, label: &str, id: &str) -> String {
    let id = format!("{id}-error");
    let said = browser.text_when(&format!("#{id}"), "says why", |text| !text.is_empty()).await;
    let attribute = async |name| browser.attribute(Role::Field, label, name).await;
    assert_eq!(attribute("aria-invalid").await.as_deref(), Some("true"));
    let described_by = attribute("aria-describedby").await.unwrap_or_default();
    assert!(described_by.split(' ').any(|described_by| described_by == id), "{described_by}");
    said
}

async fn assert_first_step(browser: &Browser, [name, url, secret]: [&str; 3]) {
    for (label, value) in [("Name", name), ("URL", url), ("Secret", secret)] {
        assert_eq!(browser.value(label).await, value, "{label}");
    }
    assert_eq!(browser.value("Description").await.replace("\r\n", "\n"), NOTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_exist_says_so_and_leads_back() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let id = "01KPX3Z9R9Q5C3W6M4T8N2B7A0";
    let session = HttpSession::open(&fixture.console, FIRST_KEY).await;
    for path in [
        "/nothing".to_owned(),
        format!("/webhooks/ep_{id}"),
        "/webhooks/ep_x".to_owned(),
        format!("/webhooks/ep_{id}/edit"),
        format!("/webhooks/ep_{id}/delete"),
        format!("/deliveries/dlv_{id}"),
        format!("/events/evt_{id}"),
        "/events/%3Cscript%3E".to_owned(),
    ] {
        let answer = session.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        fixture.open(&path).await;
        fixture.browser.see(Role::Heading, "Not found").await;
        let navigation = fixture.browser.within("nav[aria-label=Main]");
        navigation.click(Role::Link, "Webhooks").await;
        fixture.browser.see(Role::Heading, "Nothing here yet").await;
    }
    fixture.assert_no_complaints_but_of_status(&[404]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_whose_services_do_not_answer_says_so_and_offers_to_try_again() {
    let away = closed_port();
    let service = format!("http://127.0.0.1:{}", away.port());
    let console = Launch::binary("console")
        .args(["--console-listen", "127.0.0.1:0", "--endpoint-service", &service])
        .args(["--ingest-service", &service, "--dispatch-service", &service])
        .args(["--access-service", &service, "--notification-service", &service])
        .start();
    let line = console.wait_for_line(|line| console_url(line).is_some(), PATIENCE).await;
    let url = console_url(&line).expect("the line was chosen for its URL");

    // The services would have to be asked about this session.
    let cookie = format!("keeptrusts_console={FIRST_KEY}");
    let page = format!("{url}/webhooks");
    let cookie = [("cookie", cookie.as_str())];
    let answer = Client::new().send(Method::GET, &page, &cookie, "".into()).await;
    assert_eq!(answer.status, 503);
    let page = answer.text();
    assert!(page.contains("Try again"), "{page}");
    assert!(!page.contains("tonic") && !page.contains("tcp connect"), "nothing internal: {page}");
}
