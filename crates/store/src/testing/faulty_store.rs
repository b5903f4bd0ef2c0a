//! A memory store that fails when it is told to, and counts what it is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OperationId,
    OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplaySelection};
use tokio::sync::{Semaphore, mpsc};

use crate::error::StoreError;
use crate::log::commits::OtherWrites;
use crate::log::operation::{Appended, BodyId, Operation, Record};
use crate::log::projection::{CountKey, Missed};
use crate::queries::notifications::{KnownIncident, NotificationStore, Told};
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, KeyFilter,
};
use crate::store::{
    AppendedBatch, AttemptSum, DueKey, DuePage, ErasedBodies, Lease, RebuildDifference, ShardState,
    Store, Survey, TableVersions, WaitingEndpoints,
};
use crate::testing::memory::MemoryStore;
use crate::trouble::Trouble;
use crate::vault::{
    DataKeyCreation, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault, WrappedDataKey,
};

/// What happens to one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The database cannot be reached.
    Unavailable,
    /// The commit's answer is lost, and it did not happen.
    LostBefore,
    /// The commit's answer is lost, and it did happen.
    LostAfter,
    /// It takes until the gate is opened.
    Slow,
    /// It takes until the gate is opened, then happens, and the answer is lost.
    SlowThenLostAfter,
}

/// The store, and what is to go wrong.
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    /// What happens to the next appends; nothing to those that come after.
    pub(crate) faults: Mutex<VecDeque<Fault>>,
    /// Shards whose row somebody holds.
    pub(crate) locked: Mutex<BTreeSet<Shard>>,
    /// A batch with this operation fails as a whole.
    pub(crate) culprit: Mutex<Option<OperationId>>,
    /// So many look-ups fail.
    pub(crate) failing_lookups: AtomicUsize,
    /// So many reads of records fail.
    pub(crate) failing_reads: AtomicUsize,
    /// What other processes announce.
    pub(crate) hints: Mutex<Option<mpsc::Receiver<(Shard, Position)>>>,
    gate: Semaphore,
    batches: Mutex<Vec<usize>>,
    reads: AtomicUsize,
    states: AtomicUsize,
    closed: AtomicUsize,
    tries: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn new(faults: impl IntoIterator<Item = Fault>) -> Arc<FaultyStore> {
        FaultyStore::of_shards(1, faults)
    }

    /// With so many shards; the faults are of whichever appends first.
    pub(crate) fn of_shards(
        count: u16,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner: MemoryStore::shared(count, Arc::new(Timestamp::now)),
            faults: Mutex::new(faults.into_iter().collect()),
            locked: Mutex::default(),
            culprit: Mutex::default(),
            failing_lookups: AtomicUsize::new(0),
            failing_reads: AtomicUsize::new(0),
            hints: Mutex::default(),
            gate: Semaphore::new(0),
            batches: Mutex::default(),
            reads: AtomicUsize::new(0),
            states: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            tries: AtomicUsize::new(0),
        })
    }

    /// Lets one slow append go on.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(1);
    }

    /// The operations of each append so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().expect("not poisoned").clone()
    }

    /// How often records or bodies were read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// How often a shard's state was read.
    pub(crate) fn states(&self) -> usize {
        self.states.load(Ordering::SeqCst)
    }

    /// How often it was tried whether the database commits.
    pub(crate) fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }

    /// Whether the connections are closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) > 0
    }

    /// Has somebody hold the rows of these shards, and of no others.
    pub(crate) fn lock_rows(&self, shards: impl IntoIterator<Item = u16>) {
        *self.locked.lock().expect("not poisoned") = shards.into_iter().map(Shard).collect();
    }

    fn check_lock(&self, shard: Shard) -> Result<(), StoreError> {
        match self.locked.lock().expect("not poisoned").contains(&shard) {
            true => Err(StoreError::Unavailable(Trouble::Locked.into())),
            false => Ok(()),
        }
    }

    async fn wait_at_gate(&self) {
        self.gate.acquire().await.expect("the gate is not closed").forget();
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the connection was refused".into())
}

fn lost() -> StoreError {
    StoreError::Unknown("the connection was reset".into())
}

/// The methods in braces, and the others as the inner store has them.
macro_rules! over_inner {
    (
        $trait:ident { $($own:tt)* }
        $(async fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*
    ) => {
        #[async_trait]
        impl $trait for FaultyStore {
            $($own)*

            $(async fn $name(&self, $($argument: $type),*) -> $output {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

over_inner! {
    Store {
        fn shard_count(&self) -> u16 {
            self.inner.shard_count()
        }

        fn is_shared(&self) -> bool {
            self.inner.is_shared()
        }

        async fn append(
            &self,
            shard: Shard,
            operations: &[Operation],
        ) -> Result<AppendedBatch, StoreError> {
            self.check_lock(shard)?;
            self.batches.lock().expect("not poisoned").push(operations.len());
            let culprit = *self.culprit.lock().expect("not poisoned");
            if operations.iter().any(|operation| Some(operation.id) == culprit) {
                return Err(StoreError::Failed("a row is there twice".into()));
            }
            let fault = self.faults.lock().expect("not poisoned").pop_front();
            match fault {
                None => self.inner.append(shard, operations).await,
                Some(Fault::Unavailable) => Err(unavailable()),
                Some(Fault::LostBefore) => Err(lost()),
                Some(Fault::LostAfter) => {
                    self.inner.append(shard, operations).await?;
                    Err(lost())
                }
                Some(Fault::Slow) => {
                    self.wait_at_gate().await;
                    self.inner.append(shard, operations).await
                }
                Some(Fault::SlowThenLostAfter) => {
                    self.wait_at_gate().await;
                    self.inner.append(shard, operations).await?;
                    self.wait_at_gate().await;
                    Err(lost())
                }
            }
        }

        async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
            self.inner.answers(limit).await
        }

        fn other_writes(&self) -> &OtherWrites {
            self.inner.other_writes()
        }

        async fn try_commit(&self, shard: Shard) -> Result<(), StoreError> {
            self.tries.fetch_add(1, Ordering::SeqCst);
            self.check_lock(shard)?;
            let fault = self.faults.lock().expect("not poisoned").pop_front();
            match fault {
                Some(Fault::Slow) => {
                    self.wait_at_gate().await;
                    Ok(())
                }
                Some(_) => Err(unavailable()),
                None => Ok(()),
            }
        }

        async fn find_operations(
            &self,
            shard: Shard,
            after: Position,
            operations: &[OperationId],
        ) -> Result<HashMap<OperationId, Appended>, StoreError> {
            let failing = &self.failing_lookups;
            let one_less = |left: usize| left.checked_sub(1);
            if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                return Err(unavailable());
            }
            self.inner.find_operations(shard, after, operations).await
        }

        async fn read(
            &self,
            shard: Shard,
            after: Position,
            limit: usize,
        ) -> Result<Vec<Record>, StoreError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let one_less = |left: usize| left.checked_sub(1);
            let failing = &self.failing_reads;
            if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                return Err(unavailable());
            }
            self.inner.read(shard, after, limit).await
        }

        async fn bodies(
            &self,
            shard: Shard,
            ids: &[BodyId],
        ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.inner.bodies(shard, ids).await
        }

        async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError> {
            self.states.fetch_add(1, Ordering::SeqCst);
            self.inner.shard_state(shard).await
        }

        fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
            self.hints.lock().expect("not poisoned").take()
        }

        fn announce(&self, shard: Shard, position: Position) {
            self.inner.announce(shard, position);
        }

        async fn close(&self) {
            self.closed.fetch_add(1, Ordering::SeqCst);
        }
    }
    async fn read_stream(shard: Shard, stream: Stream, after: Version, limit: usize) -> Result<Vec<Record>, StoreError>;
    async fn delete_expired_bodies(shard: Shard, limit: usize) -> Result<usize, StoreError>;
    async fn count_events_and_attempts(shard: Shard, organization: &OrganizationId) -> Result<u64, StoreError>;
    async fn erase_bodies(shard: Shard, organization: &OrganizationId, after: Option<BodyId>, limit: usize) -> Result<ErasedBodies, StoreError>;
    async fn acquire_lease(shard: Shard, owner: &str, time_to_live: Duration) -> Result<Option<Lease>, StoreError>;
    async fn renew_lease(lease: Lease, time_to_live: Duration) -> Result<bool, StoreError>;
    async fn release_lease(lease: Lease) -> Result<(), StoreError>;
    async fn survey(member: &str, time_to_live: Duration) -> Result<Survey, StoreError>;
    async fn leave(member: &str) -> Result<(), StoreError>;
    async fn endpoint(shard: Shard, organization: &OrganizationId, id: EndpointId) -> Result<Option<Endpoint>, StoreError>;
    async fn endpoints(shard: Shard, organization: &OrganizationId, ids: &[EndpointId]) -> Result<Vec<Endpoint>, StoreError>;
    async fn list_endpoints(shard: Shard, organization: &OrganizationId, filter: &EndpointFilter, before: EndpointId, limit: usize) -> Result<Vec<Endpoint>, StoreError>;
    async fn shard_endpoints(shard: Shard, after: EndpointId, limit: usize) -> Result<Vec<Endpoint>, StoreError>;
    async fn event(shard: Shard, organization: &OrganizationId, id: EventId) -> Result<Option<Event>, StoreError>;
    async fn list_events(shard: Shard, organization: &OrganizationId, filter: &EventFilter, before: EventId, limit: usize) -> Result<Found<Event, EventId>, StoreError>;
    async fn deliveries(shard: Shard, organization: &OrganizationId, ids: &[DeliveryId]) -> Result<Vec<Delivery>, StoreError>;
    async fn list_deliveries(shard: Shard, organization: &OrganizationId, filter: &DeliveryFilter, before: DeliveryId, limit: usize) -> Result<Found<Delivery, DeliveryId>, StoreError>;
    async fn attempt(shard: Shard, organization: &OrganizationId, id: AttemptId) -> Result<Option<Attempt>, StoreError>;
    async fn list_attempts(shard: Shard, organization: &OrganizationId, filter: &AttemptFilter, before: AttemptId, limit: usize) -> Result<Found<Attempt, AttemptId>, StoreError>;
    async fn attempt_counts(shard: Shard, endpoint: EndpointId, from_hour: Timestamp) -> Result<Vec<(CountKey, u64)>, StoreError>;
    async fn attempt_sums(shard: Shard, organization: &OrganizationId, hours: Range<Timestamp>) -> Result<Vec<AttemptSum>, StoreError>;
    async fn endpoint_pauses(shard: Shard, organization: Option<&OrganizationId>) -> Result<HashMap<EndpointId, Pause>, StoreError>;
    async fn failing_endpoints(shard: Shard, organization: Option<&OrganizationId>) -> Result<HashMap<EndpointId, Failing>, StoreError>;
    async fn missed_events(shard: Shard, endpoint: EndpointId, after: Position, limit: usize) -> Result<Vec<Missed>, StoreError>;
    async fn due_deliveries(shard: Shard, endpoint: EndpointId, after: DueKey, limit: usize) -> Result<DuePage, StoreError>;
    async fn waiting_endpoints(shard: Shard) -> Result<WaitingEndpoints, StoreError>;
    async fn count_waiting(shard: Shard) -> Result<u64, StoreError>;
    async fn replay(shard: Shard, organization: &OrganizationId, id: ReplayId) -> Result<Option<Replay>, StoreError>;
    async fn list_replays(shard: Shard, organization: &OrganizationId, endpoint: Option<EndpointId>, before: ReplayId, limit: usize) -> Result<Vec<Replay>, StoreError>;
    async fn running_replays(shard: Shard, organization: Option<&OrganizationId>, after: ReplayId, limit: usize) -> Result<Vec<Replay>, StoreError>;
    async fn replay_candidates(shard: Shard, organization: &OrganizationId, selection: &ReplaySelection, before: Position, after: ReplayCursor, limit: usize) -> Result<CandidatePage, StoreError>;
    async fn table_versions() -> Result<TableVersions, StoreError>;
    async fn count_endpoints(shard: Shard, organization: &OrganizationId)
        -> Result<u64, StoreError>;
    async fn audit_records(
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        before: Position,
        limit: usize
    ) -> Result<Found<Record, Position>, StoreError>;
    async fn key_by_token(token: TokenDigest) -> Result<Option<Key>, StoreError>;
    async fn key(id: KeyId) -> Result<Option<Key>, StoreError>;
    async fn list_keys(
        organization: &OrganizationId,
        filter: KeyFilter,
        before: KeyId,
        limit: usize
    ) -> Result<Vec<Key>, StoreError>;
    async fn keys(ids: &[KeyId]) -> Result<Vec<Key>, StoreError>;
    async fn keys_made_by(maker: KeyId, before: KeyId, limit: usize) -> Result<Vec<Key>, StoreError>;
    async fn has_keys() -> Result<bool, StoreError>;
    async fn note_key_uses(uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;
    async fn key_uses(ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError>;
    async fn rebuild(shard: Shard, progress: &(dyn Fn(Position) + Sync)) -> Result<(), StoreError>;
    async fn check(shard: Shard, limit: usize, progress: &(dyn Fn(Position) + Sync)) -> Result<Vec<RebuildDifference>, StoreError>;
}

over_inner! {
    Vault {}
    async fn claim_master_key(key_id: &str) -> Result<String, StoreError>;
    async fn master_keys() -> Result<MasterKeyHistory, StoreError>;
    async fn replace_master_key(current: &str, new: &str) -> Result<bool, StoreError>;
    async fn data_keys(shard: Shard, organizations: &[OrganizationId]) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError>;
    async fn create_data_key(shard: Shard, organization: &OrganizationId, key: &WrappedDataKey) -> Result<DataKeyCreation, StoreError>;
    async fn wrapped_data_keys(shard: Shard, except: Option<&str>, after: Option<&OrganizationId>, limit: usize) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError>;
    async fn rewrap_data_keys(shard: Shard, rewrapped: &[RewrappedDataKey]) -> Result<usize, StoreError>;
    async fn count_data_keys(shard: Shard) -> Result<BTreeMap<String, u64>, StoreError>;
    async fn erase_data_key(shard: Shard, organization: &OrganizationId) -> Result<(), StoreError>;
}

over_inner! {
    NotificationStore {}
    async fn channel(shard: Shard, organization: &OrganizationId, id: ChannelId) -> Result<Option<Channel>, StoreError>;
    async fn list_channels(shard: Shard, organization: &OrganizationId, before: ChannelId, limit: usize) -> Result<Vec<Channel>, StoreError>;
    async fn count_channels(shard: Shard, organization: &OrganizationId) -> Result<u64, StoreError>;
    async fn shard_channels(shard: Shard, after: ChannelId, limit: usize) -> Result<Vec<Channel>, StoreError>;
    async fn notification(shard: Shard, organization: &OrganizationId, id: NotificationId) -> Result<Option<Notification>, StoreError>;
    async fn list_notifications(shard: Shard, organization: &OrganizationId, channel: Option<ChannelId>, before: NotificationId, limit: usize) -> Result<Vec<Notification>, StoreError>;
    async fn waiting_notifications(shard: Shard, channel: ChannelId, limit: usize) -> Result<Vec<Notification>, StoreError>;
    async fn waiting_channels(shard: Shard) -> Result<Vec<(ChannelId, Timestamp)>, StoreError>;
    async fn told_of_exhausted(shard: Shard, since: Timestamp) -> Result<Vec<Told>, StoreError>;
    async fn last_causes(shard: Shard, after: Position) -> Result<Vec<(OrganizationId, Position)>, StoreError>;
    async fn open_incidents(shard: Shard) -> Result<Vec<KnownIncident>, StoreError>;
    async fn mail_sent(shard: Shard, organization: &OrganizationId, since: Timestamp) -> Result<Vec<MailSent>, StoreError>;
}
