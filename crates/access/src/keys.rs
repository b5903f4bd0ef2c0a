//! Looks up API keys and sessions by their token, and caches them for a moment.
//!
//! Decision: docs/decisions/keys-are-facts-in-the-log.md

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential};
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::key::{Key, SessionOrigin, Token, TokenDigest};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::{Clock, Log};
use moka::future::Cache;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::limits::{KEY_CACHE_TTL, KEY_USES_INTERVAL, MAX_CACHED_KEYS, MAX_PENDING_KEY_USES};

pub(crate) struct KeyCache {
    log: Arc<Log>,
    clock: Clock,
    /// By token. None: the token is wrong, so that repeating it costs no query.
    cached: Cache<TokenDigest, Option<CachedKey>>,
    uses: KeyUses,
    /// Keys whose revocation somebody waits for, and whether they are valid.
    watched: Mutex<HashMap<KeyId, watch::Sender<bool>>>,
}

/// A key that was valid when it was looked up.
#[derive(Clone)]
struct CachedKey {
    caller: Caller,
    id: KeyId,
    /// The key that has opened this session. The session ends with it.
    parent: Option<KeyId>,
}

/// The last uses of keys that are not written to the database yet.
#[derive(Default)]
struct KeyUses {
    pending: Mutex<HashMap<KeyId, Timestamp>>,
    not_empty: Notify,
}

impl KeyCache {
    pub(crate) fn new(log: Arc<Log>, clock: Clock) -> KeyCache {
        let cached =
            Cache::builder().max_capacity(MAX_CACHED_KEYS).time_to_live(KEY_CACHE_TTL).build();
        KeyCache { log, clock, cached, uses: KeyUses::default(), watched: Mutex::default() }
    }

    /// The caller that a token belongs to. None: the token is wrong, revoked or expired.
    pub(crate) async fn caller(&self, token: &Token) -> Result<Option<Caller>, Status> {
        let digest = token.digest();
        // Concurrent calls with the same token share one query.
        let cached = self.cached.try_get_with(digest, self.look_up(digest)).await;
        let cached = cached.map_err(|status| Status::clone(&status))?;
        // Revocations by this process take effect at once, whatever is cached.
        let valid = cached.filter(|key| !self.has_ended(key.id, key.parent));
        Ok(self.record_use(valid.map(|key| key.caller)))
    }

    /// Whether this process has just revoked a key or its parent.
    fn has_ended(&self, id: KeyId, parent: Option<KeyId>) -> bool {
        self.log.has_ended(id) || parent.is_some_and(|parent| self.log.has_ended(parent))
    }

    /// Waits until a valid key or its `parent` is revoked or expires. Checks the key once every
    /// [`KEY_CACHE_TTL`], however many tasks wait for it; revocations by this process are noticed at
    /// once.
    pub(crate) async fn revoked(self: &Arc<Self>, id: KeyId, parent: Option<KeyId>) {
        let mut validity = self.validity(id, parent);
        // An error means that the checking task has panicked, which revokes nothing.
        if validity.wait_for(|is_valid| !is_valid).await.is_err() {
            pending().await
        }
    }

    fn validity(self: &Arc<Self>, id: KeyId, parent: Option<KeyId>) -> watch::Receiver<bool> {
        let mut watched = self.watched();
        if let Some(validity) = watched.get(&id) {
            return validity.subscribe();
        }
        let (sender, receiver) = watch::channel(true);
        watched.insert(id, sender);
        tokio::spawn(Arc::clone(self).check_while_watched(id, parent));
        receiver
    }

    /// Checks periodically whether a key is still valid, as long as somebody waits for it.
    async fn check_while_watched(self: Arc<Self>, id: KeyId, parent: Option<KeyId>) {
        let mut ended = self.log.ended_keys();
        loop {
            let has_ended = async {
                // An error means that the log is closed and the process is ending.
                while !self.has_ended(id, parent) && ended.changed().await.is_ok() {}
            };
            _ = tokio::time::timeout(KEY_CACHE_TTL, has_ended).await;
            if self.remove_if_unwatched(id) {
                return;
            }
            // A failed query revokes nothing.
            if self.has_ended(id, parent) || matches!(self.is_still_valid(id).await, Ok(false)) {
                if let Some(validity) = self.watched().remove(&id) {
                    validity.send_replace(false);
                }
                return;
            }
        }
    }

    /// Stops watching a key that nobody waits for any more. Whether it did.
    fn remove_if_unwatched(&self, id: KeyId) -> bool {
        let mut watched = self.watched();
        let is_unwatched = watched.get(&id).is_none_or(|validity| validity.receiver_count() == 0);
        if is_unwatched {
            watched.remove(&id);
        }
        is_unwatched
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<KeyId, watch::Sender<bool>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn is_still_valid(&self, id: KeyId) -> Result<bool, Status> {
        let key = self.log.store().key(id).await.map_err(database_errors::query_failed)?;
        Ok(match key {
            Some(key) => self.valid_until(&key).await?.is_some(),
            None => false,
        })
    }

    /// Writes the last uses of keys periodically, and a last time when it is stopped.
    pub(crate) async fn record_uses(&self, stop: CancellationToken) {
        loop {
            let interval = async {
                self.uses.not_empty.notified().await;
                tokio::time::sleep(KEY_USES_INTERVAL).await;
            };
            let go_on = stop.run_until_cancelled(interval).await.is_some();
            let uses = std::mem::take(&mut *self.uses.pending());
            let uses: Vec<_> = uses.into_iter().collect();
            if !uses.is_empty()
                && let Err(error) = self.log.store().note_key_uses(&uses).await
            {
                tracing::warn!(%error, "cannot note when keys were used");
            }
            if !go_on {
                return;
            }
        }
    }

    async fn look_up(&self, digest: TokenDigest) -> Result<Option<CachedKey>, Status> {
        let key =
            self.log.store().key_by_token(digest).await.map_err(database_errors::query_failed)?;
        let Some(key) = key else { return Ok(None) };
        let Some(until) = self.valid_until(&key).await? else { return Ok(None) };
        let (id, parent) = (key.id, key.parent());
        let credential = match key.session {
            Some(_) => Credential::Session { id, parent },
            None => Credential::Key(key.id),
        };
        // In a session acts who has opened it: the key, or the subject of a web token.
        let actor = match key.session {
            Some(_) => key.creator,
            None => key.id.to_string(),
        };
        let caller = Caller {
            actor: actor.into(),
            name: key.display_name.into(),
            role: key.role,
            organizations: key.organizations,
            expire_time: (until != Timestamp::MAX).then_some(until),
            credential,
            address: None,
        };
        Ok(Some(CachedKey { caller, id, parent }))
    }

    /// The expiry of a key, or of a session with its parent. None: it is not valid.
    async fn valid_until(&self, key: &Key) -> Result<Option<Timestamp>, Status> {
        let now = (self.clock)();
        let until =
            |key: &Key| key.is_valid_at(now).then(|| key.expire_time.unwrap_or(Timestamp::MAX));
        let Some(own) = until(key) else { return Ok(None) };
        let Some(SessionOrigin { parent: Some(parent) }) = key.session else {
            return Ok(Some(own));
        };
        let parent = self.log.store().key(parent).await.map_err(database_errors::query_failed)?;
        Ok(parent.as_ref().and_then(until).map(|parents| parents.min(own)))
    }

    /// Records that a caller's key is used now. None: it has expired.
    fn record_use(&self, caller: Option<Caller>) -> Option<Caller> {
        let now = (self.clock)();
        let caller = caller?;
        if caller.expire_time.is_some_and(|expire_time| expire_time <= now) {
            return None;
        }
        if let Credential::Key(id) | Credential::Session { id, .. } = caller.credential {
            let mut pending = self.uses.pending();
            if pending.is_empty() {
                self.uses.not_empty.notify_one();
            }
            if pending.len() < MAX_PENDING_KEY_USES || pending.contains_key(&id) {
                pending.insert(id, now);
            }
        }
        Some(caller)
    }
}

impl KeyUses {
    fn pending(&self) -> MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
