//! A client of the W3C WebDriver protocol: JSON over HTTP to a chromedriver.
//!
//! <https://www.w3.org/TR/webdriver2/> and, for Chromium's extensions,
//! <https://chromedriver.chromium.org/extensions>. The client crates would bring twenty more packages,
//! and have neither computed labels, nor the console's log, nor DevTools commands.

use std::fmt;

use hyper::Method;
use serde_json::{Value, json};

use crate::http::Client;

/// The key of an element in JSON (WebDriver section 12).
const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    url: String,
}

#[derive(Debug)]
pub(super) struct WebDriverError {
    error: String,
    message: String,
}

/// An element. It is valid while its page is open.
#[derive(Clone, Debug)]
pub(super) struct ElementId(String);

impl ElementId {
    /// The element as a script's argument.
    pub(super) fn json(&self) -> Value {
        json!({ ELEMENT_KEY: self.0 })
    }
}

impl WebDriverError {
    /// Whether a retry may succeed: the page was changing, or something covered the element.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self.error.as_str(),
            "stale element reference"
                | "element click intercepted"
                | "element not interactable"
                | "invalid element state"
                | "no such element"
        ) || self.message.contains("aborted by navigation")
    }
}

impl fmt::Display for WebDriverError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The stack trace is chromedriver's own.
        let message = self.message.split("\nStacktrace:").next().unwrap_or_default();
        write!(formatter, "{}: {message}", self.error)
    }
}

impl Session {
    /// Opens a session at a chromedriver on this port.
    pub(super) async fn open(port: u16, capabilities: Value) -> Self {
        let client = Client::new();
        let mut session = Self { client, url: format!("http://127.0.0.1:{port}/session") };
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let opened = session.post("", wanted).await;
        let opened = opened.unwrap_or_else(|error| panic!("no browser session: {error}"));
        let id = opened["sessionId"].as_str().expect("a session has an id");
        session.url = format!("{}/{id}", session.url);
        session
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, WebDriverError> {
        self.command(Method::GET, path, String::new()).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        parameters: Value,
    ) -> Result<Value, WebDriverError> {
        self.command(Method::POST, path, parameters.to_string()).await
    }

    async fn command(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Value, WebDriverError> {
        let url = if path.is_empty() { self.url.clone() } else { format!("{}/{path}", self.url) };
        let headers = [("content-type", "application/json")];
        let answer = self.client.send(method, &url, &headers, body.into()).await;
        let mut content: Value = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {error} in {}", answer.text()));
        let value = content["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(WebDriverError { error: text("error"), message: text("message") })
    }

    /// A command of the Chrome DevTools protocol to the window.
    /// <https://chromedevtools.github.io/devtools-protocol/>
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let parameters = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", parameters)
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Runs the body of a function in the page.
    pub(super) async fn run(
        &self,
        script: &str,
        arguments: Value,
    ) -> Result<Value, WebDriverError> {
        self.post("execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// The elements that match a CSS selector, in the page's order.
    pub(super) async fn select(&self, selector: &str) -> Result<Vec<ElementId>, WebDriverError> {
        self.find("elements", selector).await
    }

    /// The elements inside another one that match a CSS selector.
    pub(super) async fn select_in(
        &self,
        element: &ElementId,
        selector: &str,
    ) -> Result<Vec<ElementId>, WebDriverError> {
        self.find(&format!("element/{}/elements", element.0), selector).await
    }

    async fn find(&self, path: &str, selector: &str) -> Result<Vec<ElementId>, WebDriverError> {
        let found = self.post(path, json!({ "using": "css selector", "value": selector })).await?;
        let id = |element: &Value| {
            let id = element[ELEMENT_KEY].as_str().expect("an element has an id");
            ElementId(id.to_owned())
        };
        Ok(found.as_array().expect("elements are a list").iter().map(id).collect())
    }

    /// A property of an element: `text`, `computedrole`, `attribute/href`, …
    pub(super) async fn ask(
        &self,
        element: &ElementId,
        what: &str,
    ) -> Result<Value, WebDriverError> {
        self.get(&format!("element/{}/{what}", element.0)).await
    }

    /// The same, as text; empty if there is none.
    pub(super) async fn ask_text(
        &self,
        element: &ElementId,
        what: &str,
    ) -> Result<String, WebDriverError> {
        let value = self.ask(element, what).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// An action on an element: `click`, `clear` or `value`.
    pub(super) async fn act(
        &self,
        element: &ElementId,
        action: &str,
        parameters: Value,
    ) -> Result<(), WebDriverError> {
        self.post(&format!("element/{}/{action}", element.0), parameters).await.map(drop)
    }
}
