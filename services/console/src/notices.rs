//! What a browser is told on the next page that it asks for: the outcome of what it has just
//! done, and a new secret, once.
//!
//! Kept in memory, bounded, and for a short while: whoever loses one (after a restart, or at
//! another replica) finds the same on the page itself, except the secret, which can be replaced.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::session::Session;

const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
const MAX_SESSIONS: usize = 1_000;

/// One line for the person at the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) tone: Tone,
    pub(crate) text: String,
    /// Where to read more, and what that is called.
    pub(crate) link: Option<(String, &'static str)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Neutral,
    Bad,
}

impl Notice {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Notice {
        Notice { tone, text: text.into(), link: None }
    }

    pub(crate) fn with_link(self, to: String, name: &'static str) -> Notice {
        Notice { link: Some((to, name)), ..self }
    }
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Neutral => "neutral",
            Tone::Bad => "bad",
        }
    }
}

/// A secret that is shown once.
pub(crate) struct NewSecret {
    pub(crate) endpoint_id: String,
    pub(crate) secret: Zeroizing<String>,
}

/// What waits to be shown.
#[derive(Default)]
pub(crate) struct Notices {
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    since: Instant,
    notice: Option<Notice>,
    secret: Option<NewSecret>,
}

impl Notices {
    /// Shows a line on this session's next page.
    pub(crate) fn put(&self, session: &Session, notice: Notice) {
        self.with(session, |waiting| waiting.notice = Some(notice));
    }

    /// Keeps a secret until this session asks for it.
    pub(crate) fn put_secret(&self, session: &Session, secret: NewSecret) {
        self.with(session, |waiting| waiting.secret = Some(secret));
    }

    /// What there is to say, once.
    pub(crate) fn take(&self, session: &Session) -> Option<Notice> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.get_mut(session.key()).filter(|waiting| !waiting.is_over())?;
        waiting.notice.take()
    }

    /// The new secret of an endpoint, once.
    pub(crate) fn take_secret(&self, session: &Session, endpoint_id: &str) -> Option<NewSecret> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.get_mut(session.key()).filter(|waiting| !waiting.is_over())?;
        waiting.secret.take_if(|secret| secret.endpoint_id == endpoint_id)
    }

    fn with(&self, session: &Session, change: impl FnOnce(&mut Waiting)) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| !waiting.is_over() && !waiting.is_empty());
        if all.len() >= MAX_SESSIONS {
            // Somebody collects sessions. The oldest ones have seen their page long ago.
            let oldest = all.iter().min_by_key(|(_, waiting)| waiting.since);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        let now = Instant::now();
        let new = || Waiting { since: now, notice: None, secret: None };
        let waiting = all.entry(session.key().to_owned()).or_insert_with(new);
        waiting.since = now;
        change(waiting);
    }
}

impl Waiting {
    fn is_over(&self) -> bool {
        self.since.elapsed() > KEPT_FOR
    }

    fn is_empty(&self) -> bool {
        self.notice.is_none() && self.secret.is_none()
    }
}
