//! A page or a part of it, with the actions of a person.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::navigation;
use super::role::Role;
use super::session::{ElementId, Session, WebDriverError};
use super::view;

/// How long to wait for something that should be there at once. Far more than it takes, because the
/// machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of checks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The whole page, or the inside of the first element that matches a selector. Elements are found by
/// role and name; of several matches, the first is used.
///
/// Waits up to 30 seconds for what is not there yet. Then the test fails with a screenshot and the
/// page's text.
#[derive(Clone, Debug)]
pub struct PageRegion {
    session: Arc<Session>,
    scope: Option<String>,
}

impl PageRegion {
    pub(super) fn whole(session: Arc<Session>) -> Self {
        Self { session, scope: None }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub fn within(&self, selector: &str) -> Self {
        Self { session: Arc::clone(&self.session), scope: Some(selector.to_owned()) }
    }

    pub async fn see(&self, role: Role, name: &str) {
        self.eventually(&format!("there is a {role} {name:?}"), async || {
            self.find(role, name).await.map(|found| found.map(drop))
        })
        .await;
    }

    pub async fn see_no(&self, role: Role, name: &str) {
        self.eventually(&format!("there is no {role} {name:?}"), async || {
            Ok(self.find(role, name).await?.is_none().then_some(()))
        })
        .await;
    }

    /// Whether there is such an element now, without waiting.
    pub async fn shows(&self, role: Role, name: &str) -> bool {
        let found = self.find(role, name).await;
        found.unwrap_or_else(|error| panic!("{role} {name:?}: {error}")).is_some()
    }

    /// If this leads to another page, that page has been loaded when it returns.
    pub async fn click(&self, role: Role, name: &str) {
        self.with(role, name, "click", async |element| {
            navigation::click(&self.session, element).await
        })
        .await;
    }

    /// Clicks the first element that matches a selector: for names that a test cannot know, such as a
    /// time.
    pub async fn click_first(&self, selector: &str) {
        let scoped = self.scoped(&[selector]);
        self.eventually(&format!("one can click {scoped}"), async || {
            match self.session.select(&scoped).await?.first() {
                Some(element) => navigation::click(&self.session, element).await.map(Some),
                None => Ok(None),
            }
        })
        .await;
    }

    /// Replaces a field's content by typing.
    pub async fn fill(&self, label: &str, text: &str) {
        self.with(Role::Field, label, "fill", async |element| {
            self.session.act(element, "clear", json!({})).await?;
            self.session.act(element, "value", json!({ "text": text })).await
        })
        .await;
    }

    /// If this leads to another page, that page has been loaded when it returns.
    pub async fn press_enter(&self, label: &str) {
        self.with(Role::Field, label, "press Enter in", async |element| {
            navigation::press_enter(&self.session, element).await
        })
        .await;
    }

    pub async fn value(&self, label: &str) -> String {
        self.with(Role::Field, label, "read", async |element| {
            self.session.ask_text(element, "property/value").await
        })
        .await
    }

    /// Chooses an entry of a list by its text.
    pub async fn choose(&self, label: &str, option: &str) {
        let doing = format!("choose {option:?} in");
        let found = self.with(Role::Field, label, &doing, async |element| {
            for candidate in self.session.select_in(element, "option").await? {
                let text = self.session.ask_text(&candidate, "property/label").await?;
                if text.trim() == option {
                    self.session.act(&candidate, "click", json!({})).await?;
                    return Ok(true);
                }
            }
            Ok(false)
        });
        assert!(found.await, "the field {label:?} has no entry {option:?}");
    }

    /// Sets a field that cannot simply be typed into, such as a time, to a value in HTML's form.
    pub async fn set(&self, label: &str, value: &str) {
        self.with(Role::Field, label, "set", async |element| {
            let script = "const [element, value] = arguments;
                element.value = value;
                for (const name of ['input', 'change']) {
                    element.dispatchEvent(new Event(name, { bubbles: true }));
                }";
            self.session.run(script, json!([element.json(), value])).await.map(drop)
        })
        .await;
    }

    /// Ticks or unticks a checkbox.
    pub async fn tick(&self, label: &str, on: bool) {
        self.with(Role::Checkbox, label, "tick", async |element| {
            if self.session.ask(element, "selected").await? != on {
                self.session.act(element, "click", json!({})).await?;
            }
            Ok(())
        })
        .await;
    }

    pub async fn is_ticked(&self, label: &str) -> bool {
        self.with(Role::Checkbox, label, "look at", async |element| {
            Ok(self.session.ask(element, "selected").await? == true)
        })
        .await
    }

    pub async fn attribute(&self, role: Role, name: &str, attribute: &str) -> Option<String> {
        self.with(role, name, "look at", async |element| {
            let value = self.session.ask(element, &format!("attribute/{attribute}")).await?;
            Ok(value.as_str().map(str::to_owned))
        })
        .await
    }

    /// The visible text of the first element that matches a selector.
    pub async fn text(&self, selector: &str) -> String {
        self.text_when(selector, "is there", |_| true).await
    }

    /// The same, once it is as expected. `what` describes the expectation in a failure.
    pub async fn text_when(
        &self,
        selector: &str,
        what: &str,
        expected: impl Fn(&str) -> bool,
    ) -> String {
        let scoped = self.scoped(&[selector]);
        self.eventually(&format!("the text of {scoped} {what}"), async || {
            let Some(element) = self.session.select(&scoped).await?.into_iter().next() else {
                return Ok(None);
            };
            Ok(Some(self.session.ask_text(&element, "text").await?).filter(|text| expected(text)))
        })
        .await
    }

    /// The texts of a table's cells, by row, all read at once. The selector matches the rows. White
    /// space is as it is rendered.
    pub async fn rows(&self, selector: &str) -> Vec<Vec<String>> {
        let scoped = self.scoped(&[selector]);
        let script = "return Array.from(document.querySelectorAll(arguments[0]), (row) =>
            Array.from(row.cells, (cell) => cell.innerText.trim().replace(/\\s+/g, ' ')));";
        let rows = self.run(script, json!([scoped])).await;
        serde_json::from_value(rows).expect("rows are lists of texts")
    }

    /// The same, once they are as expected. `what` describes the expectation in a failure.
    pub async fn rows_when(
        &self,
        selector: &str,
        what: &str,
        expected: impl Fn(&[Vec<String>]) -> bool,
    ) -> Vec<Vec<String>> {
        self.eventually(&format!("{selector} {what}"), async || {
            Ok(Some(self.rows(selector).await).filter(|rows| expected(rows)))
        })
        .await
    }

    /// Runs the body of a function in the page, whatever its policy allows.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        let outcome = self.session.run(script, arguments).await;
        outcome.unwrap_or_else(|error| panic!("the script failed: {error}\n{script}"))
    }

    /// Does something with an element, and repeats it if the page changed meanwhile.
    async fn with<T>(
        &self,
        role: Role,
        name: &str,
        doing: &str,
        act: impl AsyncFn(&ElementId) -> Result<T, WebDriverError>,
    ) -> T {
        self.eventually(&format!("one can {doing} the {role} {name:?}"), async || {
            match self.find(role, name).await? {
                Some(element) => act(&element).await.map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    async fn find(&self, role: Role, name: &str) -> Result<Option<ElementId>, WebDriverError> {
        for candidate in self.session.select(&self.scoped(role.selectors())).await? {
            let label = self.session.ask_text(&candidate, "computedlabel").await?;
            if label.trim() != name {
                continue;
            }
            let computed = self.session.ask_text(&candidate, "computedrole").await?;
            if role.is(&computed) && self.session.ask(&candidate, "displayed").await? == true {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn scoped(&self, selectors: &[&str]) -> String {
        let scoped = selectors.iter().map(|selector| match &self.scope {
            Some(scope) => format!(":is({scope}) {selector}"),
            None => (*selector).to_owned(),
        });
        scoped.collect::<Vec<_>>().join(", ")
    }

    /// Repeats `look` until it finds something.
    pub(super) async fn eventually<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, WebDriverError>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let obstacle = match look().await {
                Ok(Some(seen)) => return seen,
                Ok(None) => None,
                Err(error) if error.is_transient() => Some(error),
                Err(error) => panic!("{error}; waited until {what}"),
            };
            if Instant::now() > end {
                self.give_up(what, obstacle).await;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn give_up(&self, what: &str, obstacle: Option<WebDriverError>) -> ! {
        let obstacle = obstacle.map_or_else(String::new, |error| format!(" ({error})"));
        let script = "return location.href + '\\n' + document.body.innerText;";
        let page = self.run(script, json!([])).await;
        let test = thread::current().name().unwrap_or("unnamed").replace("::", "-");
        let picture = view::path(&format!("failed-{test}"));
        let written = fs::write(&picture, view::picture(&self.session).await);
        panic!(
            "{PATIENCE:?} passed, and still not: {what}{obstacle}\n\
             see {} ({written:?}); the page is {}",
            picture.display(),
            page.as_str().unwrap_or_default()
        );
    }
}
