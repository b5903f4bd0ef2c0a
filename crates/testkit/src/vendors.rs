//! Checks of notification messages against the documentation of each service. A check returns all
//! violations.

mod pager_duty;
mod slack;
mod teams;

pub use pager_duty::check_pager_duty_event;
pub use slack::check_slack_message;
pub use teams::check_teams_message;

use serde_json::Value;

/// The violations of a message.
#[derive(Debug, Default)]
struct Violations(Vec<String>);

impl Violations {
    fn require(&mut self, is_right: bool, what: impl Into<String>) {
        if !is_right {
            self.0.push(what.into());
        }
    }

    /// Requires a text of 1 to `max_chars` characters.
    fn text(&mut self, value: &Value, max_chars: usize, what: &str) {
        let length = value.as_str().map(|text| text.chars().count());
        self.require(
            length.is_some_and(|length| (1..=max_chars).contains(&length)),
            format!("{what} is a text of 1 to {max_chars} characters, not {value}"),
        );
    }

    /// Requires that there are no other fields.
    fn only(&mut self, value: &Value, known: &[&str], what: &str) {
        let fields = value.as_object().into_iter().flat_map(|object| object.keys());
        for field in fields.filter(|field| !known.contains(&field.as_str())) {
            self.0.push(format!("{what} has no field {field}"));
        }
    }

    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }
}
