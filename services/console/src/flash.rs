//! Flash messages: the outcome of an action, or a new secret, shown once on the session's next
//! page.
//!
//! They are kept in memory, bounded, and for a short time. Whoever loses one (after a restart, or
//! at another replica) finds the same on the page itself, except the secret, which can be replaced.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::session::Session;

const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
const MAX_SESSIONS: usize = 1_000;
/// For each session. Whoever creates more endpoints than that does not look at their pages.
const MAX_SECRETS: usize = 16;

/// A line for the person at the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlashMessage {
    pub(crate) tone: Tone,
    pub(crate) text: String,
    /// Where to read more: address and link text.
    pub(crate) link: Option<(String, &'static str)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Neutral,
    Bad,
}

impl FlashMessage {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> FlashMessage {
        FlashMessage { tone, text: text.into(), link: None }
    }

    pub(crate) fn with_link(self, to: String, name: &'static str) -> FlashMessage {
        FlashMessage { link: Some((to, name)), ..self }
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

pub(crate) struct NewSecret {
    /// The id of the endpoint or key.
    pub(crate) of: String,
    pub(crate) secret: Zeroizing<String>,
}

#[derive(Default)]
pub(crate) struct FlashMessages {
    waiting: Mutex<HashMap<String, PendingMessages>>,
}

struct PendingMessages {
    since: Instant,
    flash: Option<FlashMessage>,
    /// The newest last.
    secrets: Vec<NewSecret>,
}

impl FlashMessages {
    /// Shows a message on the session's next page.
    pub(crate) fn put(&self, session: &Session, flash: FlashMessage) {
        self.add(session, |waiting| waiting.flash = Some(flash));
    }

    /// Keeps a secret until the session's next page takes it.
    pub(crate) fn put_secret(&self, session: &Session, secret: NewSecret) {
        self.add(session, |waiting| {
            waiting.secrets.retain(|other| other.of != secret.of);
            if waiting.secrets.len() >= MAX_SECRETS {
                waiting.secrets.remove(0);
            }
            waiting.secrets.push(secret);
        });
    }

    /// Takes the message, which is shown once.
    pub(crate) fn take(&self, session: &Session) -> Option<FlashMessage> {
        self.current().get_mut(session.key())?.flash.take()
    }

    /// Takes the new secret of an endpoint or key, which is shown once.
    pub(crate) fn take_secret(&self, session: &Session, of: &str) -> Option<NewSecret> {
        let mut all = self.current();
        let secrets = &mut all.get_mut(session.key())?.secrets;
        let index = secrets.iter().position(|secret| secret.of == of)?;
        Some(secrets.remove(index))
    }

    fn add(&self, session: &Session, change: impl FnOnce(&mut PendingMessages)) {
        let mut all = self.current();
        if all.len() >= MAX_SESSIONS && !all.contains_key(session.key()) {
            // Somebody collects sessions. The oldest ones have seen their page long ago.
            let oldest = all.iter().min_by_key(|(_, waiting)| waiting.since);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        let now = Instant::now();
        let new = || PendingMessages { since: now, flash: None, secrets: Vec::new() };
        let waiting = all.entry(session.key().to_owned()).or_insert_with(new);
        waiting.since = now;
        change(waiting);
    }

    /// What has been shown or has expired is dropped.
    fn current(&self) -> MutexGuard<'_, HashMap<String, PendingMessages>> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| {
            let is_empty = waiting.flash.is_none() && waiting.secrets.is_empty();
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
    async fn a_message_is_shown_once_and_only_to_its_session() {
        let (flash_messages, session) = (FlashMessages::default(), Session::anonymous());
        flash_messages.put(&session, FlashMessage::new(Tone::Good, "Saved."));
        assert_eq!(flash_messages.take(&Session::anonymous()), None);
        assert_eq!(
            flash_messages.take(&session).map(|flash| flash.text),
            Some("Saved.".to_owned())
        );
        assert_eq!(flash_messages.take(&session), None);
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_10_a_secret_is_shown_once_and_forgotten_if_nobody_asks() {
        let (flash_messages, session) = (FlashMessages::default(), Session::anonymous());
        flash_messages.put_secret(&session, secret("ep_1"));
        flash_messages.put_secret(&session, secret("ep_2"));
        assert!(flash_messages.take_secret(&session, "ep_3").is_none());
        assert!(flash_messages.take_secret(&Session::anonymous(), "ep_1").is_none());
        assert!(flash_messages.take_secret(&session, "ep_1").is_some());
        assert!(flash_messages.take_secret(&session, "ep_1").is_none());
        tokio::time::advance(KEPT_FOR + Duration::from_secs(1)).await;
        assert_eq!(flash_messages.take(&Session::anonymous()), None);
        assert!(
            flash_messages.waiting.lock().expect("not poisoned").is_empty(),
            "any look forgets it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_9_waiting_messages_are_limited() {
        let flash_messages = FlashMessages::default();
        let first = Session::anonymous();
        flash_messages.put(&first, FlashMessage::new(Tone::Good, "first"));
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..MAX_SESSIONS {
            flash_messages.put(&Session::anonymous(), FlashMessage::new(Tone::Good, "another"));
        }
        assert_eq!(flash_messages.waiting.lock().expect("not poisoned").len(), MAX_SESSIONS);
        assert_eq!(flash_messages.take(&first), None);
        let session = Session::anonymous();
        for number in 0..2 * MAX_SECRETS {
            flash_messages.put_secret(&session, secret(&number.to_string()));
        }
        assert!(flash_messages.take_secret(&session, "0").is_none());
        assert!(flash_messages.take_secret(&session, &(2 * MAX_SECRETS - 1).to_string()).is_some());
    }
}
