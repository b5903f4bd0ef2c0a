//! What a browser is told on the next page that it asks for: the outcome of what it has just
//! done, and a new secret, once.
//!
//! Kept in memory, bounded, and for a short while: whoever loses one (after a restart, or at
//! another replica) finds the same on the page itself, except the secret, which can be replaced.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::session::Session;

const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
const MAX_SESSIONS: usize = 1_000;
/// Of one session: whoever makes more endpoints than that looks at none of their pages.
const MAX_SECRETS: usize = 16;

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
    /// Whose it is: the id of an endpoint or of a key.
    pub(crate) of: String,
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
    /// The newest last.
    secrets: Vec<NewSecret>,
}

impl Notices {
    /// Shows a line on this session's next page.
    pub(crate) fn put(&self, session: &Session, notice: Notice) {
        self.add(session, |waiting| waiting.notice = Some(notice));
    }

    /// Keeps a secret until this session asks for it.
    pub(crate) fn put_secret(&self, session: &Session, secret: NewSecret) {
        self.add(session, |waiting| {
            waiting.secrets.retain(|other| other.of != secret.of);
            if waiting.secrets.len() >= MAX_SECRETS {
                waiting.secrets.remove(0);
            }
            waiting.secrets.push(secret);
        });
    }

    /// What there is to say, once.
    pub(crate) fn take(&self, session: &Session) -> Option<Notice> {
        self.current().get_mut(session.key())?.notice.take()
    }

    /// The new secret of an endpoint or of a key, once.
    pub(crate) fn take_secret(&self, session: &Session, of: &str) -> Option<NewSecret> {
        let mut all = self.current();
        let secrets = &mut all.get_mut(session.key())?.secrets;
        let index = secrets.iter().position(|secret| secret.of == of)?;
        Some(secrets.remove(index))
    }

    fn add(&self, session: &Session, change: impl FnOnce(&mut Waiting)) {
        let mut all = self.current();
        if all.len() >= MAX_SESSIONS && !all.contains_key(session.key()) {
            // Somebody collects sessions. The oldest ones have seen their page long ago.
            let oldest = all.iter().min_by_key(|(_, waiting)| waiting.since);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        let now = Instant::now();
        let new = || Waiting { since: now, notice: None, secrets: Vec::new() };
        let waiting = all.entry(session.key().to_owned()).or_insert_with(new);
        waiting.since = now;
        change(waiting);
    }

    /// What has been shown, or was never asked for, is forgotten.
    fn current(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| {
            let is_empty = waiting.notice.is_none() && waiting.secrets.is_empty();
            !is_empty && waiting.since.elapsed() <= KEPT_FOR
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(of: &str) -> NewSecret {
        NewSecret { of: of.to_owned(), secret: "s".repeat(16).into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_told_once_and_to_its_session_only() {
        let (notices, session) = (Notices::default(), Session::anonymous());
        notices.put(&session, Notice::new(Tone::Good, "Saved."));
        assert_eq!(notices.take(&Session::anonymous()), None);
        assert_eq!(notices.take(&session).map(|notice| notice.text), Some("Saved.".to_owned()));
        assert_eq!(notices.take(&session), None);
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_10_a_secret_is_shown_once_and_forgotten_if_nobody_asks() {
        let (notices, session) = (Notices::default(), Session::anonymous());
        notices.put_secret(&session, secret("ep_1"));
        notices.put_secret(&session, secret("ep_2"));
        assert!(notices.take_secret(&session, "ep_3").is_none());
        assert!(notices.take_secret(&Session::anonymous(), "ep_1").is_none());
        assert!(notices.take_secret(&session, "ep_1").is_some());
        assert!(notices.take_secret(&session, "ep_1").is_none());
        tokio::time::advance(KEPT_FOR + Duration::from_secs(1)).await;
        assert_eq!(notices.take(&Session::anonymous()), None);
        assert!(notices.waiting.lock().expect("not poisoned").is_empty(), "any look forgets it");
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_9_what_waits_is_limited() {
        let notices = Notices::default();
        let first = Session::anonymous();
        notices.put(&first, Notice::new(Tone::Good, "first"));
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..MAX_SESSIONS {
            notices.put(&Session::anonymous(), Notice::new(Tone::Good, "another"));
        }
        assert_eq!(notices.waiting.lock().expect("not poisoned").len(), MAX_SESSIONS);
        assert_eq!(notices.take(&first), None);
        let session = Session::anonymous();
        for number in 0..2 * MAX_SECRETS {
            notices.put_secret(&session, secret(&number.to_string()));
        }
        assert!(notices.take_secret(&session, "0").is_none());
        assert!(notices.take_secret(&session, &(2 * MAX_SECRETS - 1).to_string()).is_some());
    }
}
