//! The store in memory: the reference for the databases, and what simulations run on.

mod data_keys;
mod replays;
mod selecting;
mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, FailureStreak};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OperationId,
    OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_domain::request::RecordedRequest;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::count_limit::CountOwner;
use crate::log::damage::LogDamage;
use crate::log::operation::{
    AppendOutcome, BodyId, NewBody, Operation, Record, newest_steady_time,
};
use crate::log::other_writes::OtherWrites;
use crate::log::plan::{LockedShard, ReadSet, plan};
use crate::log::projection::{
    AffectedRows, Changes, CountKey, Fold, HealthChange, IncidentKey, LoadedRows, MissedEvent,
    RequestOwner,
};
use crate::store::{
    AppendedBatch, ClusterState, ErasedBodies, Lease, RebuildDifference, ShardLease, ShardState,
    SteadyTime, Store, TableVersions,
};
use crate::vault::{MasterKeyHistory, StoredDataKey};

/// A store that forgets everything when it is dropped.
pub struct MemoryStore {
    clock: Clock,
    shared: bool,
    database: Mutex<Database>,
    shards: Vec<Mutex<ShardData>>,
    /// Never has a failure.
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
    /// The newest time of the steady clock, and when it was written, by the database's clock.
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
    missed: Vec<MissedEvent>,
    attempt_counts: BTreeMap<CountKey, u64>,
    failing: BTreeMap<(OrganizationId, EndpointId), FailureStreak>,
    pauses: BTreeMap<(OrganizationId, EndpointId), Pause>,
    keys: BTreeMap<KeyId, Key>,
    replays: BTreeMap<ReplayId, Replay>,
    channels: BTreeMap<ChannelId, Channel>,
    notifications: BTreeMap<NotificationId, Notification>,
    incidents: BTreeMap<IncidentKey, Incident>,
    requests: BTreeMap<RequestOwner, RecordedRequest>,
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

    fn loaded(&self, affected: &AffectedRows) -> LoadedRows {
        let tables = &self.tables;
        let endpoints = affected.endpoints.iter().filter_map(|(_, id)| tables.endpoints.get(id));
        let deliveries = affected.deliveries.iter().filter_map(|(_, id)| tables.deliveries.get(id));
        let keys = affected.keys.iter().filter_map(|id| tables.keys.get(id));
        let replays = affected.replays.iter().filter_map(|(_, id)| tables.replays.get(id));
        let channels = affected.channels.iter().filter_map(|(_, id)| tables.channels.get(id));
        let notifications =
            affected.notifications.iter().filter_map(|(_, id)| tables.notifications.get(id));
        LoadedRows {
            endpoints: endpoints.map(|endpoint| (endpoint.id, endpoint.clone())).collect(),
            deliveries: deliveries.map(|delivery| (delivery.id, delivery.clone())).collect(),
            keys: keys.map(|key| (key.id, key.clone())).collect(),
            replays: replays.map(|replay| (replay.id, replay.clone())).collect(),
            channels: channels.map(|row| (row.id, row.clone())).collect(),
            notifications: notifications.map(|row| (row.id, row.clone())).collect(),
        }
    }

    fn lock_for(&self, operations: &[Operation]) -> LockedShard {
        let wanted = ReadSet::of(operations);
        let wanted_keys: HashSet<_> = wanted.keys.iter().map(|(owner, key)| (owner, key)).collect();
        let mut keys = HashMap::new();
        for event in self.tables.events.values().filter(|_| !wanted_keys.is_empty()) {
            if let Some(idempotency) = &event.idempotency
                && wanted_keys.contains(&(&event.organization_id, &idempotency.key))
            {
                let owner = (event.organization_id.clone(), idempotency.key.clone());
                keys.insert(owner, (event.id, idempotency.request_sha256));
            }
        }
        LockedShard {
            last_position: self.last_position(),
            checkpoint: self.checkpoint,
            epoch: self.epoch,
            loaded: self.loaded(&wanted.affected),
            keys,
            requests: wanted
                .requests
                .iter()
                .filter_map(|owner| self.tables.requests.get(owner).cloned())
                .collect(),
            used: wanted.unused.into_iter().filter(|stream| self.exists(*stream)).collect(),
            counts: wanted.counts.into_iter().map(|owner| self.tables.count(owner)).collect(),
        }
    }

    fn exists(&self, stream: Stream) -> bool {
        match stream {
            Stream::Endpoint(id) => self.tables.endpoints.contains_key(&id),
            Stream::Channel(id) => self.tables.channels.contains_key(&id),
            _ => self.records.iter().any(|record| record.stream == stream),
        }
    }

    fn refold(&self) -> Result<Tables, LogDamage> {
        let mut fold = Fold::default();
        self.records.iter().try_for_each(|record| fold.apply(record))?;
        let mut tables = Tables::default();
        tables.write(fold.into_changes());
        Ok(tables)
    }
}

impl Tables {
    fn count(&self, owner: CountOwner) -> (CountOwner, u64) {
        let (organization, counted) = &owner;
        let endpoints = self
            .endpoints
            .values()
            .filter(|row| row.organization_id == *organization && counted.includes_endpoint(row));
        let channels = self
            .channels
            .values()
            .filter(|row| row.organization_id == *organization && counted.includes_channel(row));
        let replays = self
            .replays
            .values()
            .filter(|row| row.organization_id == *organization && counted.includes_replay(row));
        let count = endpoints.count() + channels.count() + replays.count();
        (owner, count as u64)
    }

    fn write(&mut self, changes: Changes) {
        // Taken apart, so that a new table is not forgotten.
        let Changes {
            endpoints,
            events,
            new_deliveries,
            changed_deliveries,
            attempts,
            missed,
            attempt_counts,
            health,
            pauses,
            keys,
            replays,
            channels,
            notifications,
            incidents,
            requests,
        } = changes;
        self.endpoints.extend(endpoints);
        self.events.extend(events.into_iter().map(|event| (event.id, event)));
        self.deliveries.extend(new_deliveries);
        self.deliveries.extend(changed_deliveries);
        self.attempts.extend(attempts.into_iter().map(|attempt| (attempt.details.id, attempt)));
        self.missed.extend(missed);
        for (key, count) in attempt_counts {
            *self.attempt_counts.entry(key).or_default() += count;
        }
        for (key, HealthChange { ended, began }) in health {
            if ended {
                self.failing.remove(&key);
            }
            if let Some(failing) = began {
                self.failing
                    .entry(key)
                    .and_modify(|known| *known = known.followed_by(failing))
                    .or_insert(failing);
            }
        }
        for (key, pause) in pauses {
            match pause {
                Some(pause) => _ = self.pauses.insert(key, pause),
                None => _ = self.pauses.remove(&key),
            }
        }
        self.keys.extend(keys);
        self.replays.extend(replays);
        self.channels.extend(channels);
        self.notifications.extend(notifications);
        for (key, incident) in incidents {
            self.incidents.entry(key).or_default().merge(incident);
        }
        self.requests.extend(requests);
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
        let plan =
            plan(operations, data.lock_for(operations), now).map_err(|damage| damage.of(shard))?;
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
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
        let data = self.shard(shard);
        let mut found = HashMap::new();
        for record in data.records.iter().filter(|record| record.position > after) {
            if operations.contains(&record.operation_id) {
                let Record { position, recorded_at, .. } = *record;
                let appended =
                    AppendOutcome::Appended { first: position, last: position, recorded_at };
                found
                    .entry(record.operation_id)
                    .and_modify(|earlier| {
                        if let AppendOutcome::Appended { last, .. } = earlier {
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

    async fn position_key(&self, shard: Shard) -> Result<PositionKey, StoreError> {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&shard.0.to_be_bytes());
        Ok(PositionKey::new(key))
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
            .chain(attempts.map(|attempt| BodyId::Attempt(attempt.details.id)));
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

    async fn heartbeat(
        &self,
        member: &str,
        time_to_live: Duration,
    ) -> Result<ClusterState, StoreError> {
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
        Ok(ClusterState { members, shards: shards.collect() })
    }

    async fn leave(&self, member: &str) -> Result<(), StoreError> {
        lock(&self.database).members.remove(member);
        Ok(())
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        // It has none, and needs none.
        Ok(TableVersions { found: 0, needed: 0 })
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut database = lock(&self.database);
        for (id, time) in uses {
            let noted = database.key_uses.entry(*id).or_insert(*time);
            *noted = (*noted).max(*time);
        }
        Ok(())
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        let mut data = self.shard(shard);
        data.tables = data.refold().map_err(|damage| damage.of(shard))?;
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
        let rebuilt = data.refold().map_err(|damage| damage.of(shard))?;
        progress(data.last_position());
        // Taken apart, so that a new table is not forgotten.
        let Tables {
            endpoints,
            events,
            deliveries,
            attempts,
            missed,
            attempt_counts,
            failing,
            pauses,
            keys,
            replays,
            channels,
            notifications,
            incidents,
            requests,
        } = &data.tables;
        let mut differences = Vec::new();
        compare("endpoints", endpoints, &rebuilt.endpoints, &mut differences);
        compare("events", events, &rebuilt.events, &mut differences);
        compare("deliveries", deliveries, &rebuilt.deliveries, &mut differences);
        compare("keys", keys, &rebuilt.keys, &mut differences);
        compare("replays", replays, &rebuilt.replays, &mut differences);
        compare("channels", channels, &rebuilt.channels, &mut differences);
        compare("notifications", notifications, &rebuilt.notifications, &mut differences);
        compare("incidents", incidents, &rebuilt.incidents, &mut differences);
        compare("requests", requests, &rebuilt.requests, &mut differences);
        compare("attempts", attempts, &rebuilt.attempts, &mut differences);
        compare("attempt_counts", attempt_counts, &rebuilt.attempt_counts, &mut differences);
        compare("failing_endpoints", failing, &rebuilt.failing, &mut differences);
        compare("endpoint_pauses", pauses, &rebuilt.pauses, &mut differences);
        let numbered = |rows: &[MissedEvent]| {
            rows.iter().map(|row| ((row.endpoint_id, row.position), row.clone())).collect()
        };
        let (stored, rebuilt): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (numbered(missed), numbered(&rebuilt.missed));
        compare("missed_events", &stored, &rebuilt, &mut differences);
        differences.truncate(limit);
        Ok(differences)
    }

    async fn close(&self) {}
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
