//! The fixture of the console's tests: a receiver, a server with its console, and a browser.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use serde_json::json;

use crate::platform::{Backend, Client, Database, Server};

/// No retries happen during a test.
pub(crate) const FAR_AWAY: &str = "1h,1h";

/// The organization that the console shows.
pub(crate) const ORGANIZATION: &str = "default";

/// The categories of the tutorial's step 3 with their event types.
pub(crate) const CATALOGUE: [(&str, &[&str]); 6] = [
    ("Policy", &["policy.violation", "policy.block", "policy.redaction"]),
    ("Escalation", &["escalation.created", "escalation.resolved", "escalation.expired"]),
    ("Configuration", &["config.updated", "config.deployed", "config.sync.failed"]),
    ("Export", &["export.completed", "export.failed"]),
    ("Gateway", &["gateway.connected", "gateway.disconnected"]),
    ("System", &["key.rotated", "key.revoked", "user.invited"]),
];

pub(crate) struct ConsoleFixture {
    pub(crate) browser: Browser,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
    pub(crate) console: String,
    database: Database,
}

impl ConsoleFixture {
    /// An empty database, a receiver that answers by the script, and retries after these waits.
    pub(crate) async fn start(script: Script, schedule: &str) -> Self {
        let receiver = Receiver::start(script);
        let database = Database::new(Backend::Sqlite).await;
        let server = serve(&database, &receiver, schedule).await;
        let console = server.console().await;
        let client = server.client(ORGANIZATION);
        let browser = Browser::start().await;
        sign_in(&browser, &console, FIRST_KEY).await;
        Self { browser, client, server, receiver, console, database }
    }

    /// Restarts the server with another schedule. Whoever was signed in still is.
    pub(crate) async fn reschedule(&mut self, schedule: &str) {
        self.server.stop().await;
        self.server = serve(&self.database, &self.receiver, schedule).await;
        self.console = self.server.console().await;
        self.client = self.server.client(ORGANIZATION);
    }

    /// The same with a receiver that answers 200, and without retries.
    pub(crate) async fn start_with_good_receiver() -> Self {
        Self::start(Script::default(), FAR_AWAY).await
    }

    /// Signs the browser in with another key.
    pub(crate) async fn sign_in_again_with(&self, key: &str) -> &Browser {
        self.browser.click(Role::Button, "Sign out").await;
        self.browser.see(Role::Heading, "Sign in").await;
        sign_in(&self.browser, &self.console, key).await;
        &self.browser
    }

    /// Opens a page by its path.
    pub(crate) async fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.console)).await;
    }

    /// Creates an endpoint through the API; returns its id.
    pub(crate) async fn endpoint(&self, name: &str, path: &str, event_types: &[&str]) -> String {
        let request = v1::CreateEndpointRequest {
            organization_id: ORGANIZATION.to_owned(),
            endpoint: Some(v1::Endpoint {
                display_name: name.to_owned(),
                url: self.receiver.url(path),
                description: format!("what {name} is for"),
                event_types: event_types.iter().map(|name| (*name).to_owned()).collect(),
                ..v1::Endpoint::default()
            }),
            ..Default::default()
        };
        let answer = self.client.endpoints().create_endpoint(request).await;
        let created = answer.expect("the endpoint is created").into_inner();
        created.endpoint.expect("an endpoint").id
    }

    /// The organization's endpoints, newest first.
    pub(crate) async fn endpoints(&self) -> Vec<v1::Endpoint> {
        let request = v1::ListEndpointsRequest {
            organization_id: ORGANIZATION.to_owned(),
            ..Default::default()
        };
        let answer = self.client.endpoints().list_endpoints(request).await;
        answer.expect("endpoints are listed").into_inner().endpoints
    }

    /// Opens the menu of an endpoint and chooses an entry.
    pub(crate) async fn choose_action(&self, endpoint: &str, action: &str) {
        self.browser.click(Role::Button, &format!("Actions for {endpoint}")).await;
        self.browser.click(Role::MenuItem, action).await;
    }

    /// Puts a mark into the page that is lost when a page is loaded.
    pub(crate) async fn mark_page(&self) {
        self.browser.run("window.notLoadedAgain = true;", json!([])).await;
    }

    /// Fails if the page was loaded again since it was marked.
    pub(crate) async fn assert_not_loaded_again(&self) {
        let mark = self.browser.run("return window.notLoadedAgain === true;", json!([])).await;
        assert_eq!(mark, true, "the page was loaded again");
    }

    /// Fails if a script failed, a request was refused, or the page's policy was violated.
    pub(crate) async fn assert_no_complaints(&self) {
        assert_eq!(self.browser.console_messages().await, []);
    }

    /// The same, except that responses with these statuses are expected.
    pub(crate) async fn assert_no_complaints_but_of_status(&self, statuses: &[u16]) {
        let mut complaints = self.browser.console_messages().await;
        complaints.retain(|it| {
            let is_of = |status| it.message.contains(&format!("status of {status} "));
            it.source != "network" || !statuses.iter().any(is_of)
        });
        assert_eq!(complaints, []);
    }
}

/// Signs in with a key, as its owner does.
pub(crate) async fn sign_in(browser: &Browser, console: &str, key: &str) {
    browser.open(&format!("{console}/sign-in")).await;
    browser.fill("Key", key).await;
    browser.click(Role::Button, "Sign in").await;
    browser.see(Role::Button, "Sign out").await;
}

/// A session in the console, without a browser.
pub(crate) struct HttpSession {
    pub(crate) client: http::Client,
    pub(crate) console: String,
    /// `name=value`.
    pub(crate) cookie: String,
}

/// The content type of forms.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl HttpSession {
    /// Signs in with a key.
    pub(crate) async fn open(console: &str, key: &str) -> Self {
        let mut session = Self::of_nobody(console).await;
        let token = session.form_token("/sign-in").await;
        let body = format!("csrf={token}&key={key}&organization={ORGANIZATION}");
        let answer = session.post("/sign-in", body).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        session.cookie = cookie_of(&answer).expect("a session");
        session
    }

    /// The anonymous session after a visit to the sign-in page.
    pub(crate) async fn of_nobody(console: &str) -> Self {
        let client = http::Client::new();
        let answer = client.get(&format!("{console}/sign-in")).await;
        let cookie = cookie_of(&answer).expect("a session of nobody");
        Self { client, console: console.to_owned(), cookie }
    }

    /// Asks for a page.
    pub(crate) async fn get(&self, path: &str) -> http::Response {
        self.send(http::Method::GET, path, &[], String::new()).await
    }

    /// Posts a form.
    pub(crate) async fn post(&self, path: &str, body: String) -> http::Response {
        self.send(http::Method::POST, path, &[("content-type", FORM)], body).await
    }

    /// The token in the forms of a page.
    pub(crate) async fn form_token(&self, path: &str) -> String {
        let html = self.get(path).await.text();
        let tag = html.split('<').find(|tag| tag.contains(r#"name="csrf""#)).expect("a form");
        let (_, value) = tag.split_once(r#"value=""#).expect("the token has a value");
        let token = value.split('"').next().unwrap_or_default().to_owned();
        assert!(token.len() >= 32, "{token}");
        token
    }

    /// Sends a request with these headers in addition to the cookie.
    pub(crate) async fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> http::Response {
        let url = format!("{}{path}", self.console);
        let headers: Vec<_> =
            [("cookie", self.cookie.as_str())].iter().chain(headers).copied().collect();
        self.client.send(method, &url, &headers, body.into()).await
    }
}

/// The session cookie that a response sets, as the browser sends it afterwards.
pub(crate) fn cookie_of(answer: &http::Response) -> Option<String> {
    let cookie = answer.header("set-cookie")?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}

async fn serve(database: &Database, receiver: &Receiver, schedule: &str) -> Server {
    let serve = Server::all_in_one(database).delivering_to(receiver);
    serve.retrying_after(schedule).start().await
}

/// How many rows of a table have this text in a column, counted from 0.
pub(crate) fn having(rows: &[Vec<String>], column: usize, content: &str) -> usize {
    rows.iter().filter(|row| row.get(column).is_some_and(|cell| cell == content)).count()
}

/// The columns of the delivery log.
pub(crate) mod column {
    pub(crate) const EVENT: usize = 1;
    pub(crate) const STATUS_CODE: usize = 2;
    pub(crate) const OUTCOME: usize = 4;
}

/// Where the outcome of an action is shown.
pub(crate) const STATUS: &str = "#outcome[role=status]";

/// The rows of the delivery log.
pub(crate) const LOG: &str = "#attempts tr";
