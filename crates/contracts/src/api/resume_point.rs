//! Where a watch goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::log::RecordName;

/// What a record that has told one of its changes, but not all of them, ends with in a token.
const UNFINISHED: char = '+';

/// A record of the organization's own, and whether all of its changes were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// The record that the last change came of.
    pub record: RecordName,
    /// Whether a watch goes on after it. Otherwise it begins with it again, because the record
    /// has changed more than what was told.
    pub is_finished: bool,
}

impl ResumePoint {
    /// What a client is given, and sends back as it was.
    pub fn token(&self) -> String {
        let mut text = self.record.to_string();
        if !self.is_finished {
            text.push(UNFINISHED);
        }
        URL_SAFE_NO_PAD.encode(text)
    }

    /// The point that a token stands for. None: it is none of ours.
    pub(super) fn of_token(token: &str) -> Option<ResumePoint> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (name, is_finished) = match text.strip_suffix(UNFINISHED) {
            Some(name) => (name, false),
            None => (text, true),
        };
        Some(ResumePoint { record: name.parse().ok()?, is_finished })
    }
}
