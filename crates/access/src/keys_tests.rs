use std::sync::atomic::{AtomicI64, Ordering};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey};
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use keeptrusts_webhooks_store::testing::memory::MemoryStore;
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, Operation};
use ulid::Ulid;

use super::*;

/// A log, and a clock that the tests move.
struct Stage {
    store: Arc<MemoryStore>,
    log: Arc<Log>,
    second: Arc<AtomicI64>,
}

impl Stage {
    async fn new() -> Stage {
        let second = Arc::new(AtomicI64::new(1_000));
        let store = Arc::new(MemoryStore::new(1, Self::clock_of(&second)));
        let log = Log::start(store.clone()).await.expect("starts");
        Stage { store, log, second }
    }

    /// Another process on the same database.
    async fn elsewhere(&self) -> Stage {
        let (store, second) = (Arc::clone(&self.store), Arc::clone(&self.second));
        Stage { log: Log::start(store.clone()).await.expect("starts"), store, second }
    }

    fn clock_of(second: &Arc<AtomicI64>) -> Clock {
        let second = Arc::clone(second);
        Arc::new(move || Timestamp::from_second(second.load(Ordering::SeqCst)).expect("a time"))
    }

    fn set_clock(&self, second: i64) {
        self.second.store(second, Ordering::SeqCst);
    }

    /// The empty cache of another process.
    fn keys(&self) -> KeyCache {
        KeyCache::new(Arc::clone(&self.log), Self::clock_of(&self.second))
    }

    async fn append(&self, id: KeyId, fact: KeyFact) {
        let record = NewRecord {
            stream: Stream::Key(id),
            expected: ExpectedVersion::Any,
            fact: Fact::Key(fact),
        };
        let owner = "acme".parse::<OrganizationId>().expect("an id");
        let now = Timestamp::UNIX_EPOCH;
        let operation = Operation::recording(&owner, vec![record], Metadata::default(), now);
        self.log.append(Shard::OF_KEYS, operation).await.expect("appends");
    }

    /// Creates a key or a session. Its token is made from its number.
    async fn create(&self, number: u8, expire_second: Option<i64>, parent: Option<u8>) {
        let new = NewKey {
            display_name: format!("key {number}"),
            role: Role::Viewer,
            token: token(number).digest(),
            expire_time: expire_second
                .map(|second| Timestamp::from_second(second).expect("a time")),
            session: parent.map(|parent| SessionOrigin { parent: Some(id(parent)) }),
        };
        self.append(id(number), KeyFact::Created(new)).await;
    }

    async fn revoke(&self, number: u8) {
        self.append(KeyId::new(Ulid(number.into())), KeyFact::Revoked).await;
    }
}

fn id(number: u8) -> KeyId {
    KeyId::new(Ulid(number.into()))
}

fn token(number: u8) -> Token {
    Token::from_random([number; 32])
}

async fn is_valid(keys: &KeyCache, number: u8) -> bool {
    keys.caller(&token(number)).await.expect("the store answers").is_some()
}

#[tokio::test]
async fn a_cached_key_is_valid_until_it_expires() {
    let stage = Stage::new().await;
    stage.create(1, Some(2_000), None).await;
    let keys = stage.keys();
    let caller = keys.caller(&token(1)).await.expect("answers").expect("valid");
    assert_eq!(&*caller.actor, "key_00000000000000000000000001");
    assert_eq!((&*caller.name, caller.role), ("key 1", Role::Viewer));
    assert!(!is_valid(&keys, 2).await, "nobody's");
    stage.set_clock(2_000);
    assert!(!is_valid(&keys, 1).await, "remembered, but over");
    assert!(!is_valid(&stage.keys(), 1).await);
}

#[tokio::test]
async fn a_revoked_key_is_refused_when_it_is_looked_up() {
    let stage = Stage::new().await;
    stage.create(1, None, None).await;
    assert!(is_valid(&stage.keys(), 1).await);
    stage.revoke(1).await;
    assert!(!is_valid(&stage.keys(), 1).await);
    let id = KeyId::new(Ulid(1));
    assert!(!stage.keys().is_still_valid(id).await.expect("answers"));
    assert!(!stage.keys().is_still_valid(KeyId::MAX).await.expect("answers"), "there is none");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_this_process_revokes_is_refused_at_once_although_it_is_cached() {
    let stage = Stage::new().await;
    stage.create(1, None, None).await;
    stage.create(2, None, Some(1)).await;
    stage.create(3, None, Some(1)).await;
    stage.create(4, None, None).await;
    let keys = Arc::new(stage.keys());
    for number in 1..=4 {
        assert!(is_valid(&keys, number).await, "and it is remembered");
    }
    let stream = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.revoked(id(2), Some(id(1))).await }
    });
    tokio::time::sleep(KEY_CACHE_TTL / 10).await;
    let end = tokio::time::Instant::now();
    stage.append(KeyId::new(Ulid(2)), KeyFact::SessionEnded).await;
    assert!(!is_valid(&keys, 2).await, "signed out");
    stream.await.expect("its streams end");
    assert_eq!(end.elapsed(), std::time::Duration::ZERO);
    assert!(is_valid(&keys, 3).await && is_valid(&keys, 1).await, "others are as they were");
    let stream = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.revoked(id(3), Some(id(1))).await }
    });
    tokio::time::sleep(KEY_CACHE_TTL / 10).await;
    let revoked = tokio::time::Instant::now();
    stage.revoke(1).await;
    assert!(!is_valid(&keys, 1).await && !is_valid(&keys, 3).await, "with its sessions");
    stream.await.expect("its sessions' streams end");
    assert_eq!(revoked.elapsed(), std::time::Duration::ZERO, "without waiting for a look");
    assert!(is_valid(&keys, 4).await);
}

#[tokio::test]
async fn a_session_is_valid_no_longer_than_its_parent() {
    let stage = Stage::new().await;
    stage.create(1, Some(3_000), None).await;
    stage.create(2, Some(9_000), Some(1)).await;
    let caller = stage.keys().caller(&token(2)).await.expect("answers").expect("valid");
    assert_eq!(caller.credential, Credential::Session { id: id(2), parent: Some(id(1)) });
    assert_eq!(caller.expire_time.map(|time| time.as_second()), Some(3_000), "its parent's end");
    stage.revoke(1).await;
    assert!(!is_valid(&stage.keys(), 2).await);
}

#[tokio::test]
async fn a_session_with_an_unknown_parent_is_not_valid() {
    let stage = Stage::new().await;
    stage.create(2, None, Some(1)).await;
    assert!(!is_valid(&stage.keys(), 2).await);
}

#[tokio::test]
async fn uses_are_recorded_when_the_process_stops() {
    let stage = Stage::new().await;
    stage.create(1, None, None).await;
    let keys = stage.keys();
    assert!(is_valid(&keys, 1).await);
    let stopped = CancellationToken::new();
    stopped.cancel();
    keys.record_uses(stopped).await;
    let id = KeyId::new(Ulid(1));
    let uses = stage.log.store().key_uses(&[id]).await.expect("reads");
    assert_eq!(uses.get(&id).map(|time| time.as_second()), Some(1_000));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_for_the_same_keys_revocation_share_its_checks() {
    let stage = Stage::new().await;
    stage.create(1, None, None).await;
    // Each check of a key reads the clock.
    let looks = Arc::new(AtomicI64::new(0));
    let (counted, clock) = (Arc::clone(&looks), Stage::clock_of(&stage.second));
    let clock: Clock = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        clock()
    });
    let keys = Arc::new(KeyCache::new(Arc::clone(&stage.log), clock));
    let id = KeyId::new(Ulid(1));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let keys = Arc::clone(&keys);
        waiting.spawn(async move { keys.revoked(id, None).await });
    }
    let long = KEY_CACHE_TTL * 10 + KEY_CACHE_TTL / 2;
    assert!(tokio::time::timeout(long, waiting.join_next()).await.is_err(), "it is valid");
    assert_eq!(looks.load(Ordering::SeqCst), 10);

    stage.elsewhere().await.revoke(1).await;
    let ended = tokio::time::timeout(KEY_CACHE_TTL, async {
        let mut ended = 0;
        while waiting.join_next().await.is_some() {
            ended += 1;
        }
        ended
    });
    assert_eq!(ended.await.expect("within the time that a key is remembered"), 100);
    assert!(keys.watched().is_empty());

    // Keys that nobody waits for are not checked any more.
    let begun = looks.load(Ordering::SeqCst);
    assert!(tokio::time::timeout(KEY_CACHE_TTL / 2, keys.revoked(id, None)).await.is_err());
    tokio::time::sleep(KEY_CACHE_TTL * 10).await;
    assert_eq!(looks.load(Ordering::SeqCst), begun);
    assert!(keys.watched().is_empty());
}
