//! Logs refused tokens: each one at debug, and one of each kind a minute at info. So a wrong setting
//! is visible at the default level, and noise does not fill the log.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of a kind at info.
const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct RefusedTokenLog {
    by_kind: Mutex<HashMap<&'static str, LastLogged>>,
}

struct LastLogged {
    at: Instant,
    /// Refusals since then.
    since: u64,
}

impl RefusedTokenLog {
    /// Logs why a token was refused. `kind` must be one of a few words, whatever clients send.
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

    /// The number of refusals since the last line, if a line is due now. None: it is not.
    fn due(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        match by_kind.get_mut(kind) {
            Some(last) if now.duration_since(last.at) < INTERVAL => {
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
    fn each_kind_is_logged_once_a_minute_with_the_number_of_refusals() {
        let (refusals, begin) = (RefusedTokenLog::default(), Instant::now());
        assert_eq!(refusals.due("aud", begin), Some(0));
        for _ in 0..3 {
            assert_eq!(refusals.due("aud", begin + INTERVAL / 2), None);
        }
        assert_eq!(refusals.due("exp", begin + INTERVAL / 2), Some(0), "another kind");
        assert_eq!(refusals.due("aud", begin + INTERVAL), Some(3));
        assert_eq!(refusals.due("aud", begin + INTERVAL), None);
    }
}
