//! Caches a document of an issuer, so that the issuer is asked rarely, however many tasks need the
//! document at once and whether the issuer answers or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::limits::{ISSUER_CACHE_MAX_AGE, ISSUER_CACHE_TTL};

pub(crate) struct IssuerCache<T> {
    cached: RwLock<Option<CachedValue<T>>>,
    /// The end of the last fetch, successful or not. Locked during a fetch.
    last_fetch: Mutex<Option<Instant>>,
    /// The shortest time between two fetches.
    retry_delay: Duration,
}

pub(crate) struct CachedValue<T> {
    pub(crate) value: Arc<T>,
    fetched_at: Instant,
}

impl<T> Clone for CachedValue<T> {
    fn clone(&self) -> CachedValue<T> {
        CachedValue { value: Arc::clone(&self.value), fetched_at: self.fetched_at }
    }
}

impl<T> CachedValue<T> {
    /// Whether it need not be fetched again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fetched_at.elapsed() < ISSUER_CACHE_TTL
    }

    /// Whether it may be used if it cannot be fetched again.
    fn is_usable(&self) -> bool {
        self.fetched_at.elapsed() < ISSUER_CACHE_MAX_AGE
    }
}

impl<T> IssuerCache<T> {
    pub(crate) fn empty(retry_delay: Duration) -> IssuerCache<T> {
        IssuerCache { cached: RwLock::default(), last_fetch: Mutex::default(), retry_delay }
    }

    /// The cached value, unless it is too old to be used.
    pub(crate) async fn get(&self) -> Option<CachedValue<T>> {
        self.cached.read().await.clone().filter(CachedValue::is_usable)
    }

    /// Fetches the value again, unless the last fetch was a moment ago. None: there is no value.
    pub(crate) async fn refresh<E>(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Option<Arc<T>>, E> {
        let mut last_fetch = self.last_fetch.lock().await;
        if last_fetch.is_some_and(|time| time.elapsed() < self.retry_delay) {
            // Another task may have fetched it while this one waited for the lock.
            return Ok(self.get().await.map(|cached| cached.value));
        }
        let fetched = fetch().await;
        // Counts from the end: a fetch that hangs must not be followed by another one at once.
        *last_fetch = Some(Instant::now());
        let value = Arc::new(fetched?);
        let cached = CachedValue { value: Arc::clone(&value), fetched_at: Instant::now() };
        *self.cached.write().await = Some(cached);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const RETRY_DELAY: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn concurrent_refreshes_share_one_fetch() {
        let (cache, fetches) = (IssuerCache::empty(RETRY_DELAY), AtomicUsize::new(0));
        let refresh = async || {
            let fetch = async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, ()>(fetches.fetch_add(1, Ordering::SeqCst))
            };
            cache.refresh(fetch).await
        };
        let (one, other) = tokio::join!(refresh(), refresh());
        assert_eq!((one, other), (Ok(Some(Arc::new(0))), Ok(Some(Arc::new(0)))));
        tokio::time::advance(RETRY_DELAY).await;
        assert_eq!(refresh().await, Ok(Some(Arc::new(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_fetch_is_not_repeated_at_once_and_the_cached_value_stays_usable() {
        let cache = IssuerCache::empty(RETRY_DELAY);
        assert_eq!(cache.refresh(async || Err::<(), _>("away")).await, Err("away"));
        let not_fetched = async || -> Result<(), &str> { panic!("it was asked a moment ago") };
        assert_eq!(cache.refresh(not_fetched).await, Ok(None));
        tokio::time::advance(RETRY_DELAY).await;
        assert_eq!(cache.refresh(async || Ok::<_, &str>(())).await, Ok(Some(Arc::new(()))));
        tokio::time::advance(ISSUER_CACHE_TTL).await;
        assert_eq!(cache.refresh(async || Err("away")).await, Err("away"));
        assert!(cache.get().await.is_some_and(|cached| !cached.is_fresh()));
        tokio::time::advance(ISSUER_CACHE_MAX_AGE - ISSUER_CACHE_TTL).await;
        assert!(cache.get().await.is_none(), "too old to be used");
        assert_eq!(cache.refresh(async || Err("away")).await, Err("away"));
        assert_eq!(cache.refresh(not_fetched).await, Ok(None));
    }
}
