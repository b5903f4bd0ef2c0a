//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>. The domain
//! checks the form of a routing key.

use crate::truncate::Truncator;

/// Of `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1_024;
/// Of `dedup_key`, in characters.
pub const MAX_DEDUP_KEY: usize = 255;
/// PagerDuty writes 512 KB, without saying how many bytes a KB has. This is the smaller meaning.
pub const MAX_EVENT_BYTES: usize = 512_000;
/// `client`: our name on an incident's page.
pub const CLIENT: &str = "Keeptrusts Webhooks";

/// `payload.severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// The text of `payload.summary`.
pub fn summary(text: &str) -> String {
    Truncator::to(MAX_SUMMARY).truncate(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truncate::tests::assert_limit;

    /// <https://developer.pagerduty.com/docs/send-alert-event>: `dedup_key` has a "maximum permitted
    /// length of 255 characters"; the API answers larger events than 512 KB with 413, and
    /// a KB is read as the smaller of its two meanings.
    #[test]
    fn the_limits_of_an_event_are_the_documented_ones() {
        assert_eq!((MAX_DEDUP_KEY, MAX_EVENT_BYTES), (255, 512_000));
    }

    #[test]
    fn severities_have_pagerdutys_names() {
        let severities = [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info];
        assert_eq!(severities.map(Severity::name), ["critical", "error", "warning", "info"]);
    }

    #[test]
    fn a_summary_is_truncated_to_pagerdutys_limit() {
        assert_limit(1_024, "x", summary);
    }
}
