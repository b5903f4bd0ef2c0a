//! A cache of unwrapped data keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use tokio::time::Instant;

use super::data_key::DataKey;

/// The most data keys that a process caches: about 2 MB.
pub const MAX_CACHED_DATA_KEYS: usize = 10_000;

/// How long a cached data key is used before it is read from the database again.
pub const DATA_KEY_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A cache of two generations. When the younger one is full, it becomes the older one, and the older
/// one is dropped: room is made without searching for the least used key.
#[derive(Default)]
pub(super) struct DataKeyCache {
    younger: HashMap<OrganizationId, CachedKey>,
    older: HashMap<OrganizationId, CachedKey>,
}

struct CachedKey {
    key: Arc<DataKey>,
    until: Instant,
}

impl DataKeyCache {
    pub(super) fn get(&self, organization: &OrganizationId, now: Instant) -> Option<Arc<DataKey>> {
        let opened = self.younger.get(organization).or_else(|| self.older.get(organization))?;
        (now < opened.until).then(|| Arc::clone(&opened.key))
    }

    /// Adds a key that the database had at the time `as_of`.
    pub(super) fn put(&mut self, organization: OrganizationId, key: Arc<DataKey>, as_of: Instant) {
        if self.younger.len() >= MAX_CACHED_DATA_KEYS / 2 {
            self.older = std::mem::take(&mut self.younger);
        }
        let until = as_of + DATA_KEY_LIFETIME;
        self.younger.insert(organization, CachedKey { key, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(number: usize) -> OrganizationId {
        format!("organization-{number}").parse().expect("valid")
    }

    #[test]
    fn a_key_is_used_for_five_minutes_after_it_was_read() {
        let (mut keys, read) = (DataKeyCache::default(), Instant::now());
        keys.put(organization(1), Arc::new(DataKey::generate()), read);
        let found = |age| keys.get(&organization(1), read + age).is_some();
        assert!(found(Duration::from_secs(299)));
        assert!(!found(Duration::from_secs(300)));
        assert!(keys.get(&organization(2), read).is_none());
    }

    #[test]
    fn the_newest_are_kept_and_never_too_many() {
        let (mut keys, now) = (DataKeyCache::default(), Instant::now());
        let key = Arc::new(DataKey::generate());
        for number in 0..3 * MAX_CACHED_DATA_KEYS {
            keys.put(organization(number), Arc::clone(&key), now);
            assert!(keys.younger.len() + keys.older.len() <= MAX_CACHED_DATA_KEYS);
        }
        let newest = 3 * MAX_CACHED_DATA_KEYS - MAX_CACHED_DATA_KEYS / 2..3 * MAX_CACHED_DATA_KEYS;
        assert!(newest.into_iter().all(|number| keys.get(&organization(number), now).is_some()));
    }
}
