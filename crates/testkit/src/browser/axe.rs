//! Accessibility checks with axe-core.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

use super::session::Session;
use crate::tools;

/// The rules of WCAG 2.2 AA and of what it contains.
/// <https://github.com/dequelabs/axe-core/blob/develop/doc/API.md#axe-core-tags>
const TAGS: [&str; 4] = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];

/// A serious or critical violation of a rule.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// axe-core's name for the rule, `color-contrast` for example.
    pub rule: String,
    /// What the rule asks for.
    pub help: String,
    /// `serious` or `critical`.
    pub impact: String,
    /// The elements, each with what is wrong with it.
    pub elements: Vec<String>,
}

impl fmt::Debug for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, help, impact, elements } = self;
        write!(formatter, "{impact} {rule}: {help}\n  {}", elements.join("\n  "))
    }
}

pub(super) async fn violations(session: &Session) -> Vec<Violation> {
    let source = tools::axe();
    let source = fs::read_to_string(&source)
        .unwrap_or_else(|error| panic!("could not read {}: {error}", source.display()));
    // As a script of the driver, to which the page's policy does not apply.
    let injected = session.run(&source, json!([])).await;
    injected.unwrap_or_else(|error| panic!("axe-core was not taken: {error}"));

    let parameters = json!({ "script": RUN, "args": [TAGS] });
    let outcome = session.post("execute/async", parameters).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("axe-core failed: {error}"));
    assert_eq!(outcome["error"], Value::Null, "axe-core failed");
    let found = outcome["violations"].as_array().expect("violations are a list");
    found.iter().map(violation).filter(Violation::is_grave).collect()
}

const RUN: &str = "
    const [tags, done] = arguments;
    axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] })
        .then(({ violations }) => done({ violations }), (error) => done({ error: String(error) }));
";

impl Violation {
    fn is_grave(&self) -> bool {
        matches!(self.impact.as_str(), "serious" | "critical")
    }
}

fn violation(found: &Value) -> Violation {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let elements = found["nodes"].as_array().into_iter().flatten().map(|node| {
        let summary = text(&node["failureSummary"]).replace('\n', " ");
        format!("{}: {summary}", text(&node["html"]))
    });
    Violation {
        rule: text(&found["id"]),
        help: text(&found["help"]),
        impact: text(&found["impact"]),
        elements: elements.collect(),
    }
}
