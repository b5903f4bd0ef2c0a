use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::key::{Key, KeyFact, NewKey, TokenDigest};
use keeptrusts_webhooks_domain::limits::REQUEST_ID_LIFETIME;
use keeptrusts_webhooks_domain::log::{Stream, Version};
use keeptrusts_webhooks_domain::request::{RequestDigest, RequestId};
use keeptrusts_webhooks_store::testing::memory::MemoryStore;
use keeptrusts_webhooks_store::{ExpectedVersion, Log, system_clock};
use tonic::Code;

use super::*;

/// A clock that a test sets.
fn manual_clock() -> (Clock, Arc<AtomicI64>) {
    let seconds = Arc::new(AtomicI64::new(0));
    let time = Arc::clone(&seconds);
    let now = move || Timestamp::from_second(time.load(Ordering::SeqCst)).expect("in range");
    (Arc::new(now), seconds)
}

fn identified(id: &str, content: u8) -> IdentifiedRequest {
    let id = RequestId::optional(id.to_owned()).expect("right").expect("not empty");
    IdentifiedRequest { id, digest: RequestDigest([content; 32]) }
}

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
        Fixture::with_clock(system_clock()).await
    }

    async fn with_clock(clock: Clock) -> Fixture {
        let store = Arc::new(MemoryStore::new(16, Arc::clone(&clock)));
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
        Ok(self.writer().change(decide, |_| metadata()).await?)
    }

    /// Revokes the key as a request with an id asks for it.
    async fn revoke_once(
        &self,
        writer: &LogWriter<'_>,
        identity: &IdentifiedRequest,
    ) -> Result<(i64, bool), Status> {
        let revoke = async {
            let record = NewRecord::following(&self.key().await, KeyFact::Revoked);
            let metadata = Metadata { request: Some(identity.clone()), ..metadata() };
            // Others may be as far now.
            tokio::task::yield_now().await;
            writer.append(record, metadata).await?;
            Ok(self.key().await.version.0)
        };
        let repeat = async |stream| {
            assert_eq!(stream, Stream::Key(ID));
            Ok(self.key().await.version.0)
        };
        writer.once(Some(identity), revoke, repeat).await
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

#[tokio::test(start_paused = true)]
async fn a_change_that_always_conflicts_gives_up_after_seconds() {
    let fixture = Fixture::new().await;
    let decide = async |_: &Key| {
        fixture.change_concurrently().await;
        Ok(Some(KeyFact::Revoked))
    };
    let began = Instant::now();
    let status = fixture.change(decide).await.expect_err("every attempt conflicts");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(began.elapsed() >= CONFLICT_PATIENCE && began.elapsed() < CONFLICT_PATIENCE * 2);
    let (decisions, records) = fixture.decisions_and_records().await;
    assert!(decisions > 50, "{decisions}");
    assert_eq!(usize::try_from(records).expect("a number"), 1 + decisions);
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
    let status = writer.change(decide, |_| metadata()).await;
    let status = Status::from(status.expect_err("the key is not theirs"));
    assert_eq!(status.code(), Code::Internal);
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

#[tokio::test]
async fn a_request_with_an_id_is_done_once_for_a_day() {
    let (clock, seconds) = manual_clock();
    let fixture = Fixture::with_clock(clock).await;
    let writer = fixture.writer();
    let request = identified("r", 1);
    assert_eq!(fixture.revoke_once(&writer, &request).await.expect("first"), (2, false));
    let day = i64::try_from(REQUEST_ID_LIFETIME.as_secs()).expect("in range");
    seconds.store(day - 1, Ordering::SeqCst);
    assert_eq!(fixture.revoke_once(&writer, &request).await.expect("again"), (2, true));
    let reused = fixture.revoke_once(&writer, &identified("r", 2)).await.expect_err("another");
    assert_eq!(reused.code(), Code::AlreadyExists);
    assert!(reused.message().contains("give this one an id of its own"), "{}", reused.message());
    seconds.store(day, Ordering::SeqCst);
    assert_eq!(fixture.revoke_once(&writer, &identified("r", 2)).await.expect("new"), (3, false));
}

#[tokio::test]
async fn of_equal_requests_at_the_same_moment_one_is_done() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let request = identified("r", 1);
    let both = tokio::join!(
        fixture.revoke_once(&writer, &request),
        fixture.revoke_once(&writer, &request)
    );
    let (one, other) = (both.0.expect("an answer"), both.1.expect("an answer"));
    assert!(one.1 != other.1, "one of them is a repetition: {one:?}, {other:?}");
    assert_eq!(fixture.key().await.version, Version(2));
    // Both have looked it up before the other was recorded. The log has judged.
    let another = identified("s", 1);
    let third = identified("s", 2);
    let both =
        tokio::join!(fixture.revoke_once(&writer, &another), fixture.revoke_once(&writer, &third));
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    let refused = both.0.err().or(both.1.err()).expect("one is refused");
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn what_the_same_request_has_done_meanwhile_refuses_no_repetition() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let (request, other) = (identified("r", 1), identified("r", 2));
    let act = async {
        fixture.revoke_once(&writer, &request).await.expect("the first of them");
        Err::<(), _>(WriteError::Failed(Status::resource_exhausted("there is no room any more")))
    };
    let repeat = async |stream| {
        assert_eq!(stream, Stream::Key(ID));
        Ok(())
    };
    let answer = writer.once(Some(&request), act, repeat).await;
    assert!(answer.expect("it is answered").1, "it is a repetition");
    // Of another request, the refusal counts.
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let act = async {
        fixture.revoke_once(&writer, &request).await.expect("the first of them");
        Err::<(), _>(WriteError::Failed(Status::resource_exhausted("there is no room any more")))
    };
    let refused = writer.once(Some(&other), act, repeat).await.expect_err("it is another one");
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn what_is_only_checked_is_decided_and_not_appended() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer().validating(true);
    let revoke = async || {
        let key = fixture.key().await;
        let fact = key.revoke();
        writer.record(key, fact, metadata()).await
    };
    for _ in 0..2 {
        let revoked = revoke().await.expect("it could be revoked");
        assert!(revoked.revoke_time.is_some(), "as it would be");
    }
    assert_eq!(fixture.decisions_and_records().await, (0, 1));
    let stale = fixture.key().await;
    fixture.change_concurrently().await;
    let refused = writer.record(stale, Some(KeyFact::Revoked), metadata()).await;
    assert!(matches!(refused, Err(WriteError::Conflict)), "{refused:?}");
}

#[tokio::test]
async fn an_id_is_for_one_request_of_the_organization_on_however_many_shards() {
    let fixture = Fixture::new().await;
    let request = identified("r", 1);
    fixture.revoke_once(&fixture.writer(), &request).await.expect("first");
    let organization = "default".parse().expect("an id");
    let elsewhere = LogWriter::new(&fixture.log, &fixture.clock, &organization);
    assert_ne!(elsewhere.shard, Shard::OF_KEYS);
    let never = async { Err::<(), _>(WriteError::Failed(Status::internal("done"))) };
    let repeat = |_| async { Ok(()) };
    // Another organization's is another id.
    let other = elsewhere.once(Some(&identified("r", 2)), never, repeat).await;
    assert_eq!(other.expect_err("it is done").code(), Code::Internal);

    let fixture = Fixture { organization, ..fixture };
    let key = KeyId::MAX;
    let new = NewKey {
        display_name: "ci".to_owned(),
        role: Role::Admin,
        token: TokenDigest([8; 32]),
        expire_time: None,
        session: None,
    };
    let created = NewRecord {
        stream: Stream::Key(key),
        expected: ExpectedVersion::New,
        fact: Fact::Key(KeyFact::Created(new)),
    };
    let metadata = Metadata { request: Some(request), ..metadata() };
    fixture.writer().append(created, metadata).await.expect("it is appended");
    let elsewhere = LogWriter::new(&fixture.log, &fixture.clock, &fixture.organization);
    let never = async { Err::<(), _>(WriteError::Failed(Status::internal("done"))) };
    let reused = elsewhere.once(Some(&identified("r", 2)), never, |_| async { Ok(()) }).await;
    assert_eq!(reused.expect_err("the id is used").code(), Code::AlreadyExists);
}
