//! What people see when they sign in with their accounts.

use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};
use keeptrusts_webhooks_testkit::process::{Launch, Process};
use serde_json::json;

use super::{SECRET, SignInFixture, trusting};
use crate::console::accessibility::look_at;
use crate::console::fixture::{STATUS, sign_in};
use crate::console::roles::OFFERED;
use crate::platform::{Backend, Database, PATIENCE, Server, console_url};

const BUTTON: &str = "Sign in with Acme ID";

/// Presses the button, and logs in at the issuer.
async fn log_in(browser: &Browser) {
    browser.click(Role::Button, BUTTON).await;
    browser.see(Role::Heading, "Log in at the issuer").await;
    browser.click(Role::Button, "Log in as Ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_with_an_account_leads_to_the_requested_page() {
    let fixture = SignInFixture::with_a("admin").await;
    let browser = Browser::start_accepting_any_certificate().await;
    browser.open(&format!("{}/events?from=2026-01-01T00%3A00", fixture.console)).await;
    log_in(&browser).await;
    browser.see(Role::Heading, "Events").await;
    let url = browser.url().await;
    assert!(url.ends_with("/events?from=2026-01-01T00%3A00"), "{url}");
    let frame = browser.text("header").await;
    for said in ["ann@acme.example", "acme", "admin"] {
        assert!(frame.contains(said), "{said} is not in {frame}");
    }
    browser.within("nav[aria-label=Main]").click(Role::Link, "Audit").await;
    browser.see(Role::Heading, "Audit trail").await;
    let complaints = browser.console_messages().await;
    assert_eq!(complaints, [], "the page's policy lets it lead to the issuer, and over others");

    browser.click(Role::Button, "Sign out").await;
    browser.see(Role::Heading, "Sign in").await;
    assert_eq!(browser.text(STATUS).await, "You have signed out.");
    sign_in(&browser, &fixture.console, FIRST_KEY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sign_in_shows_the_issuers_words_and_can_be_repeated() {
    let fixture = SignInFixture::with_a("admin").await;
    let browser = Browser::start_accepting_any_certificate().await;
    browser.open(&format!("{}/audit", fixture.console)).await;
    browser.click(Role::Button, BUTTON).await;
    browser.click(Role::Button, "Cancel").await;
    let said = browser.text_when("[role=alert]", "says why", |text| !text.is_empty()).await;
    assert!(said.starts_with("Acme ID has not let you in, or you have broken it off."), "{said}");
    assert!(said.contains("“Ann has <b>cancelled</b> and so on"), "as text: {said}");
    assert!(said.chars().count() < 300, "and not all of it: {said}");
    log_in(&browser).await;
    browser.see(Role::Heading, "Audit trail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_in_several_tabs_do_not_disturb_one_another() {
    let fixture = SignInFixture::with_a("admin").await;
    let browser = Browser::start_accepting_any_certificate().await;
    let first = browser.window().await;
    browser.open(&format!("{}/events", fixture.console)).await;
    browser.click(Role::Button, BUTTON).await;
    browser.see(Role::Heading, "Log in at the issuer").await;
    browser.open_window().await;
    browser.open(&format!("{}/audit", fixture.console)).await;
    log_in(&browser).await;
    browser.see(Role::Heading, "Audit trail").await;
    browser.go_to(&first).await;
    browser.click(Role::Button, "Log in as Ann").await;
    browser.see(Role::Heading, "Events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewers_account_sees_no_buttons_and_scripts_are_not_needed() {
    let fixture = SignInFixture::with_a("viewer").await;
    let endpoint = fixture.server.client("acme");
    let endpoint = endpoint.create_endpoint("https://hooks.example.com/x", &["policy.block"]).await;
    let browser = Browser::start_accepting_any_certificate().await;
    browser.disable_scripts().await;
    browser.open(&format!("{}/webhooks", fixture.console)).await;
    log_in(&browser).await;
    browser.see(Role::Heading, "Webhooks").await;
    assert!(browser.text("header").await.contains("viewer"));
    for path in ["/webhooks".to_owned(), format!("/webhooks/{}", endpoint.id)] {
        browser.open(&format!("{}{path}", fixture.console)).await;
        browser.see(Role::Button, "Sign out").await;
        let offered = browser.run(OFFERED, json!([])).await;
        assert_eq!(offered, json!(["/sign-out"]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_in_a_process_of_its_own_signs_people_in_at_services_that_accept_them() {
    let issuer = Issuer::start("acme", "admin");
    let database = Database::new(Backend::Sqlite).await;
    let server = trusting(&issuer, Server::all_in_one(&database)).start().await;
    let (_process, console) = console_beside(&server, &issuer).await;
    let browser = Browser::start_accepting_any_certificate().await;
    browser.open(&format!("{console}/webhooks")).await;
    log_in(&browser).await;
    browser.see(Role::Heading, "Nothing here yet").await;
    assert!(browser.text("header").await.contains("ann@acme.example"));

    let database = Database::new(Backend::Sqlite).await;
    let unknowing = Server::all_in_one(&database).start().await;
    let (process, console) = console_beside(&unknowing, &issuer).await;
    browser.open(&console).await;
    log_in(&browser).await;
    let said = browser.text_when("[role=alert]", "says why", |text| !text.is_empty()).await;
    assert!(said.contains("do not accept its accounts"), "{said}");
    let logged = |line: &str| line.contains("as an --oidc-audience");
    process.wait_for_line(logged, PATIENCE).await;
}

/// A console in a process of its own.
async fn console_beside(server: &Server, issuer: &Issuer) -> (Process, String) {
    let service = format!("http://{}", server.address());
    let process = Launch::binary("console")
        .args(["--console-listen", "127.0.0.1:0", "--endpoint-service", &service])
        .args(["--ingest-service", &service, "--dispatch-service", &service])
        .args(["--notification-service", &service])
        .args(["--access-service", &service, "--oidc-issuer", &issuer.url()])
        .args(["--oidc-client-id", CLIENT_ID, "--oidc-label", "Acme ID", "--oidc-ca"])
        .arg(issuer.ca_file())
        .env(SECRET, CLIENT_SECRET)
        .start();
    let line = process.wait_for_line(|line| console_url(line).is_some(), PATIENCE).await;
    let console = console_url(&line).expect("the line was chosen for its URL").to_owned();
    issuer.register(&format!("{console}/sign-in/callback"));
    (process, console)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_with_an_issuer_is_accessible_and_fits_its_screen() {
    let fixture = SignInFixture::with_a("admin").await;
    let browser = Browser::start_accepting_any_certificate().await;
    let mut problems = Vec::new();
    browser.open(&format!("{}/sign-in", fixture.console)).await;
    look_at(&browser, "sign-in-account", &mut problems).await;
    fixture.issuer.set_role(None);
    log_in(&browser).await;
    browser.text_when("[role=alert]", "says why", |text| text.contains("`role`")).await;
    look_at(&browser, "sign-in-account-refused", &mut problems).await;
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
