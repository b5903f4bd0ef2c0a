//! The log in memory: the reference that the databases are held against, and what simulations
//! run on. Nothing survives the process.

mod data_keys;
mod notifications;
mod replays;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::audit::file_of;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OperationId,
    OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplaySelection, ReplayState};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::log::commits::OtherWrites;
use crate::log::operation::{Appended, BodyId, NewBody, Operation, Record, newest_steady_time};
use crate::log::plan::{Locked, Wanted, plan};
use crate::log::projection::{
    Changes, CountKey, Fold, HealthChange, IncidentKey, Loaded, Missed, Touched,
};
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, KeyFilter,
};
use crate::store::{
    AppendedBatch, AttemptSum, DueKey, DuePage, ErasedBodies, Lease, RebuildDifference, ShardLease,
    ShardState, SteadyTime, Store, Survey, TableVersions, WaitingEndpoints,
};
use crate::vault::{MasterKeyHistory, StoredDataKey};

/// A store that forgets everything when it is dropped.
pub struct MemoryStore {
    clock: Clock,
    shared: bool,
    database: Mutex<Database>,
    shards: Vec<Mutex<ShardData>>,
    /// None fails.
    other_writes: OtherWrites,
}

#[derive(Default)]
struct Database {
    key_uses: HashMap<KeyId, Timestamp>,
    master_keys: MasterKeyHistory,
    members: BTreeMap<String, Timestamp>,
}

#[derive(Default)]
struct ShardData {
    checkpoint: Position,
    epoch: Epoch,
    /// The newest time of the steady clock, and when it was written by the database's.
    steady: Option<(Timestamp, Timestamp)>,
    lease: Option<(String, Timestamp)>,
    records: Vec<Record>,
    bodies: HashMap<BodyId, NewBody>,
    data_keys: BTreeMap<OrganizationId, StoredDataKey>,
    tables: Tables,
}

#[derive(Default, PartialEq)]
struct Tables {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    events: BTreeMap<EventId, Event>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    attempts: BTreeMap<AttemptId, Attempt>,
    missed: Vec<Missed>,
    attempt_counts: BTreeMap<CountKey, u64>,
    failing: BTreeMap<(OrganizationId, EndpointId), Failing>,
    pauses: BTreeMap<(OrganizationId, EndpointId), Pause>,
    keys: BTreeMap<KeyId, Key>,
    replays: BTreeMap<ReplayId, Replay>,
    channels: BTreeMap<ChannelId, Channel>,
    notifications: BTreeMap<NotificationId, Notification>,
    incidents: BTreeMap<IncidentKey, Incident>,
}

impl MemoryStore {
    /// An empty store whose leases never expire, as in an embedded database.
    pub fn new(shard_count: u16, clock: Clock) -> MemoryStore {
        let shards = (0..shard_count).map(|_| Mutex::default()).collect();
        let (database, other_writes) = Default::default();
        MemoryStore { clock, shared: false, database, shards, other_writes }
    }

    /// An empty store that several simulated processes share: leases expire by the clock.
    pub fn shared(shard_count: u16, clock: Clock) -> MemoryStore {
        MemoryStore { shared: true, ..Self::new(shard_count, clock) }
    }

    fn shard(&self, shard: Shard) -> MutexGuard<'_, ShardData> {
        lock(&self.shards[usize::from(shard.0)])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ShardData {
    fn last_position(&self) -> Position {
        Position(self.records.len() as i64)
    }

    fn loaded(&self, touched: &Touched) -> Loaded {
        let tables = &self.tables;
        let endpoints = touched.endpoints.iter().filter_map(|(_, id)| tables.endpoints.get(id));
        let deliveries = touched.deliveries.iter().filter_map(|(_, id)| tables.deliveries.get(id));
        let keys = touched.keys.iter().filter_map(|id| tables.keys.get(id));
        let replays = touched.replays.iter().filter_map(|(_, id)| tables.replays.get(id));
        let channels = touched.channels.iter().filter_map(|(_, id)| tables.channels.get(id));
        let notifications =
            touched.notifications.iter().filter_map(|(_, id)| tables.notifications.get(id));
        Loaded {
            endpoints: endpoints.map(|endpoint| (endpoint.id, endpoint.clone())).collect(),
            deliveries: deliveries.map(|delivery| (delivery.id, delivery.clone())).collect(),
            keys: keys.map(|key| (key.id, key.clone())).collect(),
            replays: replays.map(|replay| (replay.id, replay.clone())).collect(),
            channels: channels.map(|row| (row.id, row.clone())).collect(),
            notifications: notifications.map(|row| (row.id, row.clone())).collect(),
        }
    }

    fn lock_for(&self, operations: &[Operation]) -> Locked {
        let wanted = Wanted::by(operations);
        let mut keys = HashMap::new();
        for event in self.tables.events.values().filter(|_| !wanted.keys.is_empty()) {
            if let Some(idempotency) = &event.idempotency {
                let owner = (event.organization_id.clone(), idempotency.key.clone());
                keys.insert(owner, (event.id, idempotency.request_sha256));
            }
        }
        Locked {
            last_position: self.last_position(),
            checkpoint: self.checkpoint,
            epoch: self.epoch,
            loaded: self.loaded(&wanted.touched),
            keys,
        }
    }

    fn refold(&self) -> Result<Tables, StoreError> {
        let mut fold = Fold::default();
        self.records.iter().try_for_each(|record| fold.apply(record))?;
        let mut tables = Tables::default();
        tables.write(fold.into_changes());
        Ok(tables)
    }
}

impl Tables {
    fn write(&mut self, changes: Changes) {
        self.endpoints.extend(changes.endpoints);
        self.events.extend(changes.events.into_iter().map(|event| (event.id, event)));
        self.deliveries.extend(changes.new_deliveries);
        self.deliveries.extend(changes.changed_deliveries);
        self.attempts
            .extend(changes.attempts.into_iter().map(|attempt| (attempt.made.id, attempt)));
        self.missed.extend(changes.missed);
        for (key, count) in changes.attempt_counts {
            *self.attempt_counts.entry(key).or_default() += count;
        }
        for (key, HealthChange { ended, began }) in changes.health {
            if ended {
                self.failing.remove(&key);
            }
            if let Some(failing) = began {
                self.failing.entry(key).or_insert(failing);
            }
        }
        for (key, pause) in changes.pauses {
            match pause {
                Some(pause) => _ = self.pauses.insert(key, pause),
                None => _ = self.pauses.remove(&key),
            }
        }
        self.keys.extend(changes.keys);
        self.replays.extend(changes.replays);
        self.channels.extend(changes.channels);
        self.notifications.extend(changes.notifications);
        for (key, incident) in changes.incidents {
            self.incidents.entry(key).or_default().merge(incident);
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn shard_count(&self) -> u16 {
        self.shards.len() as u16
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError> {
        let mut data = self.shard(shard);
        let now = (self.clock)();
        let plan = plan(operations, data.lock_for(operations), now)?;
        if let Some(time) = newest_steady_time(operations).filter(|_| !plan.records.is_empty()) {
            let newest = data.steady.map_or(time, |(newest, _)| newest.max(time));
            data.steady = Some((newest, now));
        }
        data.checkpoint = plan.checkpoint;
        data.records.extend(plan.records.iter().cloned());
        data.bodies.extend(plan.bodies.into_iter().map(|body| (body.id, body.clone())));
        data.tables.write(plan.changes);
        Ok(AppendedBatch { results: plan.results, records: plan.records })
    }

    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, Appended>, StoreError> {
        let data = self.shard(shard);
        let mut found = HashMap::new();
        for record in data.records.iter().filter(|record| record.position > after) {
            if operations.contains(&record.operation_id) {
                let Record { position, recorded_at, .. } = *record;
                let appended = Appended::New { first: position, last: position, recorded_at };
                found
                    .entry(record.operation_id)
                    .and_modify(|earlier| {
                        if let Appended::New { last, .. } = earlier {
                            *last = position;
                        }
                    })
                    .or_insert(appended);
            }
        }
        Ok(found)
    }

    async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let data = self.shard(shard);
        Ok(data.records.iter().skip(after.0 as usize).take(limit).cloned().collect())
    }

    async fn read_stream(
        &self,
        shard: Shard,
        stream: Stream,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let data = self.shard(shard);
        let of_stream =
            data.records.iter().filter(|record| record.stream == stream && record.version > after);
        Ok(of_stream.take(limit).cloned().collect())
    }

    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError> {
        let data = self.shard(shard);
        let ShardData { checkpoint, epoch, steady, .. } = *data;
        let now = (self.clock)();
        let steady = steady.map(|(time, noted_at)| {
            let age = Duration::try_from(now.duration_since(noted_at)).unwrap_or(Duration::ZERO);
            SteadyTime { time, age }
        });
        Ok(ShardState { last_position: data.last_position(), checkpoint, epoch, steady })
    }

    async fn answers(&self, _limit: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    fn other_writes(&self) -> &OtherWrites {
        &self.other_writes
    }

    async fn try_commit(&self, _shard: Shard) -> Result<(), StoreError> {
        Ok(())
    }

    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
        None
    }

    fn announce(&self, _shard: Shard, _position: Position) {}

    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        let now = (self.clock)();
        let data = self.shard(shard);
        let found = ids.iter().filter_map(|id| data.bodies.get(id));
        let unexpired = found.filter(|body| body.expire_time > now);
        Ok(unexpired.map(|body| (body.id, body.content.clone())).collect())
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        let now = (self.clock)();
        let mut data = self.shard(shard);
        let expired = data.bodies.values().filter(|body| body.expire_time <= now);
        let expired: Vec<_> = expired.map(|body| body.id).take(limit).collect();
        expired.iter().for_each(|id| {
            data.bodies.remove(id);
        });
        Ok(expired.len())
    }

    async fn count_events_and_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let tables = &self.shard(shard).tables;
        let events = tables.events.values().filter(|row| row.organization_id == *organization);
        let attempts = tables.attempts.values().filter(|row| row.organization_id == *organization);
        Ok((events.count() + attempts.count()) as u64)
    }

    async fn erase_bodies(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Option<BodyId>,
        limit: usize,
    ) -> Result<ErasedBodies, StoreError> {
        let mut data = self.shard(shard);
        let tables = &data.tables;
        let events = tables.events.values().filter(|row| row.organization_id == *organization);
        let attempts = tables.attempts.values().filter(|row| row.organization_id == *organization);
        let ids = events
            .map(|event| BodyId::Event(event.id))
            .chain(attempts.map(|attempt| BodyId::Attempt(attempt.made.id)));
        let page: Vec<_> = ids.filter(|id| Some(*id) > after).take(limit).collect();
        let deleted = page.iter().filter(|id| data.bodies.remove(id).is_some()).count();
        Ok(ErasedBodies { examined: page.len(), deleted, next: page.last().copied() })
    }

    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let now = (self.clock)();
        let mut data = self.shard(shard);
        let held = data.lease.as_ref().is_some_and(|(_, expire_time)| *expire_time > now);
        if self.shared && held {
            return Ok(None);
        }
        data.epoch = Epoch(data.epoch.0 + 1);
        data.lease = Some((owner.to_owned(), now + time_to_live));
        Ok(Some(Lease { shard, epoch: data.epoch }))
    }

    async fn renew_lease(&self, lease: Lease, time_to_live: Duration) -> Result<bool, StoreError> {
        let now = (self.clock)();
        let mut data = self.shard(lease.shard);
        if data.epoch != lease.epoch {
            return Ok(false);
        }
        let Some((_, expire_time)) = &mut data.lease else { return Ok(false) };
        *expire_time = now + time_to_live;
        Ok(true)
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let mut data = self.shard(lease.shard);
        if data.epoch == lease.epoch {
            data.lease = None;
        }
        Ok(())
    }

    async fn survey(&self, member: &str, time_to_live: Duration) -> Result<Survey, StoreError> {
        let now = (self.clock)();
        let mut database = lock(&self.database);
        database.members.insert(member.to_owned(), now + time_to_live);
        database.members.retain(|_, expire_time| *expire_time > now);
        let latest = now + 10 * time_to_live;
        let members = database.members.iter().filter(|(_, expire_time)| **expire_time <= latest);
        let members = members.map(|(member, _)| member.clone()).collect();
        let shards = (0..self.shard_count()).map(Shard).map(|shard| {
            let data = self.shard(shard);
            let Some((owner, expire_time)) = data.lease.clone() else {
                return ShardLease { shard, owner: None, epoch: None, expires_in: Duration::ZERO };
            };
            let expires_in = Duration::try_from(expire_time.duration_since(now));
            let expires_in = match self.shared {
                true => expires_in.unwrap_or(Duration::ZERO),
                false => Duration::MAX,
            };
            ShardLease { shard, owner: Some(owner), epoch: Some(data.epoch), expires_in }
        });
        Ok(Survey { members, shards: shards.collect() })
    }

    async fn leave(&self, member: &str) -> Result<(), StoreError> {
        lock(&self.database).members.remove(member);
        Ok(())
    }

    async fn endpoint(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.endpoints.get(&id);
        Ok(found.filter(|endpoint| endpoint.organization_id == *organization).cloned())
    }

    async fn endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[EndpointId],
    ) -> Result<Vec<Endpoint>, StoreError> {
        let data = self.shard(shard);
        let found = ids.iter().filter_map(|id| data.tables.endpoints.get(id));
        Ok(found.filter(|row| row.organization_id == *organization).cloned().collect())
    }

    async fn list_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EndpointFilter,
        before: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let data = self.shard(shard);
        let search = filter.search.as_ref().map(|text| text.to_ascii_lowercase());
        let matches = |endpoint: &&Endpoint| {
            let contains = |text: &str| {
                let text = text.to_ascii_lowercase();
                search.as_ref().is_none_or(|search| text.contains(search))
            };
            endpoint.organization_id == *organization
                && endpoint.delete_time.is_none()
                && filter.status.is_none_or(|status| status == endpoint.status)
                && (contains(&endpoint.name) || contains(&endpoint.url))
        };
        let newest_first = data.tables.endpoints.range(..before).rev();
        Ok(newest_first.map(|(_, row)| row).filter(matches).take(limit).cloned().collect())
    }

    async fn shard_endpoints(
        &self,
        shard: Shard,
        after: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.endpoints.values().filter(|endpoint| endpoint.id > after);
        Ok(rows.take(limit).cloned().collect())
    }

    async fn event(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.events.get(&id);
        Ok(found.filter(|event| event.organization_id == *organization).cloned())
    }

    async fn list_events(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EventFilter,
        before: EventId,
        limit: usize,
    ) -> Result<Found<Event, EventId>, StoreError> {
        let data = self.shard(shard);
        let is_walked = |event: &&Event| event.organization_id == *organization;
        let matches = |event: &&Event| {
            filter.event_type.is_none_or(|kind| kind == event.event_type)
                && filter.accepted.contains(event.create_time)
                && filter.publisher.as_ref().is_none_or(|publisher| *publisher == event.publisher)
        };
        let ulids = filter.accepted.ulids();
        let (first, before) =
            (EventId::new(ulids.first), EventId::new(ulids.before(before.ulid())));
        let newest_first = data.tables.events.range(first.min(before)..before).rev();
        let walked = newest_first.map(|(_, row)| row).filter(is_walked);
        let id = |row: &Event| row.id;
        Ok(look_through(walked, filter.looks_at(limit), limit, matches, id))
    }

    async fn deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[DeliveryId],
    ) -> Result<Vec<Delivery>, StoreError> {
        let data = self.shard(shard);
        let found = ids.iter().filter_map(|id| data.tables.deliveries.get(id));
        Ok(found.filter(|row| row.organization_id == *organization).cloned().collect())
    }

    async fn list_deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &DeliveryFilter,
        before: DeliveryId,
        limit: usize,
    ) -> Result<Found<Delivery, DeliveryId>, StoreError> {
        let data = self.shard(shard);
        let is_walked = |delivery: &&Delivery| {
            delivery.organization_id == *organization
                && filter.endpoint_id.is_none_or(|id| id == delivery.endpoint_id)
                && filter.event_id.is_none_or(|id| id == delivery.event_id)
        };
        let matches = |delivery: &&Delivery| {
            filter.event_type.is_none_or(|kind| kind == delivery.event_type)
                && filter.state.is_none_or(|state| state == delivery.state)
                && filter.scheduled.contains(delivery.create_time)
        };
        let ulids = filter.scheduled.ulids();
        let (first, before) =
            (DeliveryId::new(ulids.first), DeliveryId::new(ulids.before(before.ulid())));
        let newest_first = data.tables.deliveries.range(first.min(before)..before).rev();
        let walked = newest_first.map(|(_, row)| row).filter(is_walked);
        let id = |row: &Delivery| row.id;
        Ok(look_through(walked, filter.looks_at(limit), limit, matches, id))
    }

    async fn attempt(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.attempts.get(&id);
        Ok(found.filter(|attempt| attempt.organization_id == *organization).cloned())
    }

    async fn list_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AttemptFilter,
        before: AttemptId,
        limit: usize,
    ) -> Result<Found<Attempt, AttemptId>, StoreError> {
        let data = self.shard(shard);
        let is_walked = |attempt: &&Attempt| {
            attempt.organization_id == *organization
                && filter.endpoint_id.is_none_or(|id| id == attempt.made.endpoint_id)
                && filter.delivery_id.is_none_or(|id| id == attempt.delivery_id)
        };
        let matches = |attempt: &&Attempt| {
            filter.event_type.is_none_or(|kind| kind == attempt.made.event_type)
                && filter.outcome.is_none_or(|outcome| outcome == attempt.outcome)
                && filter.begun.contains(attempt.made.start_time)
        };
        let ulids = filter.begun.ulids();
        let (first, before) =
            (AttemptId::new(ulids.first), AttemptId::new(ulids.before(before.ulid())));
        let newest_first = data.tables.attempts.range(first.min(before)..before).rev();
        let walked = newest_first.map(|(_, row)| row).filter(is_walked);
        let id = |row: &Attempt| row.made.id;
        Ok(look_through(walked, filter.looks_at(limit), limit, matches, id))
    }

    async fn attempt_counts(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        from_hour: Timestamp,
    ) -> Result<Vec<(CountKey, u64)>, StoreError> {
        let data = self.shard(shard);
        let counts = data.tables.attempt_counts.iter();
        let of_endpoint =
            counts.filter(|(key, _)| key.endpoint_id == endpoint && key.hour >= from_hour);
        Ok(of_endpoint.map(|(key, count)| (*key, *count)).collect())
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        let tables = &self.shard(shard).tables;
        let mut sums = BTreeMap::<_, u64>::new();
        for (key, count) in &tables.attempt_counts {
            let CountKey { endpoint_id, hour, outcome, duration_bucket } = *key;
            let endpoint = tables.endpoints.get(&endpoint_id);
            let is_theirs = endpoint.is_some_and(|row| row.organization_id == *organization);
            if is_theirs && hours.contains(&hour) {
                *sums.entry((endpoint_id, outcome, duration_bucket)).or_default() += count;
            }
        }
        let sums = sums.into_iter().map(|((endpoint_id, outcome, duration_bucket), count)| {
            AttemptSum { endpoint_id, outcome, duration_bucket, count }
        });
        Ok(sums.collect())
    }

    async fn failing_endpoints(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Failing>, StoreError> {
        let tables = &self.shard(shard).tables;
        let theirs = tables.failing.iter().filter(|((owner, _), _)| {
            organization.is_none_or(|organization| owner == organization)
        });
        Ok(theirs.map(|((_, id), failing)| (*id, *failing)).collect())
    }

    async fn endpoint_pauses(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Pause>, StoreError> {
        let tables = &self.shard(shard).tables;
        let theirs = tables.pauses.iter().filter(|((owner, _), _)| {
            organization.is_none_or(|organization| owner == organization)
        });
        Ok(theirs.map(|((_, id), pause)| (*id, *pause)).collect())
    }

    async fn missed_events(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Missed>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.missed.iter();
        let of_endpoint = rows.filter(|row| row.endpoint_id == endpoint && row.position > after);
        Ok(of_endpoint.take(limit).cloned().collect())
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let data = self.shard(shard);
        let waiting = data.tables.deliveries.values().filter(|row| row.endpoint_id == endpoint);
        let mut due: Vec<_> = waiting
            .filter_map(|row| {
                Some((DueKey { due_time: row.due_time()?, delivery_id: row.id }, row))
            })
            .filter(|(key, _)| *key > after)
            .collect();
        due.sort_by_key(|(key, _)| *key);
        let deliveries = due.into_iter().take(limit).map(|(_, row)| row.clone()).collect();
        Ok(DuePage { as_of: data.last_position(), deliveries })
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        let data = self.shard(shard);
        let mut earliest = BTreeMap::<EndpointId, Timestamp>::new();
        for row in data.tables.deliveries.values() {
            if let Some(due_time) = row.due_time() {
                let entry = earliest.entry(row.endpoint_id).or_insert(due_time);
                *entry = (*entry).min(due_time);
            }
        }
        let endpoints = earliest.into_iter().collect();
        Ok(WaitingEndpoints { as_of: data.last_position(), endpoints })
    }

    async fn replay(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.replays.get(&id);
        Ok(found.filter(|row| row.organization_id == *organization).cloned())
    }

    async fn list_replays(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        endpoint: Option<EndpointId>,
        before: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let data = self.shard(shard);
        let newest_first = data.tables.replays.range(..before).rev().map(|(_, row)| row);
        let matching = newest_first.filter(|row| {
            row.organization_id == *organization
                && endpoint.is_none_or(|id| id == row.request.selection.endpoint_id)
        });
        Ok(matching.take(limit).cloned().collect())
    }

    async fn running_replays(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
        after: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let data = self.shard(shard);
        let running = data.tables.replays.values().filter(|row| {
            row.state == ReplayState::Running
                && row.id > after
                && organization.is_none_or(|whose| *whose == row.organization_id)
        });
        Ok(running.take(limit).cloned().collect())
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
        let now = (self.clock)();
        let data = self.shard(shard);
        Ok(replays::candidates(&data, now, organization, (selection, before), after, limit))
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        // It has none, and needs none.
        Ok(TableVersions { found: 0, needed: 0 })
    }

    async fn count_waiting(&self, shard: Shard) -> Result<u64, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.deliveries.values();
        Ok(rows.filter(|row| row.due_time().is_some()).count() as u64)
    }

    async fn count_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let data = self.shard(shard);
        let of_organization = data.tables.endpoints.values().filter(|endpoint| {
            endpoint.organization_id == *organization && endpoint.delete_time.is_none()
        });
        Ok(of_organization.count() as u64)
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        before: Position,
        limit: usize,
    ) -> Result<Found<Record, Position>, StoreError> {
        let data = self.shard(shard);
        let is_about = |record: &Record, endpoint: EndpointId| match record.stream {
            Stream::Endpoint(id) => id == endpoint,
            Stream::Delivery(id) => {
                data.tables.deliveries.get(&id).is_some_and(|row| row.endpoint_id == endpoint)
            }
            Stream::Replay(id) => (data.tables.replays.get(&id))
                .is_some_and(|row| row.request.selection.endpoint_id == endpoint),
            _ => false,
        };
        let is_walked = |record: &&Record| {
            record.position < before
                && record.organization_id == *organization
                && file_of(&record.fact).is_some()
        };
        let matches = |record: &&Record| {
            let file = file_of(&record.fact);
            filter
                .action
                .is_none_or(|action| file.is_some_and(|file| action.filed_under().contains(&file)))
                && filter.actor.as_ref().is_none_or(|actor| *actor == record.metadata.actor)
                && filter.endpoint_id.is_none_or(|id| is_about(record, id))
                && filter.recorded.contains(record.recorded_at)
        };
        let walked = data.records.iter().rev().filter(is_walked);
        let position = |record: &Record| record.position;
        Ok(look_through(walked, filter.looks_at(limit), limit, matches, position))
    }

    async fn key_by_token(&self, token: TokenDigest) -> Result<Option<Key>, StoreError> {
        let data = self.shard(Shard::OF_KEYS);
        Ok(data.tables.keys.values().find(|key| key.token == token).cloned())
    }

    async fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        Ok(self.shard(Shard::OF_KEYS).tables.keys.get(&id).cloned())
    }

    async fn list_keys(
        &self,
        organization: &OrganizationId,
        filter: KeyFilter,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let data = self.shard(Shard::OF_KEYS);
        let matches = |key: &&Key| {
            key.reach.is_of(organization)
                && filter.sessions.is_none_or(|sessions| sessions == key.session.is_some())
        };
        let newest_first = data.tables.keys.range(..before).rev();
        Ok(newest_first.map(|(_, row)| row).filter(matches).take(limit).cloned().collect())
    }

    async fn keys(&self, ids: &[KeyId]) -> Result<Vec<Key>, StoreError> {
        let data = self.shard(Shard::OF_KEYS);
        Ok(ids.iter().filter_map(|id| data.tables.keys.get(id)).cloned().collect())
    }

    async fn keys_made_by(
        &self,
        maker: KeyId,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let data = self.shard(Shard::OF_KEYS);
        let maker = maker.to_string();
        let newest_first = data.tables.keys.range(..before).rev().map(|(_, row)| row);
        Ok(newest_first.filter(|row| row.creator == maker).take(limit).cloned().collect())
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        Ok(self.shard(Shard::OF_KEYS).tables.keys.values().any(|key| key.session.is_none()))
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut database = lock(&self.database);
        for (id, time) in uses {
            let noted = database.key_uses.entry(*id).or_insert(*time);
            *noted = (*noted).max(*time);
        }
        Ok(())
    }

    async fn key_uses(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
        let database = lock(&self.database);
        Ok(ids.iter().filter_map(|id| Some((*id, *database.key_uses.get(id)?))).collect())
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        let mut data = self.shard(shard);
        data.tables = data.refold()?;
        progress(data.last_position());
        Ok(())
    }

    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError> {
        let data = self.shard(shard);
        let rebuilt = data.refold()?;
        progress(data.last_position());
        let stored = &data.tables;
        let mut differences = Vec::new();
        compare("endpoints", &stored.endpoints, &rebuilt.endpoints, &mut differences);
        compare("events", &stored.events, &rebuilt.events, &mut differences);
        compare("deliveries", &stored.deliveries, &rebuilt.deliveries, &mut differences);
        compare("keys", &stored.keys, &rebuilt.keys, &mut differences);
        compare("replays", &stored.replays, &rebuilt.replays, &mut differences);
        compare("channels", &stored.channels, &rebuilt.channels, &mut differences);
        compare("notifications", &stored.notifications, &rebuilt.notifications, &mut differences);
        compare("incidents", &stored.incidents, &rebuilt.incidents, &mut differences);
        compare("attempts", &stored.attempts, &rebuilt.attempts, &mut differences);
        compare(
            "attempt_counts",
            &stored.attempt_counts,
            &rebuilt.attempt_counts,
            &mut differences,
        );
        compare("failing_endpoints", &stored.failing, &rebuilt.failing, &mut differences);
        compare("endpoint_pauses", &stored.pauses, &rebuilt.pauses, &mut differences);
        let numbered = |rows: &[Missed]| {
            rows.iter().map(|row| ((row.endpoint_id, row.position), row.clone())).collect()
        };
        let (stored, rebuilt): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (numbered(&stored.missed), numbered(&rebuilt.missed));
        compare("missed_events", &stored, &rebuilt, &mut differences);
        differences.truncate(limit);
        Ok(differences)
    }

    async fn close(&self) {}
}

/// What a list finds among the rows of an index, of which it looks at so many, or at all until it has
/// found enough.
fn look_through<'a, Row: Clone + 'a, Id>(
    walked: impl Iterator<Item = &'a Row>,
    looks_at: Option<usize>,
    limit: usize,
    matches: impl Fn(&&Row) -> bool,
    id: impl Fn(&Row) -> Id,
) -> Found<Row, Id> {
    let looked_at: Vec<_> = walked.take(looks_at.unwrap_or(usize::MAX)).collect();
    let floor = looks_at.filter(|most| looked_at.len() >= *most);
    let floor = floor.and(looked_at.last()).map(|row| id(row));
    let rows = looked_at.into_iter().filter(matches).take(limit).cloned().collect();
    Found::of(rows, limit, floor, id)
}

fn compare<K: Ord, V: PartialEq + std::fmt::Debug>(
    table: &'static str,
    stored: &BTreeMap<K, V>,
    rebuilt: &BTreeMap<K, V>,
    differences: &mut Vec<RebuildDifference>,
) {
    let text = |row: Option<&V>| row.map(|row| format!("{row:?}"));
    let only_rebuilt = rebuilt.keys().filter(|key| !stored.contains_key(key));
    for key in stored.keys().chain(only_rebuilt) {
        let (stored, rebuilt) = (stored.get(key), rebuilt.get(key));
        if stored != rebuilt {
            let (stored, rebuilt) = (text(stored), text(rebuilt));
            differences.push(RebuildDifference { table, stored, rebuilt });
        }
    }
}

#[cfg(test)]
mod tests;
