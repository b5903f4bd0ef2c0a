//! A headless Chromium, used as a person uses it.
//!
//! Each browser has its own profile and ends with the test. It is driven over WebDriver. At most two
//! run at a time in a test process; others wait.
//!
//! Elements are found as a screen reader finds them, by [`Role`] and by the accessible name that the
//! browser computes. An element that cannot be found that way is a bug of the page.

mod axe;
mod driver;
mod navigation;
mod page_region;
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
pub use self::page_region::PageRegion;
pub use self::role::Role;
use self::session::{Session, WebDriverError};
pub use self::view::{ColorScheme, Size};

/// A running browser; it ends when it is dropped. It dereferences to the page in its current window.
#[derive(Debug)]
pub struct Browser {
    page: PageRegion,
    _driver: Driver,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window(String);

/// An error in the browser's console: of a script, a policy or a failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleMessage {
    /// `network`, `security`, `javascript`, `console-api`, …
    pub source: String,
    /// The text, beginning with the URL.
    pub message: String,
}

impl Deref for Browser {
    type Target = PageRegion;

    fn deref(&self) -> &PageRegion {
        &self.page
    }
}

impl Browser {
    /// Starts a browser with one empty window, 1280 px wide, with light colours.
    ///
    /// A test must not start a second one: two such tests would wait for each other for ever.
    pub async fn start() -> Self {
        Self::with(false).await
    }

    /// The same, but it accepts any certificate, for servers with an authority that no browser
    /// trusts.
    pub async fn start_accepting_any_certificate() -> Self {
        Self::with(true).await
    }

    async fn with(any_certificate: bool) -> Self {
        let (driver, session) = Driver::start(any_certificate).await;
        let browser = Self { page: PageRegion::whole(Arc::new(session)), _driver: driver };
        browser.resize(Size::DESKTOP).await;
        browser.set_color_scheme(ColorScheme::Light).await;
        browser
    }

    /// Opens a URL and waits until the page has been loaded.
    pub async fn open(&self, url: &str) {
        expect(&format!("open {url}"), self.session().post("url", json!({ "url": url })).await);
    }

    pub async fn reload(&self) {
        expect("reload", self.session().post("refresh", json!({})).await);
    }

    pub async fn back(&self) {
        expect("go back", self.session().post("back", json!({})).await);
    }

    pub async fn url(&self) -> String {
        let url = expect("ask for the URL", self.session().get("url").await);
        url.as_str().expect("a URL is text").to_owned()
    }

    /// Waits until the page's URL is as expected. `what` describes the expectation in a failure.
    pub async fn url_when(&self, what: &str, expected: impl Fn(&str) -> bool) -> String {
        self.eventually(&format!("the URL {what}"), async || {
            Ok(Some(self.url().await).filter(|url| expected(url)))
        })
        .await
    }

    /// Sets the size of the viewport.
    pub async fn resize(&self, size: Size) {
        view::resize(self.session(), size).await;
    }

    pub async fn set_color_scheme(&self, colours: ColorScheme) {
        view::set_color_scheme(self.session(), colours).await;
    }

    /// For example `Asia/Tokyo`.
    pub async fn set_time_zone(&self, name: &str) {
        let zone = json!({ "timezoneId": name });
        self.session().devtools("Emulation.setTimezoneOverride", zone).await;
    }

    /// Pages that are opened in this window from now on run no scripts.
    pub async fn disable_scripts(&self) {
        let disabled = json!({ "value": true });
        self.session().devtools("Emulation.setScriptExecutionDisabled", disabled).await;
    }

    pub async fn window(&self) -> Window {
        let handle = expect("ask for the window", self.session().get("window").await);
        Window(handle.as_str().expect("a handle is text").to_owned())
    }

    /// Opens another, empty window of the same profile, and switches to it.
    pub async fn open_window(&self) -> Window {
        let opened = self.session().post("window/new", json!({ "type": "window" })).await;
        let opened = expect("open a window", opened);
        let window = Window(opened["handle"].as_str().expect("a handle is text").to_owned());
        self.go_to(&window).await;
        self.resize(Size::DESKTOP).await;
        self.set_color_scheme(ColorScheme::Light).await;
        window
    }

    /// Switches to a window.
    pub async fn go_to(&self, window: &Window) {
        let handle = json!({ "handle": window.0 });
        expect("go to a window", self.session().post("window", handle).await);
    }

    /// The console's errors since the last call: of scripts, of requests, and violations of the page's
    /// policy. A page with an error status counts as well.
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

    /// The serious and critical findings of axe-core, by the rules of WCAG 2.2 AA.
    pub async fn accessibility_violations(&self) -> Vec<Violation> {
        axe::violations(self.session()).await
    }

    /// Saves a picture of the whole page as `target/screenshots/<name>.png`. Returns the path.
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

fn expect(what: &str, outcome: Result<Value, WebDriverError>) -> Value {
    outcome.unwrap_or_else(|error| panic!("the browser could not {what}: {error}"))
}
