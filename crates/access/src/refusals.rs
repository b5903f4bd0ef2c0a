//! What the operator's log says of tokens that were refused: each of them at debug, and of each
//! kind one a minute at info, so that a wrong setting is seen where nobody has asked for more,
//! and no noise fills the log.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a kind is logged at info.
const PAUSE: Duration = Duration::from_secs(60);

/// When each kind of refusal was last logged at info.
#[derive(Default)]
pub(crate) struct Refusals {
    by_kind: Mutex<HashMap<&'static str, LastLogged>>,
}

struct LastLogged {
    at: Instant,
    /// How many have come since then.
    since: u64,
}

impl Refusals {
    /// Logs why a token was refused. `kind` is one of few words, whatever is sent.
    pub(crate) fn log(&self, kind: &'static str, why: &dyn Display, address: Option<IpAddr>) {
        let address = address.map(tracing::field::display);
        tracing::debug!(kind, %why, address, "refused a token");
        if let Some(others) = self.due(kind, Instant::now()) {
            tracing::info!(
                kind, %why, address, others,
                "refused a token; one of this kind is told a minute, and each at --log-level debug"
            );
        }
    }

    /// Whether a kind is to be logged at info now, and how many were not since the last time.
    fn due(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        match by_kind.get_mut(kind) {
            Some(last) if now.duration_since(last.at) < PAUSE => {
                last.since += 1;
                None
            }
            last => {
                let others = last.map_or(0, |last| last.since);
                by_kind.insert(kind, LastLogged { at: now, since: 0 });
                Some(others)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_logged_once_a_minute_with_how_many_there_were() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.due("aud", begin), Some(0));
        for _ in 0..3 {
            assert_eq!(refusals.due("aud", begin + PAUSE / 2), None);
        }
        assert_eq!(refusals.due("exp", begin + PAUSE / 2), Some(0), "another kind");
        assert_eq!(refusals.due("aud", begin + PAUSE), Some(3));
        assert_eq!(refusals.due("aud", begin + PAUSE), None);
    }
}
