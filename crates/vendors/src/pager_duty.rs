//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>. The routing
//! key's form is the domain's, which has to check one without knowing what is sent.

use crate::cut::Cutting;

/// `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1_024;
/// `dedup_key`, in characters.
pub const MAX_DEDUP_KEY: usize = 255;
/// An event, in bytes.
pub const MAX_EVENT_BYTES: usize = 512 * 1024;
/// `client`: what we are called where somebody looks at an incident.
pub const CLIENT: &str = "Keeptrusts Webhooks";

/// `payload.severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is called at once.
    Critical,
    /// Something does not work.
    Error,
    /// Something may soon not work.
    Warning,
    /// Nothing is wrong.
    Info,
}

impl Severity {
    /// The word for it in an event.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// A summary's text.
pub fn summary(text: &str) -> String {
    Cutting::to(MAX_SUMMARY).cut(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::tests::assert_limit;

    #[test]
    fn a_summary_that_is_as_long_as_pagerduty_takes_it_stays_and_a_longer_one_is_cut() {
        assert_limit(1_024, "x", summary);
    }
}
