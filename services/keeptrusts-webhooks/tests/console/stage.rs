//! A receiver, a server with its console, and a browser.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::{Browser, Role};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use serde_json::json;

use crate::platform::{Backend, Client, Database, Server};

/// Nothing is retried by itself while a test lasts.
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

/// Where every story takes place.
pub(crate) struct Stage {
    pub(crate) browser: Browser,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
    pub(crate) console: String,
    database: Database,
}

impl Stage {
    /// An empty database, a receiver that answers by the script, and retries that are due
    /// after these waits.
    pub(crate) async fn set(script: Script, schedule: &str) -> Self {
        let receiver = Receiver::start(script);
        let database = Database::new(Backend::Sqlite).await;
        let server = serve(&database, &receiver, schedule).await;
        let console = server.console().await;
        let client = server.client(ORGANIZATION);
        let browser = Browser::start().await;
        Self { browser, client, server, receiver, console, database }
    }

    /// Starts the server again, with another schedule.
    pub(crate) async fn reschedule(&mut self, schedule: &str) {
        self.server.stop().await;
        self.server = serve(&self.database, &self.receiver, schedule).await;
        self.console = self.server.console().await;
        self.client = self.server.client(ORGANIZATION);
    }

    /// The same with a receiver that answers 200, and no retries for a while.
    pub(crate) async fn set_with_a_good_receiver() -> Self {
        Self::set(Script::default(), FAR_AWAY).await
    }

    /// Opens a page by its path.
    pub(crate) async fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.console)).await;
    }

    /// Creates an endpoint through the API; its id.
    pub(crate) async fn endpoint(&self, name: &str, path: &str, event_types: &[&str]) -> String {
        let request = v1::CreateEndpointRequest {
            organization_id: ORGANIZATION.to_owned(),
            name: name.to_owned(),
            url: self.receiver.url(path),
            description: format!("what {name} is for"),
            event_types: event_types.iter().map(|name| (*name).to_owned()).collect(),
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

    /// Remembers something in the page that is lost when another page, or this one, is loaded.
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
        assert_eq!(self.browser.complaints().await, []);
    }

    /// The same, where pages were answered with these statuses on purpose.
    pub(crate) async fn assert_no_complaints_but_of_status(&self, statuses: &[u16]) {
        let mut complaints = self.browser.complaints().await;
        complaints.retain(|it| {
            let is_of = |status| it.message.contains(&format!("status of {status} "));
            it.source != "network" || !statuses.iter().any(is_of)
        });
        assert_eq!(complaints, []);
    }
}

async fn serve(database: &Database, receiver: &Receiver, schedule: &str) -> Server {
    let serve = Server::all_in_one(database).delivering_to(receiver);
    serve.retrying_after(schedule).start().await
}

/// How many rows of a table have this in a column, counted from 0.
pub(crate) fn having(rows: &[Vec<String>], column: usize, content: &str) -> usize {
    rows.iter().filter(|row| row.get(column).is_some_and(|cell| cell == content)).count()
}

/// The columns of the delivery log.
pub(crate) mod column {
    pub(crate) const EVENT: usize = 1;
    pub(crate) const STATUS_CODE: usize = 2;
    pub(crate) const OUTCOME: usize = 4;
}

/// Where the outcome of what was just done is told.
pub(crate) const STATUS: &str = "#outcome[role=status]";

/// The rows of the delivery log.
pub(crate) const LOG: &str = "#attempts tr";
