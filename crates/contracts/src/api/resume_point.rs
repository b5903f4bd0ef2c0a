//! The resume tokens of WatchDeliveries and WatchEvents.
//!
//! Decision: docs/decisions/clients-see-names-not-positions.md

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::log::RecordName;

/// The end of a token if the client has got only some of the record's changes.
const UNFINISHED: char = '+';
/// The beginning of a token that seals a position. No record's name begins so.
const SEALED: u8 = 1;

/// Where a watch resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumePoint {
    /// After a record of the organization's: the client has got all that the watch shows of it.
    After(RecordName),
    /// The client has got only some changes of the record, and the watch sends all of them again.
    Within(RecordName),
    /// Where the watch began, which is at no record of the organization's: a position as the log
    /// has sealed it.
    Start(Vec<u8>),
}

impl ResumePoint {
    /// The token for the client.
    pub fn token(&self) -> String {
        match self {
            ResumePoint::After(record) => URL_SAFE_NO_PAD.encode(record.to_string()),
            ResumePoint::Within(record) => URL_SAFE_NO_PAD.encode(format!("{record}{UNFINISHED}")),
            ResumePoint::Start(sealed) => URL_SAFE_NO_PAD.encode([&[SEALED], &sealed[..]].concat()),
        }
    }

    /// The resume point of a token. None: the token is not from us.
    pub(super) fn of_token(token: &str) -> Option<ResumePoint> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        if let Some((&SEALED, sealed)) = bytes.split_first() {
            return Some(ResumePoint::Start(sealed.to_vec()));
        }
        let text = std::str::from_utf8(&bytes).ok()?;
        match text.strip_suffix(UNFINISHED) {
            Some(name) => Some(ResumePoint::Within(name.parse().ok()?)),
            None => Some(ResumePoint::After(text.parse().ok()?)),
        }
    }
}
