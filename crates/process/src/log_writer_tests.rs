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

/// A key in the log, which is changed by being revoked: again and again, if a test wants it.
struct Fixture {
    log: Arc<Log>,
    clock: Clock,
    organization: OrganizationId,
    /// The versions of the key that something was decided from.
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
            name: "ci".to_owned(),
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

    /// Changes the key while something else is decided from what it was before.
    async fn is_outpaced(&self) {
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
        let outpaced = || Status::aborted("outpaced");
        self.writer().change(decide, |_| metadata(), outpaced).await
    }

    /// How often it was decided, and how many records the key has.
    async fn decisions_and_records(&self) -> (usize, i64) {
        let records = self.key().await.version.0;
        (self.decided_from.borrow().len(), records)
    }
}

fn metadata() -> Metadata {
    Metadata { actor: "key_1".to_owned(), ..Metadata::default() }
}

#[tokio::test]
async fn what_was_decided_is_appended_and_shown() {
    let fixture = Fixture::new().await;
    let changed = fixture.change(async |key| Ok(key.revoke())).await.expect("it is revoked");
    assert_eq!(changed, fixture.key().await);
    assert!(changed.revoke_time.is_some());
    assert_eq!(fixture.decisions_and_records().await, (1, 2));
}

#[tokio::test]
async fn nothing_is_appended_when_nothing_has_to_change() {
    let fixture = Fixture::new().await;
    let unchanged = fixture.change(async |_| Ok(None)).await.expect("it is as it was");
    assert_eq!(unchanged, fixture.key().await);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}

#[tokio::test]
async fn a_change_that_is_outpaced_is_decided_again_from_what_is_there_now() {
    let fixture = Fixture::new().await;
    let decide = async |key: &Key| {
        if key.version == Version(1) {
            fixture.is_outpaced().await;
        }
        Ok(Some(KeyFact::Revoked))
    };
    let changed = fixture.change(decide).await.expect("the second time");
    assert_eq!(*fixture.decided_from.borrow(), [1, 2]);
    assert_eq!((changed.version, &changed), (Version(3), &fixture.key().await));
}

#[tokio::test]
async fn a_change_that_is_always_outpaced_is_given_up() {
    let fixture = Fixture::new().await;
    let decide = async |_: &Key| {
        fixture.is_outpaced().await;
        Ok(Some(KeyFact::Revoked))
    };
    let status = fixture.change(decide).await.expect_err("it is given up");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "outpaced"));
    let others = i64::try_from(MAX_DECISIONS).expect("a small number");
    assert_eq!(fixture.decisions_and_records().await, (MAX_DECISIONS, 1 + others));
}

#[tokio::test]
async fn a_check_that_takes_its_time_refuses_before_anything_is_appended() {
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
async fn what_no_other_decision_helps_against_is_tried_once() {
    let fixture = Fixture::new().await;
    let stranger = "globex".parse().expect("an id");
    let writer = LogWriter::of_keys(&fixture.log, &fixture.clock, &stranger);
    let decide = || async {
        let key = fixture.key().await;
        fixture.decided_from.borrow_mut().push(key.version.0);
        Ok((key, Some(KeyFact::Revoked)))
    };
    let status = writer.change(decide, |_| metadata(), || Status::aborted("outpaced")).await;
    assert_eq!(status.expect_err("the key is not theirs").code(), Code::Internal);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}

#[tokio::test]
async fn a_log_that_is_closed_is_not_tried_again() {
    let fixture = Fixture::new().await;
    fixture.log.close(Duration::ZERO).await;
    let status = fixture.change(async |key| Ok(key.revoke())).await.expect_err("it is closed");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(fixture.decisions_and_records().await, (1, 1));
}
