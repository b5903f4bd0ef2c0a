//! Signing in with a key, staying signed in, and the end of a session.

use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http::{Client, Method};

use crate::console::access::AccessClient;
use crate::console::fixture::{ConsoleFixture, HttpSession, LOG, ORGANIZATION, STATUS, sign_in};
use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_leads_to_the_requested_page_and_shows_the_visitor() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let console = server.console().await;
    let browser = Browser::start().await;
    browser.open(&format!("{console}/events?from=2026-01-01T00%3A00")).await;
    browser.see(Role::Heading, "Sign in").await;
    assert!(!browser.shows(Role::Link, "Webhooks").await, "nothing leads further");
    assert_eq!(browser.value("Organization").await, ORGANIZATION);

    let wrong = format!("kt_{}", "0".repeat(64));
    for key in ["", "what is this", &wrong] {
        browser.fill("Key", key).await;
        browser.click(Role::Button, "Sign in").await;
        let said = browser.text_when("#key-error", "says so", |text| !text.is_empty()).await;
        let expected = if key.is_empty() { "Paste your key." } else { "This key is not valid." };
        assert_eq!(said, expected);
        assert_eq!(browser.value("Key").await, "", "a key is never sent back");
    }
    browser.fill("Key", FIRST_KEY).await;
    browser.fill("Organization", "Not An Id").await;
    browser.click(Role::Button, "Sign in").await;
    browser.text_when("#organization-error", "says why", |text| !text.is_empty()).await;

    browser.fill("Key", FIRST_KEY).await;
    browser.fill("Organization", "acme").await;
    browser.click(Role::Button, "Sign in").await;
    browser.see(Role::Heading, "Events").await;
    let url = browser.url().await;
    assert!(url.ends_with("/events?from=2026-01-01T00%3A00"), "{url}");
    let frame = browser.text("header").await;
    assert!(frame.contains("acme") && frame.contains("admin"), "{frame}");

    browser.click(Role::Button, "Sign out").await;
    browser.see(Role::Heading, "Sign in").await;
    assert_eq!(browser.text(STATUS).await, "You have signed out.");
    browser.open(&format!("{console}/webhooks")).await;
    browser.see(Role::Heading, "Sign in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_gives_another_cookie_and_signing_out_ends_the_session_itself() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let console = server.console().await;
    let nobody = HttpSession::of_nobody(&console).await;
    let session = HttpSession::open(&console, FIRST_KEY).await;
    assert_ne!(session.cookie, nobody.cookie);
    assert!(session.cookie.starts_with("keeptrusts_console=kt_"), "a session's token");
    assert!(!session.cookie.contains(FIRST_KEY), "the key is not kept");
    assert_eq!(session.get("/webhooks").await.status, 200);

    let token = session.form_token("/webhooks/new").await;
    let answer = session.post("/sign-out", format!("csrf={token}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")));
    let answer = eventually("the services know that it has ended", async || {
        Some(session.get("/webhooks").await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")));
    assert!(answer.header("set-cookie").is_some(), "the token is taken away from the browser");

    let key_as_cookie = HttpSession {
        cookie: format!("keeptrusts_console={FIRST_KEY}"),
        ..HttpSession::of_nobody(&console).await
    };
    assert_eq!(key_as_cookie.get("/webhooks").await.status, 303, "a key is no session");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_leads_to_no_other_site() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let console = server.console().await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "%2F%2Fevil.example"]
    {
        let nobody = HttpSession::of_nobody(&console).await;
        let token = nobody.form_token("/sign-in").await;
        let body = format!("csrf={token}&key={FIRST_KEY}&organization=acme&next={next}");
        let answer = nobody.post("/sign-in", body).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/webhooks")), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_people_signed_in() {
    let mut fixture = ConsoleFixture::start_with_good_receiver().await;
    fixture.open("/webhooks").await;
    fixture.reschedule("2h").await;
    fixture.open("/webhooks").await;
    fixture.browser.see(Role::Button, "Sign out").await;
    fixture.browser.see(Role::Heading, "Nothing here yet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_wrong_keys_show_when_to_try_again() {
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).flag("--failed-logins-per-minute", "2").start().await;
    let console = server.console().await;
    let nobody = HttpSession::of_nobody(&console).await;
    let token = nobody.form_token("/sign-in").await;
    let wrong = |digit: char| format!("csrf={token}&key=kt_{}", digit.to_string().repeat(64));
    let mut answers = Vec::new();
    for digit in ['0', '1', '2', '3'] {
        answers.push(nobody.post("/sign-in", wrong(digit)).await);
    }
    assert_eq!(answers[0].status, 422);
    let last = answers.last().expect("there are four");
    assert_eq!(last.status, 429);
    let seconds: u64 = last.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(last.text().contains(&format!("Try again in {seconds} seconds")), "{}", last.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_leads_to_the_sign_in_page_and_a_form_says_that_it_was_not_accepted() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    let id = fixture.endpoint("siem", "/hook", &["policy.block"]).await;

    fixture.open("/webhooks/new").await;
    browser.fill("Name", "never to be created").await;
    browser.fill("URL", &fixture.receiver.url("/hook")).await;
    end_all_sessions(&fixture).await;
    browser.click(Role::Button, "Next").await;
    browser.see(Role::Heading, "Your session has ended").await;
    let said = browser.text("main").await;
    assert!(said.contains("Nothing was changed"), "{said}");
    browser.click(Role::Link, "Sign in").await;
    browser.see(Role::Heading, "Sign in").await;
    assert!(browser.text(STATUS).await.contains("has ended"), "it says why one is here");

    sign_in(browser, &fixture.console, FIRST_KEY).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    fixture.client.publish("policy.block", "{}").await;
    browser.rows_when(LOG, "show the event", |rows| rows.len() == 1).await;
    // The open page is told, and does not reconnect for ever.
    end_all_sessions(&fixture).await;
    browser.text_when(STATUS, "says so", |text| text.contains("session has ended")).await;
    browser.reload().await;
    browser.see(Role::Heading, "Sign in").await;
    let page = format!("next=%2Fwebhooks%2F{id}");
    browser.url_when("leads back", |url| url.contains(&page)).await;
    assert_eq!(fixture.endpoints().await.len(), 1, "nothing was created");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_the_console_answers_to_its_public_name_and_its_cookie_is_for_tls_only() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--console-public-url", "https://hooks.example.com")
        .start()
        .await;
    let is_said = |line: &str| line.contains("the console is at https://hooks.example.com/");
    let line = server.process().wait_for_line(is_said, PATIENCE).await;
    let (_, rest) = line.split_once("listening=").expect("where it listens");
    let url = format!("http://{}/sign-in", rest.split_whitespace().next().unwrap_or_default());
    let ask = async |host: &str| {
        Client::new().send(Method::GET, &url, &[("host", host)], "".into()).await
    };
    let answer = ask("hooks.example.com").await;
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").expect("a session");
    assert!(cookie.split("; ").any(|it| it == "Secure"), "{cookie}");
    assert_eq!(ask("console:8080").await.status, 200, "a proxy may pass on any name");
}

/// Ends every session, and waits until the services have noticed, which takes seconds.
async fn end_all_sessions(fixture: &ConsoleFixture) {
    // Looked up after all others, so its cache entry expires last.
    let last = HttpSession::open(&fixture.console, FIRST_KEY).await;
    assert_eq!(last.get("/webhooks").await.status, 200);
    AccessClient::new(&fixture.server).end_all_sessions(ORGANIZATION).await;
    eventually("sessions have ended", async || {
        (last.get("/webhooks").await.status == 303).then_some(())
    })
    .await;
}
