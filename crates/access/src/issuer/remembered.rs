//! What has been looked for at an issuer, and is remembered, so that it is asked seldom: however
//! many want to know at once, and whether it answers or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::limits::ISSUER_KEYS_LIFE;

/// Something that an issuer publishes.
pub(crate) struct Remembered<T> {
    known: RwLock<Option<Known<T>>>,
    /// When it was last looked for, with or without success. Held while it is.
    last_look: Mutex<Option<Instant>>,
    /// The shortest time between two looks.
    pause: Duration,
}

pub(crate) struct Known<T> {
    pub(crate) what: Arc<T>,
    since: Instant,
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Known<T> {
        Known { what: Arc::clone(&self.what), since: self.since }
    }
}

impl<T> Known<T> {
    /// Whether it is young enough not to be looked for again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.since.elapsed() < ISSUER_KEYS_LIFE
    }
}

impl<T> Remembered<T> {
    pub(crate) fn nothing_yet(pause: Duration) -> Remembered<T> {
        Remembered { known: RwLock::default(), last_look: Mutex::default(), pause }
    }

    /// What was found last.
    pub(crate) async fn known(&self) -> Option<Known<T>> {
        self.known.read().await.clone()
    }

    /// Looks for it again, unless somebody has done so a moment ago. None: no news.
    pub(crate) async fn refresh<E>(
        &self,
        look: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Option<Arc<T>>, E> {
        let mut last_look = self.last_look.lock().await;
        if last_look.is_some_and(|time| time.elapsed() < self.pause) {
            // Somebody may have found it while this one waited for its turn.
            return Ok(self.known.read().await.as_ref().map(|known| Arc::clone(&known.what)));
        }
        let looked = look().await;
        // From the end of the look: one that hangs must not be followed by the next at once.
        *last_look = Some(Instant::now());
        let what = Arc::new(looked?);
        let known = Known { what: Arc::clone(&what), since: Instant::now() };
        *self.known.write().await = Some(known);
        Ok(Some(what))
    }
}
