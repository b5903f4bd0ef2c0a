//! API keys and sessions: looked up by their token, remembered for a moment.
//!
//! Decision: docs/decisions/keys-are-facts-in-the-log.md

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential};
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::key::{Key, SessionOrigin, Token, TokenDigest};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{Clock, Log};
use moka::future::Cache;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::limits::{KEY_MEMORY, MAX_KEYS_REMEMBERED, MAX_USES_WAITING, USES_INTERVAL};

/// The keys of the database.
pub(crate) struct Keys {
    log: Arc<Log>,
    clock: Clock,
    /// What became of the tokens that were seen last. Wrong ones, too, so that repeating one
    /// costs the database nothing.
    remembered: Cache<TokenDigest, Option<Known>>,
    uses: Uses,
    /// Keys for whose end somebody waits: whether they are valid.
    in_use: Mutex<HashMap<KeyId, watch::Sender<bool>>>,
}

/// A key that was valid when it was looked up.
#[derive(Clone)]
struct Known {
    caller: Caller,
    id: KeyId,
    /// The key that it ends with.
    parent: Option<KeyId>,
}

/// When keys were used, until it is noted.
#[derive(Default)]
struct Uses {
    waiting: Mutex<HashMap<KeyId, Timestamp>>,
    some: Notify,
}

impl Keys {
    pub(crate) fn new(log: Arc<Log>, clock: Clock) -> Keys {
        let remembered =
            Cache::builder().max_capacity(MAX_KEYS_REMEMBERED).time_to_live(KEY_MEMORY).build();
        Keys { log, clock, remembered, uses: Uses::default(), in_use: Mutex::default() }
    }

    /// Whose a token is. None: it is wrong, revoked or expired.
    pub(crate) async fn caller(&self, token: &Token) -> Result<Option<Caller>, Status> {
        let digest = token.digest();
        // Of many that ask at once, one looks it up.
        let found = self.remembered.try_get_with(digest, self.look_up(digest)).await;
        let known = found.map_err(|status| Status::clone(&status))?;
        // What this process has ended is over at once, whatever is remembered, or was read before.
        let valid = known.filter(|known| !self.has_ended(known.id, known.parent));
        Ok(self.used(valid.map(|known| known.caller)))
    }

    /// Whether this process has ended a key a moment ago, or the one that it ends with.
    fn has_ended(&self, id: KeyId, parent: Option<KeyId>) -> bool {
        self.log.has_ended(id) || parent.is_some_and(|parent| self.log.has_ended(parent))
    }

    /// Waits until a key that was valid is so no longer, by itself or with its `parent`. However many
    /// wait for one key, it is looked up once every [`KEY_MEMORY`]; what this process ends itself is
    /// known at once.
    pub(crate) async fn is_revoked(self: &Arc<Self>, id: KeyId, parent: Option<KeyId>) {
        let mut validity = self.validity(id, parent);
        // An error: whoever looked has panicked, which is no reason to end anything.
        if validity.wait_for(|is_valid| !is_valid).await.is_err() {
            pending().await
        }
    }

    fn validity(self: &Arc<Self>, id: KeyId, parent: Option<KeyId>) -> watch::Receiver<bool> {
        let mut in_use = self.in_use();
        if let Some(validity) = in_use.get(&id) {
            return validity.subscribe();
        }
        let (sender, receiver) = watch::channel(true);
        in_use.insert(id, sender);
        tokio::spawn(Arc::clone(self).look_at(id, parent));
        receiver
    }

    /// Looks whether a key is still valid, for as long as somebody waits.
    async fn look_at(self: Arc<Self>, id: KeyId, parent: Option<KeyId>) {
        let mut ended = self.log.ended_keys();
        loop {
            let has_ended = async {
                // An error: the log is gone, and with it this process.
                while !self.has_ended(id, parent) && ended.changed().await.is_ok() {}
            };
            _ = tokio::time::timeout(KEY_MEMORY, has_ended).await;
            if self.is_unused(id) {
                return;
            }
            // A database that does not answer revokes nothing.
            if self.has_ended(id, parent) || matches!(self.is_still_valid(id).await, Ok(false)) {
                if let Some(validity) = self.in_use().remove(&id) {
                    validity.send_replace(false);
                }
                return;
            }
        }
    }

    /// Whether nobody waits for a key any more, which is then forgotten.
    fn is_unused(&self, id: KeyId) -> bool {
        let mut in_use = self.in_use();
        let is_unused = in_use.get(&id).is_none_or(|validity| validity.receiver_count() == 0);
        if is_unused {
            in_use.remove(&id);
        }
        is_unused
    }

    fn in_use(&self) -> MutexGuard<'_, HashMap<KeyId, watch::Sender<bool>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key that was valid still is.
    async fn is_still_valid(&self, id: KeyId) -> Result<bool, Status> {
        let key = self.log.store().key(id).await.map_err(answer::query_failed)?;
        Ok(match key {
            Some(key) => self.valid_until(&key).await?.is_some(),
            None => false,
        })
    }

    /// Notes uses now and then, until it is told to stop; what waits then is noted as well.
    pub(crate) async fn note_uses(&self, stop: CancellationToken) {
        loop {
            let some = async {
                self.uses.some.notified().await;
                tokio::time::sleep(USES_INTERVAL).await;
            };
            let go_on = stop.run_until_cancelled(some).await.is_some();
            let uses = std::mem::take(&mut *self.uses.waiting());
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

    async fn look_up(&self, digest: TokenDigest) -> Result<Option<Known>, Status> {
        let key = self.log.store().key_by_token(digest).await.map_err(answer::query_failed)?;
        let Some(key) = key else { return Ok(None) };
        let Some(until) = self.valid_until(&key).await? else { return Ok(None) };
        let (id, parent) = (key.id, key.parent());
        let credential = match key.session {
            Some(_) => Credential::Session { id, parent },
            None => Credential::Key(key.id),
        };
        // Whoever has opened a session acts in it: the key, or the subject of a web token.
        let actor = match key.session {
            Some(_) => key.creator,
            None => key.id.to_string(),
        };
        let caller = Caller {
            actor: actor.into(),
            name: key.name.into(),
            role: key.role,
            reach: key.reach,
            expire_time: (until != Timestamp::MAX).then_some(until),
            credential,
            address: None,
        };
        Ok(Some(Known { caller, id, parent }))
    }

    /// Until when a key is valid, unless it is revoked: with the key that it was opened with, if
    /// it is a session. None: it is not valid.
    async fn valid_until(&self, key: &Key) -> Result<Option<Timestamp>, Status> {
        let now = (self.clock)();
        let until =
            |key: &Key| key.is_valid_at(now).then(|| key.expire_time.unwrap_or(Timestamp::MAX));
        let Some(own) = until(key) else { return Ok(None) };
        let Some(SessionOrigin { parent: Some(parent) }) = key.session else {
            return Ok(Some(own));
        };
        let parent = self.log.store().key(parent).await.map_err(answer::query_failed)?;
        Ok(parent.as_ref().and_then(until).map(|parents| parents.min(own)))
    }

    /// Notes that a caller's key is used now, if it is still valid.
    fn used(&self, caller: Option<Caller>) -> Option<Caller> {
        let now = (self.clock)();
        let caller = caller?;
        if caller.expire_time.is_some_and(|expire_time| expire_time <= now) {
            return None;
        }
        if let Credential::Key(id) | Credential::Session { id, .. } = caller.credential {
            let mut waiting = self.uses.waiting();
            if waiting.is_empty() {
                self.uses.some.notify_one();
            }
            if waiting.len() < MAX_USES_WAITING || waiting.contains_key(&id) {
                waiting.insert(id, now);
            }
        }
        Some(caller)
    }
}

impl Uses {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
