//! The console while its services are not available, and after they return.

use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::{Launch, Process};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use serde_json::json;

use crate::console::fixture::{LOG, ORGANIZATION, column, having, sign_in};
use crate::platform::{Backend, Database, PATIENCE, Server, console_url, eventually};

/// A server without a console, and a console in a process of its own.
struct SeparateConsole {
    server: Server,
    receiver: Receiver,
    browser: Browser,
    console: String,
    _console_process: Process,
    _database: Database,
}

impl SeparateConsole {
    async fn start() -> Self {
        let receiver = Receiver::start(Script::default());
        let database = Database::new(Backend::Sqlite).await;
        let serve = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
        let server = serve.start().await;
        let service = format!("http://{}", server.address());
        let process = Launch::binary("console")
            .args(["--console-listen", "127.0.0.1:0", "--endpoint-service", &service])
            .args(["--ingest-service", &service, "--dispatch-service", &service])
            .args(["--access-service", &service, "--notification-service", &service])
            .start();
        let line = process.wait_for_line(|line| console_url(line).is_some(), PATIENCE).await;
        let console = console_url(&line).expect("the line was chosen for its URL").to_owned();
        let browser = Browser::start().await;
        sign_in(&browser, &console, FIRST_KEY).await;
        Self { server, receiver, browser, console, _console_process: process, _database: database }
    }

    /// How often the open page has lost its stream of updates.
    async fn lost_streams(&self) -> i64 {
        let script = "return performance.getEntriesByType('resource')
            .filter((entry) => entry.name.includes('/live')).length;";
        self.browser.run(script, json!([])).await.as_i64().expect("a number")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_goes_on_when_the_services_have_come_back() {
    let mut apart = SeparateConsole::start().await;
    let client = apart.server.client(ORGANIZATION);
    let endpoint = client.create_endpoint(&apart.receiver.url("/hook"), &["policy.block"]).await;
    let page = format!("{}/webhooks/{}", apart.console, endpoint.id);
    apart.browser.open(&page).await;
    client.publish("policy.block", "{}").await;
    let delivered = |count: usize| {
        move |rows: &[Vec<String>]| having(rows, column::OUTCOME, "Delivered") == count
    };
    apart.browser.rows_when(LOG, "show the first", delivered(1)).await;

    apart.server.kill().await;
    // When the services went, and at least once while they were not available.
    eventually("the page has tried again", async || {
        (apart.lost_streams().await >= 2).then_some(())
    })
    .await;
    apart.server.start_again().await;
    client.publish("policy.block", "{}").await;
    apart.browser.rows_when(LOG, "show the second", delivered(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_could_not_be_submitted_is_kept() {
    let mut apart = SeparateConsole::start().await;
    let browser = &apart.browser;
    browser.open(&format!("{}/webhooks/new", apart.console)).await;
    let url = apart.receiver.url("/hook");
    browser.fill("Name", "siem").await;
    browser.fill("URL", &url).await;
    browser.click(Role::Button, "Next").await;
    browser.tick("policy.block", true).await;
    apart.server.kill().await;
    browser.click(Role::Button, "Create").await;
    browser.text_when("[role=alert]", "says so", |text| text.contains("not available")).await;
    assert!(browser.is_ticked("policy.block").await, "the selection is kept");
    browser.click(Role::Button, "Back").await;
    assert_eq!(browser.value("URL").await, url, "and so is what was typed");

    apart.server.start_again().await;
    browser.click(Role::Button, "Next").await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "siem is ready").await;
}
