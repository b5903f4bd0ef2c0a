//! What becomes of a batch of operations, decided while the shard is locked. Pure, so that
//! every backend decides alike.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md

use std::collections::HashMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::event::{Event, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};

use crate::error::BrokenLog;
use crate::log::operation::{
    AppendOutcome, ExpectedVersion, NewBody, NewRecord, Operation, Record, Refusal,
};
use crate::log::projection::{Changes, Fold, Loaded, Touched};

/// Whose key.
pub type KeyOwner = (OrganizationId, IdempotencyKey);

/// What the transaction must read, once it has locked the shard, before it can plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Rows that the records may change.
    pub touched: Touched,
    /// Idempotency keys that the operations use.
    pub keys: Vec<KeyOwner>,
}

impl Wanted {
    /// What planning these operations takes.
    pub fn by(operations: &[Operation]) -> Wanted {
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
        Wanted { touched: Touched::by(facts), keys }
    }
}

/// The shard as the transaction found it when it had locked it.
#[derive(Debug, Default)]
pub struct Locked {
    /// The last record's position.
    pub last_position: Position,
    /// What the owner has acted on.
    pub checkpoint: Position,
    /// The current owner's epoch.
    pub epoch: Epoch,
    /// The rows that were wanted and exist.
    pub loaded: Loaded,
    /// The keys that were wanted and are used: by which event, with what content.
    pub keys: HashMap<KeyOwner, (EventId, [u8; 32])>,
}

/// What the transaction must write.
#[derive(Debug)]
pub struct Plan<'a> {
    /// One for each operation, in their order.
    pub results: Vec<Result<AppendOutcome, Refusal>>,
    /// To append.
    pub records: Vec<Record>,
    /// To insert.
    pub bodies: Vec<&'a NewBody>,
    /// To insert, replace and add.
    pub changes: Changes,
    /// The shard's, afterwards.
    pub last_position: Position,
    /// The shard's, afterwards.
    pub checkpoint: Position,
}

/// Plans a batch. Each operation is judged after those before it; a refused one leaves nothing.
pub fn plan<'a>(
    operations: &'a [Operation],
    locked: Locked,
    now: Timestamp,
) -> Result<Plan<'a>, BrokenLog> {
    let Locked { last_position, checkpoint, epoch, loaded, mut keys } = locked;
    let mut fold = Fold::new(loaded);
    let mut plan = Plan {
        results: Vec::with_capacity(operations.len()),
        records: Vec::new(),
        bodies: Vec::new(),
        changes: Changes::default(),
        last_position,
        checkpoint,
    };
    for operation in operations {
        let judged = judge(operation, &fold, &keys, epoch, plan.checkpoint);
        let versions = match judged {
            Ok(Judgement::Append(versions)) => versions,
            Ok(Judgement::Duplicate(event_id)) => {
                plan.results.push(Ok(AppendOutcome::Duplicate { event_id }));
                continue;
            }
            Err(refusal) => {
                plan.results.push(Err(refusal));
                continue;
            }
        };
        let first = plan.last_position.next();
        for (new, version) in operation.records.iter().zip(versions) {
            plan.last_position = plan.last_position.next();
            let record = record(operation, new, version, plan.last_position, now);
            fold.apply(&record)?;
            plan.records.push(record);
        }
        if let Some((event_id, Some(idempotency))) = published(operation) {
            let owner = (operation.organization_id.clone(), idempotency.key.clone());
            keys.insert(owner, (event_id, idempotency.request_sha256));
        }
        plan.checkpoint = operation.checkpoint.map_or(plan.checkpoint, |step| step.to);
        plan.bodies.extend(&operation.bodies);
        plan.results.push(Ok(AppendOutcome::Appended {
            first,
            last: plan.last_position,
            recorded_at: now,
        }));
    }
    plan.changes = fold.into_changes();
    Ok(plan)
}

enum Judgement {
    /// With these versions, one for each record.
    Append(Vec<Version>),
    Duplicate(EventId),
}

fn judge(
    operation: &Operation,
    fold: &Fold,
    keys: &HashMap<KeyOwner, (EventId, [u8; 32])>,
    epoch: Epoch,
    checkpoint: Position,
) -> Result<Judgement, Refusal> {
    if let Some(expected) = operation.fence.filter(|fence| *fence != epoch) {
        return Err(Refusal::LeaseLost { expected, actual: epoch });
    }
    if let Some(step) = operation.checkpoint.filter(|step| step.from != checkpoint) {
        return Err(Refusal::OutOfOrder { expected: step.from, actual: checkpoint });
    }
    if let Some((_, Some(idempotency))) = published(operation) {
        let owner = (operation.organization_id.clone(), idempotency.key.clone());
        if let Some((event_id, request_sha256)) = keys.get(&owner).copied() {
            return match request_sha256 == idempotency.request_sha256 {
                true => Ok(Judgement::Duplicate(event_id)),
                false => Err(Refusal::IdempotencyKeyReused { event_id }),
            };
        }
    }
    let organization = &operation.organization_id;
    let versions = operation.records.iter().map(|record| next_version(record, organization, fold));
    versions.collect::<Result<_, _>>().map(Judgement::Append)
}

fn next_version(
    record: &NewRecord,
    organization: &OrganizationId,
    fold: &Fold,
) -> Result<Version, Refusal> {
    let stream = record.stream;
    // What is another organization's does not exist for this one.
    let endpoint = |id| fold.endpoint(id).filter(|row| row.organization_id == *organization);
    let delivery = |id| fold.delivery(id).filter(|row| row.organization_id == *organization);
    let current = match stream {
        _ if record.expected == ExpectedVersion::New => Some(Version(0)),
        Stream::Endpoint(id) => endpoint(id).map(|row| row.version),
        Stream::Delivery(id) => delivery(id).map(|row| row.version),
        // A key may be there or not: whoever expects version 0 makes it only if it is not.
        Stream::Key(id) => {
            let existing = fold.key(id);
            let is_ours = existing.is_none_or(|key| key.reach.is_of(organization));
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
        // The same as a key: one whose id is computed is raised only if it is not there.
        Stream::Notification(id) => {
            let existing = fold.notification(id);
            let is_ours = existing.is_none_or(|row| row.organization_id == *organization);
            is_ours.then(|| existing.map_or(Version(0), |row| row.version))
        }
        // An event's stream has two records: the step of the checkpoint lets the second in once.
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

/// Which idempotency keys these events use, and with what content.
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
