//! The database as one process sees it: through a connection that counts, and that can fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, KeyId, OperationId, OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplaySelection};
use keeptrusts_webhooks_store::log::projection::{CountKey, Missed};
use keeptrusts_webhooks_store::queries::replay_candidates::CandidatePage;
use keeptrusts_webhooks_store::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, KeyFilter,
};
use keeptrusts_webhooks_store::testing::memory::MemoryStore;
use keeptrusts_webhooks_store::{
    Appended, AppendedBatch, AttemptSum, BodyId, Clock, DueKey, DuePage, ErasedBodies, Lease,
    Operation, OtherWrites, RebuildDifference, Record, Refusal, ShardState, Store, StoreError,
    Survey, TableVersions, WaitingEndpoints,
};
use tokio::sync::mpsc;

use super::power::Power;
use super::weather::{Fault, Weather};

/// The other processes' announcements, as LISTEN/NOTIFY carries them.
#[derive(Default)]
pub(crate) struct Hints(Mutex<Vec<mpsc::Sender<(Shard, Position)>>>);

impl Hints {
    fn listen(&self) -> mpsc::Receiver<(Shard, Position)> {
        let (sender, receiver) = mpsc::channel(64);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn tell(&self, hint: (Shard, Position)) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| _ = listener.try_send(hint));
    }
}

/// When which shard was taken by somebody.
#[derive(Default)]
pub(crate) struct Acquisitions(Mutex<Vec<(Timestamp, Shard)>>);

impl Acquisitions {
    pub(crate) fn all(&self) -> Vec<(Timestamp, Shard)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, time: Timestamp, shard: Shard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((time, shard));
    }
}

/// What went over a connection.
#[derive(Default)]
pub(crate) struct Traffic(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    calls: BTreeMap<&'static str, usize>,
    fenced_off: usize,
    largest_page: usize,
}

impl Traffic {
    /// How often each method was called.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// How many operations were refused because the shard had passed to another process.
    pub(crate) fn fenced_off(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fenced_off
    }

    /// The most deliveries that were asked for at once.
    pub(crate) fn largest_page(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).largest_page
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Backbone {
    pub(crate) database: Arc<MemoryStore>,
    pub(crate) clock: Clock,
    pub(crate) weather: Arc<Weather>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) acquisitions: Arc<Acquisitions>,
}

pub(crate) struct Connection {
    pub(crate) backbone: Backbone,
    pub(crate) power: Arc<Power>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) ignorance: Arc<Ignorance>,
}

/// The shards whose log this process cannot read: records of a newer version are in it.
#[derive(Default)]
pub(crate) struct Ignorance(Mutex<BTreeSet<Shard>>);

impl Ignorance {
    pub(crate) fn set(&self, shard: Shard, is_ignorant: bool) {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match is_ignorant {
            true => _ = shards.insert(shard),
            false => _ = shards.remove(&shard),
        }
    }

    fn is_of(&self, shard: Shard) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard)
    }
}

impl Connection {
    pub(super) fn database(&self) -> &MemoryStore {
        &self.backbone.database
    }

    pub(super) async fn call<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.power.running().await;
        self.traffic.count(|counts| *counts.calls.entry(name).or_default() += 1);
        self.backbone.weather.delay().await;
        // Whoever is killed or frozen on the way to the database does not get there.
        self.power.running().await;
        let fault = self.backbone.weather.fault(name);
        let result = match fault {
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("simulated".into())),
            Some(Fault::LostBefore) => Err(StoreError::Unknown("simulated".into())),
            Some(Fault::LostAfter) => work.await.and(Err(StoreError::Unknown("simulated".into()))),
            None => work.await,
        };
        self.backbone.weather.delay().await;
        self.power.running().await;
        result
    }
}

#[async_trait]
impl Store for Connection {
    fn shard_count(&self) -> u16 {
        self.database().shard_count()
    }

    fn is_shared(&self) -> bool {
        self.database().is_shared()
    }

    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError> {
        let batch = self.call("append", self.database().append(shard, operations)).await?;
        let is_fenced_off =
            |result: &&Result<_, _>| matches!(result, Err(Refusal::LeaseLost { .. }));
        let fenced_off = batch.results.iter().filter(is_fenced_off).count();
        self.traffic.count(|counts| counts.fenced_off += fenced_off);
        Ok(batch)
    }

    async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
        self.call("answers", self.database().answers(limit)).await
    }

    fn other_writes(&self) -> &OtherWrites {
        self.database().other_writes()
    }

    async fn try_commit(&self, shard: Shard) -> Result<(), StoreError> {
        self.call("try_commit", self.database().try_commit(shard)).await
    }

    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, Appended>, StoreError> {
        let work = self.database().find_operations(shard, after, operations);
        self.call("find_operations", work).await
    }

    async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let records = self.call("read", self.database().read(shard, after, limit)).await?;
        match self.ignorance.is_of(shard) && !records.is_empty() {
            true => Err(StoreError::Unreadable("a record of an unknown kind".to_owned())),
            false => Ok(records),
        }
    }

    async fn read_stream(
        &self,
        shard: Shard,
        stream: Stream,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.call("read_stream", self.database().read_stream(shard, stream, after, limit)).await
    }

    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError> {
        self.call("shard_state", self.database().shard_state(shard)).await
    }

    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
        self.is_shared().then(|| self.backbone.hints.listen())
    }

    fn announce(&self, shard: Shard, position: Position) {
        if !self.backbone.weather.loses_hint() {
            self.backbone.hints.tell((shard, position));
        }
    }

    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        self.call("bodies", self.database().bodies(shard, ids)).await
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        let work = self.database().delete_expired_bodies(shard, limit);
        self.call("delete_expired_bodies", work).await
    }

    async fn count_events_and_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let work = self.database().count_events_and_attempts(shard, organization);
        self.call("count_events_and_attempts", work).await
    }

    async fn erase_bodies(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Option<BodyId>,
        limit: usize,
    ) -> Result<ErasedBodies, StoreError> {
        let work = self.database().erase_bodies(shard, organization, after, limit);
        self.call("erase_bodies", work).await
    }

    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let work = async {
            let lease = self.database().acquire_lease(shard, owner, time_to_live).await?;
            if lease.is_some() {
                self.backbone.acquisitions.note((self.backbone.clock)(), shard);
            }
            Ok(lease)
        };
        self.call("acquire_lease", work).await
    }

    async fn renew_lease(&self, lease: Lease, time_to_live: Duration) -> Result<bool, StoreError> {
        self.call("renew_lease", self.database().renew_lease(lease, time_to_live)).await
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.call("release_lease", self.database().release_lease(lease)).await
    }

    async fn survey(&self, member: &str, time_to_live: Duration) -> Result<Survey, StoreError> {
        self.call("survey", self.database().survey(member, time_to_live)).await
    }

    async fn leave(&self, member: &str) -> Result<(), StoreError> {
        self.call("leave", self.database().leave(member)).await
    }

    async fn endpoint(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.call("endpoint", self.database().endpoint(shard, organization, id)).await
    }

    async fn endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[EndpointId],
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.call("endpoints", self.database().endpoints(shard, organization, ids)).await
    }

    async fn list_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EndpointFilter,
        before: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let work = self.database().list_endpoints(shard, organization, filter, before, limit);
        self.call("list_endpoints", work).await
    }

    async fn shard_endpoints(
        &self,
        shard: Shard,
        after: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.call("shard_endpoints", self.database().shard_endpoints(shard, after, limit)).await
    }

    async fn event(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        self.call("event", self.database().event(shard, organization, id)).await
    }

    async fn list_events(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EventFilter,
        before: EventId,
        limit: usize,
    ) -> Result<Found<Event, EventId>, StoreError> {
        let work = self.database().list_events(shard, organization, filter, before, limit);
        self.call("list_events", work).await
    }

    async fn deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[DeliveryId],
    ) -> Result<Vec<Delivery>, StoreError> {
        self.call("deliveries", self.database().deliveries(shard, organization, ids)).await
    }

    async fn list_deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &DeliveryFilter,
        before: DeliveryId,
        limit: usize,
    ) -> Result<Found<Delivery, DeliveryId>, StoreError> {
        let work = self.database().list_deliveries(shard, organization, filter, before, limit);
        self.call("list_deliveries", work).await
    }

    async fn attempt(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        self.call("attempt", self.database().attempt(shard, organization, id)).await
    }

    async fn list_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AttemptFilter,
        before: AttemptId,
        limit: usize,
    ) -> Result<Found<Attempt, AttemptId>, StoreError> {
        let work = self.database().list_attempts(shard, organization, filter, before, limit);
        self.call("list_attempts", work).await
    }

    async fn attempt_counts(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        from_hour: Timestamp,
    ) -> Result<Vec<(CountKey, u64)>, StoreError> {
        let work = self.database().attempt_counts(shard, endpoint, from_hour);
        self.call("attempt_counts", work).await
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        let work = self.database().attempt_sums(shard, organization, hours);
        self.call("attempt_sums", work).await
    }

    async fn failing_endpoints(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Failing>, StoreError> {
        let work = self.database().failing_endpoints(shard, organization);
        self.call("failing_endpoints", work).await
    }

    async fn endpoint_pauses(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Pause>, StoreError> {
        let work = self.database().endpoint_pauses(shard, organization);
        self.call("endpoint_pauses", work).await
    }

    async fn missed_events(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Missed>, StoreError> {
        let work = self.database().missed_events(shard, endpoint, after, limit);
        self.call("missed_events", work).await
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        self.traffic.count(|counts| counts.largest_page = counts.largest_page.max(limit));
        let work = self.database().due_deliveries(shard, endpoint, after, limit);
        self.call("due_deliveries", work).await
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        self.call("waiting_endpoints", self.database().waiting_endpoints(shard)).await
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        self.call("table_versions", self.database().table_versions()).await
    }

    async fn replay(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StoreError> {
        self.call("replay", self.database().replay(shard, organization, id)).await
    }

    async fn list_replays(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        endpoint: Option<EndpointId>,
        before: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let work = self.database().list_replays(shard, organization, endpoint, before, limit);
        self.call("list_replays", work).await
    }

    async fn running_replays(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
        after: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let work = self.database().running_replays(shard, organization, after, limit);
        self.call("running_replays", work).await
    }

    async fn replay_candidates(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        selection: &ReplaySelection,
        before: Position,
        after: ReplayCursor,
        limit: usize,
    ) -> Result<CandidatePage, StoreError> {
        let database = self.database();
        let work = database.replay_candidates(shard, organization, selection, before, after, limit);
        self.call("replay_candidates", work).await
    }

    async fn count_waiting(&self, shard: Shard) -> Result<u64, StoreError> {
        self.call("count_waiting", self.database().count_waiting(shard)).await
    }

    async fn count_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let work = self.database().count_endpoints(shard, organization);
        self.call("count_endpoints", work).await
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        before: Position,
        limit: usize,
    ) -> Result<Found<Record, Position>, StoreError> {
        let work = self.database().audit_records(shard, organization, filter, before, limit);
        self.call("audit_records", work).await
    }

    async fn key_by_token(&self, token: TokenDigest) -> Result<Option<Key>, StoreError> {
        self.call("key_by_token", self.database().key_by_token(token)).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.call("key", self.database().key(id)).await
    }

    async fn list_keys(
        &self,
        organization: &OrganizationId,
        filter: KeyFilter,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let work = self.database().list_keys(organization, filter, before, limit);
        self.call("list_keys", work).await
    }

    async fn keys(&self, ids: &[KeyId]) -> Result<Vec<Key>, StoreError> {
        self.call("keys", self.database().keys(ids)).await
    }

    async fn keys_made_by(
        &self,
        maker: KeyId,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        self.call("keys_made_by", self.database().keys_made_by(maker, before, limit)).await
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        self.call("has_keys", self.database().has_keys()).await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.call("note_key_uses", self.database().note_key_uses(uses)).await
    }

    async fn key_uses(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
        self.call("key_uses", self.database().key_uses(ids)).await
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        self.call("rebuild", self.database().rebuild(shard, progress)).await
    }

    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError> {
        self.call("check", self.database().check(shard, limit, progress)).await
    }

    async fn close(&self) {}
}
