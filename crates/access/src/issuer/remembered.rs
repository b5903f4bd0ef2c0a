//! What has been looked for at an issuer, and is remembered, so that it is asked seldom: however
//! many want to know at once, and whether it answers or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::limits::{ISSUER_KEYS_LIFE, ISSUER_KEYS_TRUST};

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

    /// Whether it is young enough to be relied on, while there is no news.
    fn is_trusted(&self) -> bool {
        self.since.elapsed() < ISSUER_KEYS_TRUST
    }
}

impl<T> Remembered<T> {
    pub(crate) fn nothing_yet(pause: Duration) -> Remembered<T> {
        Remembered { known: RwLock::default(), last_look: Mutex::default(), pause }
    }

    /// What was found last, unless that is too long ago to be relied on.
    pub(crate) async fn known(&self) -> Option<Known<T>> {
        self.known.read().await.clone().filter(Known::is_trusted)
    }

    /// Looks for it again, unless somebody has done so a moment ago. None: no news.
    pub(crate) async fn refresh<E>(
        &self,
        look: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Option<Arc<T>>, E> {
        let mut last_look = self.last_look.lock().await;
        if last_look.is_some_and(|time| time.elapsed() < self.pause) {
            // Somebody may have found it while this one waited for its turn.
            return Ok(self.known().await.map(|known| known.what));
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn many_who_want_to_know_at_once_make_one_look() {
        let (remembered, looks) = (Remembered::nothing_yet(PAUSE), AtomicUsize::new(0));
        let refresh = async || {
            let look = async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, ()>(looks.fetch_add(1, Ordering::SeqCst))
            };
            remembered.refresh(look).await
        };
        let (one, other) = tokio::join!(refresh(), refresh());
        assert_eq!((one, other), (Ok(Some(Arc::new(0))), Ok(Some(Arc::new(0)))));
        tokio::time::advance(PAUSE).await;
        assert_eq!(refresh().await, Ok(Some(Arc::new(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_asked_again_at_once_and_what_was_known_stays_known() {
        let remembered = Remembered::nothing_yet(PAUSE);
        assert_eq!(remembered.refresh(async || Err::<(), _>("away")).await, Err("away"));
        let unasked = async || -> Result<(), &str> { panic!("it was asked a moment ago") };
        assert_eq!(remembered.refresh(unasked).await, Ok(None));
        tokio::time::advance(PAUSE).await;
        assert_eq!(remembered.refresh(async || Ok::<_, &str>(())).await, Ok(Some(Arc::new(()))));
        tokio::time::advance(ISSUER_KEYS_LIFE).await;
        assert_eq!(remembered.refresh(async || Err("away")).await, Err("away"));
        assert!(remembered.known().await.is_some_and(|known| !known.is_fresh()));
        tokio::time::advance(ISSUER_KEYS_TRUST - ISSUER_KEYS_LIFE).await;
        assert!(remembered.known().await.is_none(), "not for ever");
        assert_eq!(remembered.refresh(async || Err("away")).await, Err("away"));
        assert_eq!(remembered.refresh(unasked).await, Ok(None));
    }
}
