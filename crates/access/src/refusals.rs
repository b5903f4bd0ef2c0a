//! What the operator's log says of tokens that were refused: each of them at debug, and of each
//! kind one a minute at info, so that a wrong setting is seen where nobody has asked for more,
//! and no noise fills the log.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a kind is told of at info.
const PAUSE: Duration = Duration::from_secs(60);

/// What has been told.
#[derive(Default)]
pub(crate) struct Refusals {
    by_kind: Mutex<HashMap<&'static str, Told>>,
}

struct Told {
    when: Instant,
    /// How many have come since then.
    since: u64,
}

impl Refusals {
    /// Tells why a token was refused. `kind` is one of few words, whatever is sent.
    pub(crate) fn tell(&self, kind: &'static str, why: &dyn Display, address: Option<IpAddr>) {
        let address = address.map(tracing::field::display);
        tracing::debug!(kind, %why, address, "refused a token");
        if let Some(others) = self.due(kind, Instant::now()) {
            tracing::info!(
                kind, %why, address, others,
                "refused a token; one of this kind is told a minute, and each at --log-level debug"
            );
        }
    }

    /// Whether a kind is to be told of now; how many of it have not been told of since.
    fn due(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        match by_kind.get_mut(kind) {
            Some(told) if now.duration_since(told.when) < PAUSE => {
                told.since += 1;
                None
            }
            told => {
                let others = told.map_or(0, |told| told.since);
                by_kind.insert(kind, Told { when: now, since: 0 });
                Some(others)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_of_once_a_minute_with_how_many_there_were() {
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
