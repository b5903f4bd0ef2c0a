//! A headless Chromium, and its window as its user sees it.
//!
//! Each browser has a profile of its own and ends with the test. It is driven over WebDriver;
//! at most two run at a time in a test process, and others wait for their turn.
//!
//! Elements are found as a screen reader finds them, by [`Role`] and by the name that the
//! browser computes: what cannot be found that way is a defect of the page.

mod axe;
mod driver;
mod navigation;
mod part;
mod role;
mod session;
mod view;

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

pub use self::axe::Violation;
use self::driver::Driver;
pub use self::part::Part;
pub use self::role::Role;
use self::session::{Refusal, Session};
pub use self::view::{ColorScheme, Size};

/// A running browser; ended when dropped. It is used as the page in its current window.
#[derive(Debug)]
pub struct Browser {
    page: Part,
    _driver: Driver,
}

/// A window of a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window(String);

/// A line of the browser's console, where scripts, policies and failed requests complain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleMessage {
    /// `network`, `security`, `javascript`, `console-api`, …
    pub source: String,
    /// What it says, beginning with the URL.
    pub message: String,
}

impl Deref for Browser {
    type Target = Part;

    fn deref(&self) -> &Part {
        &self.page
    }
}

impl Browser {
    /// Starts a browser with one empty window, 1280 px wide, that prefers light colours.
    ///
    /// There is room for few. A test that has one must not ask for another: two such tests would
    /// wait for each other for ever.
    pub async fn start() -> Self {
        Self::with(false).await
    }

    /// The same, and it takes any certificate: for pages of a server whose authority no browser
    /// knows.
    pub async fn start_accepting_any_certificate() -> Self {
        Self::with(true).await
    }

    async fn with(any_certificate: bool) -> Self {
        let (driver, session) = Driver::start(any_certificate).await;
        let browser = Self { page: Part::whole(Arc::new(session)), _driver: driver };
        browser.resize(Size::DESKTOP).await;
        browser.set_color_scheme(ColorScheme::Light).await;
        browser
    }

    /// Goes to a URL, and waits until the page has been loaded.
    pub async fn open(&self, url: &str) {
        expect(&format!("open {url}"), self.session().post("url", json!({ "url": url })).await);
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        expect("reload", self.session().post("refresh", json!({})).await);
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        expect("go back", self.session().post("back", json!({})).await);
    }

    /// The URL of the page.
    pub async fn url(&self) -> String {
        let url = expect("ask for the URL", self.session().get("url").await);
        url.as_str().expect("a URL is text").to_owned()
    }

    /// Waits until the page's URL is as expected. `what` says in words what is expected of it.
    pub async fn url_when(&self, what: &str, expected: impl Fn(&str) -> bool) -> String {
        self.eventually(&format!("the URL {what}"), async || {
            Ok(Some(self.url().await).filter(|url| expected(url)))
        })
        .await
    }

    /// Gives the page this much room.
    pub async fn resize(&self, size: Size) {
        view::resize(self.session(), size).await;
    }

    /// Prefers these colours from now on.
    pub async fn set_color_scheme(&self, colours: ColorScheme) {
        view::set_color_scheme(self.session(), colours).await;
    }

    /// Is in this time zone (`Asia/Tokyo`, for example) from now on.
    pub async fn set_time_zone(&self, name: &str) {
        let zone = json!({ "timezoneId": name });
        self.session().devtools("Emulation.setTimezoneOverride", zone).await;
    }

    /// Runs no scripts of pages any more that are opened in this window.
    pub async fn disable_scripts(&self) {
        let disabled = json!({ "value": true });
        self.session().devtools("Emulation.setScriptExecutionDisabled", disabled).await;
    }

    /// The current window.
    pub async fn window(&self) -> Window {
        let handle = expect("ask for the window", self.session().get("window").await);
        Window(handle.as_str().expect("a handle is text").to_owned())
    }

    /// Opens another, empty window of the same profile, and goes over to it.
    pub async fn open_window(&self) -> Window {
        let opened = self.session().post("window/new", json!({ "type": "window" })).await;
        let opened = expect("open a window", opened);
        let window = Window(opened["handle"].as_str().expect("a handle is text").to_owned());
        self.go_to(&window).await;
        self.resize(Size::DESKTOP).await;
        self.set_color_scheme(ColorScheme::Light).await;
        window
    }

    /// Goes over to a window.
    pub async fn go_to(&self, window: &Window) {
        let handle = json!({ "handle": window.0 });
        expect("go to a window", self.session().post("window", handle).await);
    }

    /// What the console has complained about since the last call: errors of scripts, refused
    /// requests, and what the page's policy forbids. A page that is answered with an error is
    /// a complaint as well.
    pub async fn console_messages(&self) -> Vec<ConsoleMessage> {
        let log = self.session().post("se/log", json!({ "type": "browser" })).await;
        let log = expect("read the console's log", log);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = log.as_array().into_iter().flatten();
        entries
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| ConsoleMessage {
                source: text(&entry["source"]),
                message: text(&entry["message"]),
            })
            .collect()
    }

    /// What axe-core finds serious or critical in the page, by the rules of WCAG 2.2 AA.
    pub async fn accessibility_violations(&self) -> Vec<Violation> {
        axe::violations(self.session()).await
    }

    /// Takes a picture of the whole page; where it is kept:
    /// `target/screenshots/<name>.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let path = view::path(name);
        fs::write(&path, view::picture(self.session()).await)
            .unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
        path
    }

    fn session(&self) -> &Session {
        self.page.session()
    }
}

fn expect(what: &str, outcome: Result<Value, Refusal>) -> Value {
    outcome.unwrap_or_else(|refusal| panic!("the browser could not {what}: {refusal}"))
}
