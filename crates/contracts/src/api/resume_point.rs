//! The resume tokens of WatchDeliveries and WatchEvents.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::log::RecordName;

/// The end of a token if the client has got only some of the record's changes.
const UNFINISHED: char = '+';

/// The record at which a watch resumes: one of the organization's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// The record of the last change that the client got.
    pub record: RecordName,
    /// Whether the client has got all changes of the record, so that the watch resumes after it.
    /// Otherwise the watch sends the record's changes again.
    pub is_finished: bool,
}

impl ResumePoint {
    /// The token for the client.
    pub fn token(&self) -> String {
        let mut text = self.record.to_string();
        if !self.is_finished {
            text.push(UNFINISHED);
        }
        URL_SAFE_NO_PAD.encode(text)
    }

    /// The resume point of a token. None: the token is not from us.
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
