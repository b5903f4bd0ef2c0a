//! The outcome of a batch of operations, decided while the shard is locked. Pure, so that every
//! backend decides alike.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md
//! Decision: docs/decisions/a-check-is-decided-in-the-log.md

use std::collections::{HashMap, HashSet};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::event::{Event, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};
use keeptrusts_webhooks_domain::request::{RecordedRequest, RequestUse};

use crate::log::count_limit::{CountLimit, CountOwner};
use crate::log::damage::{LogDamage, judge_numbers};
use crate::log::operation::{
    AppendOutcome, CheckpointAdvance, ExpectedVersion, NewBody, NewRecord, Operation, Record,
    Refusal, Routing,
};
use crate::log::projection::{AffectedRows, Changes, Fold, LoadedRows, RequestOwner};

/// An idempotency key belongs to an organization.
pub type KeyOwner = (OrganizationId, IdempotencyKey);

/// What the transaction must read, once it has locked the shard, before it can plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadSet {
    /// Rows that the records may change.
    pub affected: AffectedRows,
    /// Idempotency keys that the operations use.
    pub keys: Vec<KeyOwner>,
    /// The ids of the operations' requests.
    pub requests: Vec<RequestOwner>,
    /// Streams that must not exist, whoever has them.
    pub unused: Vec<Stream>,
    /// What the operations' limits count.
    pub counts: Vec<CountOwner>,
}

impl ReadSet {
    /// What must be read to plan these operations.
    pub fn of(operations: &[Operation]) -> ReadSet {
        let facts = operations.iter().flat_map(|operation| {
            let organization = &operation.organization_id;
            operation.records.iter().map(move |record| (organization, record.stream, &record.fact))
        });
        let mut keys: Vec<_> = operations
            .iter()
            .filter_map(|operation| {
                let (_, idempotency) = published(operation)?;
                Some((operation.organization_id.clone(), idempotency?.key.clone()))
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut requests: Vec<_> = operations.iter().filter_map(request_owner).collect();
        requests.sort_unstable();
        requests.dedup();
        let records = operations.iter().flat_map(|operation| &operation.records);
        let unused = records.filter(|record| must_be_unused(record)).map(|record| record.stream);
        let unused = unused.collect();
        let mut counts: Vec<_> = operations.iter().flat_map(count_owners).collect();
        counts.sort_unstable();
        counts.dedup();
        ReadSet { affected: AffectedRows::of(facts), keys, requests, unused, counts }
    }
}

/// Whether a record begins a stream whose id a caller may have made. Then it may be the id of something
/// that exists, in this organization or in another one of the shard.
fn must_be_unused(record: &NewRecord) -> bool {
    record.expected == ExpectedVersion::New
        && matches!(record.stream, Stream::Endpoint(_) | Stream::Channel(_))
}

/// What the transaction has read of the shard after it locked it.
#[derive(Debug, Default)]
pub struct LockedShard {
    pub last_position: Position,
    pub checkpoint: Position,
    pub epoch: Epoch,
    /// The rows of the [`ReadSet`] that exist.
    pub loaded: LoadedRows,
    /// The keys of the [`ReadSet`] that are used: by which event, and the SHA-256 of its request.
    pub keys: HashMap<KeyOwner, (EventId, [u8; 32])>,
    /// The recorded requests of the [`ReadSet`], however long ago they were.
    pub requests: Vec<RecordedRequest>,
    /// The streams of [`ReadSet::unused`] that exist.
    pub used: HashSet<Stream>,
    /// How many there are of [`ReadSet::counts`].
    pub counts: HashMap<CountOwner, u64>,
}

/// What the transaction must write.
#[derive(Debug)]
pub struct Plan<'a> {
    /// For each operation, in their order.
    pub results: Vec<Result<AppendOutcome, Refusal>>,
    pub records: Vec<Record>,
    pub bodies: Vec<&'a NewBody>,
    pub changes: Changes,
    /// The shard's new last position.
    pub last_position: Position,
    /// The shard's new checkpoint.
    pub checkpoint: Position,
}

/// Plans a batch. Each operation is decided in the state that those before it leave; a refused one
/// changes nothing.
pub fn plan<'a>(
    operations: &'a [Operation],
    mut locked: LockedShard,
    now: Timestamp,
) -> Result<Plan<'a>, LogDamage> {
    let LockedShard { last_position, checkpoint, epoch, .. } = locked;
    judge_numbers(last_position, checkpoint, epoch)?;
    let mut changes_endpoint = false;
    let mut fold = Fold::new(std::mem::take(&mut locked.loaded));
    fold.load_requests(std::mem::take(&mut locked.requests));
    let mut plan = Plan {
        results: Vec::with_capacity(operations.len()),
        records: Vec::new(),
        bodies: Vec::new(),
        changes: Changes::default(),
        last_position,
        checkpoint,
    };
    for operation in operations {
        let first = plan.last_position.next();
        let versions = match decide(operation, &fold, &locked, now) {
            Ok(Decision::Append(_)) if operation.validate_only => {
                plan.results.push(Ok(AppendOutcome::Valid { first, recorded_at: now }));
                continue;
            }
            Ok(Decision::Append(versions)) => versions,
            Ok(Decision::Duplicate(event_id)) => {
                plan.results.push(Ok(AppendOutcome::Duplicate { event_id }));
                continue;
            }
            Ok(Decision::Repeated(stream)) => {
                plan.results.push(Ok(AppendOutcome::Repeated { stream }));
                continue;
            }
            Err(refusal) => {
                plan.results.push(Err(refusal));
                continue;
            }
        };
        let is_as_decided = |routing: &&Routing| {
            (routing.as_of, routing.epoch) == (last_position, epoch) && !changes_endpoint
        };
        let routing = operation.routing.as_ref().filter(is_as_decided);
        for (new, version) in operation.records.iter().zip(versions) {
            plan.last_position = plan.last_position.next();
            let mut record = record(operation, new, version, plan.last_position, now);
            if let Fact::EventAccepted(accepted) = &mut record.fact {
                accepted.is_routed = routing.is_some();
            }
            fold.apply(&record)?;
            if must_be_unused(new) {
                locked.used.insert(record.stream);
            }
            changes_endpoint |= matches!(record.stream, Stream::Endpoint(_));
            plan.records.push(record);
        }
        if let (Some(routing), Some(accepted)) = (routing, plan.records.last()) {
            plan.last_position = plan.last_position.next();
            let record = routing_record(routing, accepted, plan.last_position);
            fold.apply(&record)?;
            plan.records.push(record);
            locked.checkpoint = locked.checkpoint.max(routing.acted_on);
        }
        if let Some((event_id, Some(idempotency))) = published(operation) {
            let owner = (operation.organization_id.clone(), idempotency.key.clone());
            locked.keys.insert(owner, (event_id, idempotency.request_sha256));
        }
        locked.checkpoint = operation.checkpoint.map_or(locked.checkpoint, |step| step.to);
        plan.bodies.extend(&operation.bodies);
        plan.results.push(Ok(AppendOutcome::Appended {
            first,
            last: plan.last_position,
            recorded_at: now,
        }));
    }
    plan.checkpoint = locked.checkpoint;
    plan.changes = fold.into_changes();
    Ok(plan)
}

enum Decision {
    /// With these versions, one for each record.
    Append(Vec<Version>),
    Duplicate(EventId),
    Repeated(Stream),
}

/// `fold` and `locked` are as the operations before leave them.
fn decide(
    operation: &Operation,
    fold: &Fold,
    locked: &LockedShard,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let LockedShard { epoch, checkpoint, keys, used, .. } = locked;
    let (epoch, checkpoint) = (*epoch, *checkpoint);
    if let Some(expected) = operation.fence.filter(|fence| *fence != epoch) {
        return Err(Refusal::LeaseLost { expected, actual: epoch });
    }
    let is_next = |step: &CheckpointAdvance| step.from <= checkpoint && checkpoint < step.to;
    if let Some(step) = operation.checkpoint.filter(|step| !is_next(step)) {
        return Err(Refusal::OutOfOrder { expected: step.from, actual: checkpoint });
    }
    if let Some((_, Some(idempotency))) = published(operation) {
        let owner = (operation.organization_id.clone(), idempotency.key.clone());
        if let Some((event_id, request_sha256)) = keys.get(&owner).copied() {
            return match request_sha256 == idempotency.request_sha256 {
                true => Ok(Decision::Duplicate(event_id)),
                false => Err(Refusal::IdempotencyKeyReused { event_id }),
            };
        }
    }
    let organization = &operation.organization_id;
    if let Some(request) = &operation.metadata.request {
        debug_assert_eq!(operation.records.len(), 1, "a repetition is answered with one record");
        let recorded = fold.request(&(organization.clone(), request.id.clone()));
        match recorded.map_or(RequestUse::First, |first| first.judge(request.digest, now)) {
            RequestUse::First => {}
            RequestUse::Repeated(stream) => return Ok(Decision::Repeated(stream)),
            RequestUse::Reused => return Err(Refusal::RequestIdReused),
        }
    }
    let mut streams = operation.records.iter().filter(|record| must_be_unused(record));
    if let Some(taken) = streams.find(|record| used.contains(&record.stream)) {
        return Err(Refusal::StreamExists(taken.stream));
    }
    let versions = operation.records.iter().map(|record| next_version(record, organization, fold));
    let versions = versions.collect::<Result<_, _>>()?;
    let is_full = |limit: &&CountLimit| count(organization, limit, fold, locked) >= limit.max;
    match operation.limits.iter().find(is_full) {
        Some(limit) => Err(Refusal::LimitReached(*limit)),
        None => Ok(Decision::Append(versions)),
    }
}

/// How many there are of what a limit counts, after the operations before.
fn count(
    organization: &OrganizationId,
    limit: &CountLimit,
    fold: &Fold,
    locked: &LockedShard,
) -> u64 {
    let owner = (organization.clone(), limit.counted);
    let stored = locked.counts.get(&owner).copied().unwrap_or(0);
    stored.saturating_add_signed(fold.added(&owner))
}

fn next_version(
    record: &NewRecord,
    organization: &OrganizationId,
    fold: &Fold,
) -> Result<Version, Refusal> {
    let stream = record.stream;
    // An entity of another organization does not exist for this one.
    let endpoint = |id| fold.endpoint(id).filter(|row| row.organization_id == *organization);
    let delivery = |id| fold.delivery(id).filter(|row| row.organization_id == *organization);
    let current = match stream {
        _ if record.expected == ExpectedVersion::New => Some(Version(0)),
        Stream::Endpoint(id) => endpoint(id).map(|row| row.version),
        Stream::Delivery(id) => delivery(id).map(|row| row.version),
        // A key may exist or not: an operation that expects version 0 creates it only if it does not.
        Stream::Key(id) => {
            let existing = fold.key(id);
            let is_ours = existing.is_none_or(|key| key.organizations.is_of(organization));
            is_ours.then(|| existing.map_or(Version(0), |key| key.version))
        }
        Stream::Replay(id) => fold
            .replay(id)
            .filter(|row| row.organization_id == *organization)
            .map(|row| row.version),
        Stream::Channel(id) => {
            let ours = |row: &&Channel| row.organization_id == *organization;
            fold.channel(id).filter(ours).map(|row| row.version)
        }
        // Like a key: a notification whose id is computed is raised only if it does not exist.
        Stream::Notification(id) => {
            let existing = fold.notification(id);
            let is_ours = existing.is_none_or(|row| row.organization_id == *organization);
            is_ours.then(|| existing.map_or(Version(0), |row| row.version))
        }
        // An event's stream has two records. The checkpoint lets the second one in only once.
        Stream::Event(_) => Some(Version(1)),
        // It has one record, which is new.
        Stream::Operation(_) => None,
    };
    let actual = current.ok_or(Refusal::NoSuchStream(stream))?;
    match record.expected {
        ExpectedVersion::Exactly(expected) if expected != actual => {
            Err(Refusal::StaleVersion { stream, expected, actual })
        }
        _ => Ok(actual.next()),
    }
}

fn count_owners(operation: &Operation) -> impl Iterator<Item = CountOwner> {
    let organization = &operation.organization_id;
    operation.limits.iter().map(|limit| (organization.clone(), limit.counted))
}

fn request_owner(operation: &Operation) -> Option<RequestOwner> {
    let request = operation.metadata.request.as_ref()?;
    Some((operation.organization_id.clone(), request.id.clone()))
}

fn published(operation: &Operation) -> Option<(EventId, Option<&Idempotency>)> {
    operation.records.iter().find_map(|record| match (record.stream, &record.fact) {
        (Stream::Event(id), Fact::EventAccepted(accepted)) => {
            Some((id, accepted.idempotency.as_ref()))
        }
        _ => None,
    })
}

fn record(
    operation: &Operation,
    new: &NewRecord,
    version: Version,
    position: Position,
    now: Timestamp,
) -> Record {
    Record {
        position,
        stream: new.stream,
        version,
        organization_id: operation.organization_id.clone(),
        fact: new.fact.clone(),
        metadata: operation.metadata.clone(),
        recorded_at: now,
        operation_id: operation.id,
    }
}

/// The record that routes an event, which was accepted by the record before.
fn routing_record(routing: &Routing, accepted: &Record, position: Position) -> Record {
    let metadata = Metadata { causation: Some(accepted.position), ..routing.metadata.clone() };
    Record {
        position,
        version: accepted.version.next(),
        fact: Fact::DeliveriesScheduled(routing.scheduled.clone()),
        metadata,
        ..accepted.clone()
    }
}

/// The idempotency keys that these events use, as [`LockedShard::keys`] has them.
pub(crate) fn keys_used_by(events: Vec<Event>) -> HashMap<KeyOwner, (EventId, [u8; 32])> {
    let used = events.into_iter().filter_map(|event| {
        let Idempotency { key, request_sha256 } = event.idempotency?;
        Some(((event.organization_id, key), (event.id, request_sha256)))
    });
    used.collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
