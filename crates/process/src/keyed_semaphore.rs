//! A semaphore for each key. Tasks with the same key wait for each other, in the order in which they
//! came; tasks with different keys never do.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Above this many keys, those without a permit in use are removed.
const MAX_KEYS: usize = 100_000;

/// Semaphores that all have the same number of permits.
#[derive(Debug)]
pub struct KeyedSemaphore<K> {
    permits: u32,
    semaphores: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// Permits for one key. Dropping them lets the next task in.
#[derive(Debug)]
pub struct KeyedPermit(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl<K: Clone + Eq + Hash> KeyedSemaphore<K> {
    pub fn new(permits: u32) -> KeyedSemaphore<K> {
        KeyedSemaphore { permits, semaphores: Mutex::default() }
    }

    /// Waits for `count` permits of a key, or for all that the key has if they are fewer.
    pub async fn acquire(&self, key: &K, count: u32) -> KeyedPermit {
        let permits = self.semaphore_of(key).acquire_many_owned(count.min(self.permits)).await;
        // None never happens: nobody closes the semaphore.
        KeyedPermit(permits.ok())
    }

    fn semaphore_of(&self, key: &K) -> Arc<Semaphore> {
        let mut semaphores = self.semaphores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = semaphores.get(key) {
            return Arc::clone(semaphore);
        }
        if semaphores.len() >= MAX_KEYS {
            semaphores.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let semaphore = Arc::new(Semaphore::new(self.permits as usize));
        semaphores.insert(key.clone(), Arc::clone(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_waits_for_earlier_ones_with_the_same_key_and_for_no_others() {
        const A_WHILE: Duration = Duration::from_secs(60);
        let semaphore = KeyedSemaphore::new(4);
        let first = semaphore.acquire(&"busy", 3).await;
        assert!(
            timeout(A_WHILE, semaphore.acquire(&"busy", 2)).await.is_err(),
            "one permit is left"
        );
        let _other = timeout(A_WHILE, semaphore.acquire(&"other", 4)).await.expect("another key");

        let wide = semaphore.acquire(&"busy", 1_000);
        tokio::pin!(wide);
        assert!(timeout(A_WHILE, &mut wide).await.is_err());
        // One permit is left, but the wide request came first.
        assert!(timeout(A_WHILE, semaphore.acquire(&"busy", 1)).await.is_err());
        drop(first);
        let wide = timeout(A_WHILE, wide).await.expect("all permits are free");
        assert!(timeout(A_WHILE, semaphore.acquire(&"busy", 1)).await.is_err());
        drop(wide);
        timeout(A_WHILE, semaphore.acquire(&"busy", 1)).await.expect("a permit is free");
    }
}
