//! Collects all violations of a request.

use std::fmt;

use keeptrusts_webhooks_domain::violation::Violation;

use crate::status;

/// The violations of a request: all of them, so that the caller can correct them at once.
///
/// Each field is checked with [`Violations::check`], which keeps a violation and returns None. When
/// every field has a value, the request is valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The value of a field, or None if it broke its rule.
    pub fn check<T>(&mut self, checked: Result<T, Violation>) -> Option<T> {
        checked.map_err(|violation| self.0.push(violation)).ok()
    }

    /// The same for a field that can have several violations.
    pub fn check_all<T>(&mut self, checked: Result<T, Vec<Violation>>) -> Option<T> {
        checked.map_err(|violations| self.0.extend(violations)).ok()
    }

    /// Whether there are no violations.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations, in the order of the checks.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

impl From<Violations> for tonic::Status {
    fn from(violations: Violations) -> Self {
        status::invalid_argument(violations.0)
    }
}
