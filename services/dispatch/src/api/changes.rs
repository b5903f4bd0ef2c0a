//! The changes of an organization's deliveries, computed once for all who watch it.
//!
//! Decision: docs/decisions/one-reader-for-all-followers-of-a-shard.md

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard, Stream};
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_store::{Log, OrganizationRecords, Record, StoreError};

use super::delivery_states::DeliveryStates;
use super::disabled_endpoints::DisabledEndpoints;

/// An organization's changes that are remembered for watchers who are a little behind.
const MAX_REMEMBERED_CHANGES: usize = 4_096;
const MAX_REMEMBERED_REPLAYS: usize = 64;

/// A change of a delivery: the record that caused it, the delivery afterwards, and the record's
/// attempt.
pub(super) struct Change {
    pub(super) position: Position,
    pub(super) record: RecordName,
    pub(super) endpoint_id: EndpointId,
    pub(super) delivery: v1::Delivery,
    pub(super) attempt: Option<v1::Attempt>,
}

/// The changes of the organizations that somebody watches.
#[derive(Default)]
pub(super) struct WatchedOrganizations(Mutex<HashMap<OrganizationId, Weak<OrganizationChanges>>>);

/// The changes in one organization. The first watcher that asks for a record's changes computes
/// them, with the queries that this takes; the others get the same. A watcher that is far behind
/// computes them alone.
pub(super) struct OrganizationChanges {
    log: Arc<Log>,
    shard: Shard,
    organization: OrganizationId,
    known: tokio::sync::Mutex<ChangeCache>,
}

struct ChangeCache {
    states: DeliveryStates,
    /// Everything up to here has gone into the states.
    position: Position,
    /// The changes by the newest records.
    changes: VecDeque<(Position, Arc<[Change]>)>,
    count: usize,
    /// Replays, each with the record after which it was read.
    replays: HashMap<ReplayId, (Position, Option<Replay>)>,
}

impl WatchedOrganizations {
    /// An organization's changes, shared by all watchers.
    pub(super) fn changes(
        &self,
        log: &Arc<Log>,
        organization: &OrganizationId,
    ) -> Arc<OrganizationChanges> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(changes) = watched.get(organization).and_then(Weak::upgrade) {
            return changes;
        }
        watched.retain(|_, changes| changes.strong_count() > 0);
        let changes = Arc::new(OrganizationChanges::new(Arc::clone(log), organization.clone()));
        watched.insert(organization.clone(), Arc::downgrade(&changes));
        changes
    }
}

impl OrganizationChanges {
    fn new(log: Arc<Log>, organization: OrganizationId) -> OrganizationChanges {
        let shard = log.shard_of(&organization);
        let known = tokio::sync::Mutex::new(ChangeCache::nothing(&log, shard));
        OrganizationChanges { log, shard, organization, known }
    }

    /// The changes by each of the organization's next records.
    pub(super) async fn of(
        &self,
        own: &OrganizationRecords,
    ) -> Result<Vec<Arc<[Change]>>, StoreError> {
        let mut known = self.known.lock().await;
        let new_from = own.records.partition_point(|record| record.position <= known.position);
        let (old, new) = own.records.split_at(new_from);
        let Some(mut changes) = known.remembered(old) else {
            // Old changes are computed without holding the lock: nobody else waits for them.
            drop(known);
            let mut states = DeliveryStates::new(Arc::clone(&self.log), self.shard);
            return self.compute(&mut states, &own.records).await;
        };
        if new.is_empty() {
            return Ok(changes);
        }
        if old.is_empty() && own.after > known.position {
            // There may be records in between that nobody has asked for.
            known.forget(&self.log, self.shard);
        }
        // The states are put back only when everything is computed. The watcher may disconnect
        // meanwhile, and records must not be applied to the same states twice.
        let mut states = known.states.take();
        let computed = self.compute(&mut states, new).await?;
        known.states = states;
        known.remember(new, &computed);
        changes.extend(computed);
        Ok(changes)
    }

    /// A replay's state after one of the organization's records, or later.
    pub(super) async fn replay(
        &self,
        id: ReplayId,
        after: Position,
    ) -> Result<Option<Replay>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some((position, replay)) = known.replays.get(&id)
            && *position >= after
        {
            return Ok(replay.clone());
        }
        let replay = self.log.store().replay(self.shard, &self.organization, id).await?;
        if known.replays.len() >= MAX_REMEMBERED_REPLAYS {
            known.replays.clear();
        }
        known.replays.insert(id, (after, replay.clone()));
        Ok(replay)
    }

    async fn compute(
        &self,
        states: &mut DeliveryStates,
        records: &[Arc<Record>],
    ) -> Result<Vec<Arc<[Change]>>, StoreError> {
        let records: Vec<_> = records.iter().collect();
        let after = states.after(&self.organization, &records).await?;
        // An endpoint's change makes no change of its deliveries, so that what waits is shown as the
        // endpoint is now. A client that gets no further change would keep what was true then.
        let changed = after.iter().flatten();
        let disabled =
            DisabledEndpoints::of(&self.log, self.shard, &self.organization, changed).await?;
        let changes = records.iter().zip(after).map(|(record, deliveries)| {
            let attempt: Option<v1::Attempt> = attempt_of(record).as_ref().map(Into::into);
            let changes = deliveries.iter().map(|delivery| Change {
                position: record.position,
                record: record.name(),
                endpoint_id: delivery.endpoint_id,
                delivery: disabled.message(delivery),
                attempt: attempt.clone(),
            });
            changes.collect()
        });
        Ok(changes.collect())
    }
}

impl ChangeCache {
    fn nothing(log: &Arc<Log>, shard: Shard) -> ChangeCache {
        ChangeCache {
            states: DeliveryStates::new(Arc::clone(log), shard),
            position: Position::START,
            changes: VecDeque::new(),
            count: 0,
            replays: HashMap::new(),
        }
    }

    fn forget(&mut self, log: &Arc<Log>, shard: Shard) {
        *self = ChangeCache::nothing(log, shard);
    }

    /// The changes by these records. None: one of them is not remembered.
    fn remembered(&self, records: &[Arc<Record>]) -> Option<Vec<Arc<[Change]>>> {
        let find = |record: &Arc<Record>| {
            let at = self.changes.binary_search_by_key(&record.position, |(at, _)| *at).ok()?;
            Some(Arc::clone(&self.changes[at].1))
        };
        records.iter().map(find).collect()
    }

    fn remember(&mut self, records: &[Arc<Record>], changes: &[Arc<[Change]>]) {
        for (record, changes) in records.iter().zip(changes) {
            self.position = record.position;
            self.count += changes.len().max(1);
            self.changes.push_back((record.position, Arc::clone(changes)));
        }
        while self.count > MAX_REMEMBERED_CHANGES
            && let Some((_, forgotten)) = self.changes.pop_front()
        {
            self.count -= forgotten.len().max(1);
        }
    }
}

/// The attempt in a record.
fn attempt_of(record: &Record) -> Option<Attempt> {
    let (Fact::Delivery(fact), Stream::Delivery(delivery_id)) = (&record.fact, record.stream)
    else {
        return None;
    };
    fact.attempt().map(|(details, outcome, error, next_attempt_time)| Attempt {
        organization_id: OrganizationId::clone(&record.organization_id),
        delivery_id,
        details: details.clone(),
        outcome,
        error: error.to_owned(),
        next_attempt_time,
    })
}
