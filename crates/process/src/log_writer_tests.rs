use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::key::{Key, KeyFact, NewKey, TokenDigest};
use keeptrusts_webhooks_domain::log::{Stream, Version};
use keeptrusts_webhooks_store::testing::memory::MemoryStore;
use keeptrusts_webhooks_store::{ExpectedVersion, Log, system_clock};
use tonic::Code;

use super::*;

/// A key in the log. Tests change it by revoking it, as often as they want.
struct Fixture {
    log: Arc<Log>,
    clock: Clock,
    organization: OrganizationId,
    /// The version of the key at each decision.
    decided_from: RefCell<Vec<i64>>,
}

const ID: KeyId = KeyId::MIN;

impl Fixture {
    async fn new() -> Fixture {
        let clock = system_clock();
        let store = Arc::new(MemoryStore::new(1, Arc::clone(&clock)));
        let log = Log::start(store).await.expect("it starts");
        let organization = "acme".parse().expect("an id");
        let fixture = Fixture { log, clock, organization, decided_from: RefCell::default() };
        let new = NewKey {
            display_name: "ci".to_owned(),
            role: Role::Admin,
            token: TokenDigest([7; 32]),
            expire_time: None,
            session: None,
        };
        let created = NewRecord {
            stream: Stream::Key(ID),
            expected: ExpectedVersion::New,
            fact: Fact::Key(KeyFact::Created(new)),
        };
        fixture.writer().append(created, metadata()).await.expect("it is appended");
        fixture
    }

    fn writer(&self) -> LogWriter<'_> {
        LogWriter::of_keys(&self.log, &self.clock, &self.organization)
    }

    async fn key(&self) -> Key {
        self.log.store().key(ID).await.expect("it can be read").expect("it is there")
    }

    /// Changes the key, as somebody else would.
    async fn change_concurrently(&self) {
        let record = NewRecord::following(&self.key().await, KeyFact::Revoked);
        self.writer().append(record, metadata()).await.expect("it is appended");
    }

    async fn change(
        &self,
        decide: impl AsyncFn(&Key) -> Result<Option<KeyFact>, Status>,
    ) -> Result<Key, Status> {
        let decide = || async {
            let key = self.key().await;
            self.decided_from.borrow_mut().push(key.version.0);
            let decided = decide(&key).await?;
            Ok((key, decided))
        };
        let conflict = || Status::aborted("conflict");
        self.writer().change(decide, |_| metadata(), conflict).await
    }

    /// The number of decisions, and of the key's records.
    async fn decisions_and_records(&self) -> (usize, i64) {
        let records = self.key().await.version.0;
        (self.decided_from.borrow().len(), records)
    }
}

fn metadata() -> Metadata {
    Metadata { actor: "key_1".to_owned(), ..Metadata::default() }
}

#[tokio::test]
async fn the_decided_fact_is_appended_and_the_changed_entity_returned() {
    let fixture = Fixture::new().await;
    let changed = fixture.change(async |key| Ok(key.revoke())).await.expect("it is revoked");
    assert_eq!(changed, fixture.key().await);
    assert!(changed.revoke_time.is_some());
    assert_eq!(fixture.decisions_and_records().await, (1, 2));
}

#[tokio::test]
async fn nothing_is_appended_if_nothing_has_to_change() {
    let fixture = Fixture::new().await;
    let unchanged = fixture.change(async |_| Ok(None)).await.expect("it is unchanged");
    assert_eq!(unchanged, fixture.key().await);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}

#[tokio::test]
async fn after_a_conflict_the_change_is_decided_again_from_the_current_entity() {
    let fixture = Fixture::new().await;
    let decide = async |key: &Key| {
        if key.version == Version(1) {
            fixture.change_concurrently().await;
        }
        Ok(Some(KeyFact::Revoked))
    };
    let changed = fixture.change(decide).await.expect("the second attempt succeeds");
    assert_eq!(*fixture.decided_from.borrow(), [1, 2]);
    assert_eq!((changed.version, &changed), (Version(3), &fixture.key().await));
}

#[tokio::test]
async fn a_change_that_always_conflicts_fails_after_the_last_attempt() {
    let fixture = Fixture::new().await;
    let decide = async |_: &Key| {
        fixture.change_concurrently().await;
        Ok(Some(KeyFact::Revoked))
    };
    let status = fixture.change(decide).await.expect_err("every attempt conflicts");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "conflict"));
    let conflicts = i64::try_from(MAX_ATTEMPTS).expect("a small number");
    assert_eq!(fixture.decisions_and_records().await, (MAX_ATTEMPTS, 1 + conflicts));
}

#[tokio::test]
async fn nothing_is_appended_if_the_decision_fails() {
    let fixture = Fixture::new().await;
    let decide = async |_: &Key| {
        tokio::task::yield_now().await;
        Err(Status::invalid_argument("the template fails"))
    };
    let status = fixture.change(decide).await.expect_err("it is refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}

#[tokio::test]
async fn a_refusal_that_is_no_conflict_is_not_retried() {
    let fixture = Fixture::new().await;
    let stranger = "globex".parse().expect("an id");
    let writer = LogWriter::of_keys(&fixture.log, &fixture.clock, &stranger);
    let decide = || async {
        let key = fixture.key().await;
        fixture.decided_from.borrow_mut().push(key.version.0);
        Ok((key, Some(KeyFact::Revoked)))
    };
    let status = writer.change(decide, |_| metadata(), || Status::aborted("conflict")).await;
    assert_eq!(status.expect_err("the key is not theirs").code(), Code::Internal);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}

#[tokio::test]
async fn a_closed_log_is_not_retried() {
    let fixture = Fixture::new().await;
    fixture.log.close(Duration::ZERO).await;
    let status = fixture.change(async |key| Ok(key.revoke())).await.expect_err("it is closed");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}
