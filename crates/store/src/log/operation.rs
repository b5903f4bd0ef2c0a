//! Operations: what callers append to the log, and the outcomes.
//!
//! Decision: docs/decisions/lost-answers-are-looked-up.md

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::entity::Entity;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::fact::{DeliveriesScheduled, Fact};
use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, InvalidId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, RecordName, Stream, Version};

use crate::ids::new_ulid;
use crate::log::count_limit::CountLimit;

/// Records that are appended together or not at all, with the bodies that belong to them.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Finds the operation again when the answer of its commit was lost.
    pub id: OperationId,
    pub organization_id: OrganizationId,
    /// At least one; at most one for each stream.
    pub records: Vec<NewRecord>,
    /// Who caused the records, and what they belong to. With a request there is one record, which a
    /// repetition of the request is answered with.
    pub metadata: Metadata,
    /// Content for the table of bodies.
    pub bodies: Vec<NewBody>,
    /// The operation is refused unless the shard's epoch is this one. Operations of the shard's owner
    /// have a fence.
    pub fence: Option<Epoch>,
    /// Moves the shard's checkpoint, so that no record is acted on twice and none is skipped.
    pub checkpoint: Option<CheckpointAdvance>,
    /// The operation is refused unless each of them leaves room for one more.
    pub limits: Vec<CountLimit>,
    /// The operation is only decided: whatever the outcome, nothing of it is written.
    pub validate_only: bool,
    /// Where the event goes that the operation accepts, if that is known beforehand.
    pub routing: Option<Routing>,
}

/// Where an event goes, decided before it is accepted. Unless the batch finds the shard as it was
/// decided for, the event is accepted without it, and routed later.
///
/// Decision: docs/decisions/routing-moves-a-checkpoint.md
#[derive(Debug, Clone)]
pub struct Routing {
    /// The shard's last position before the batch. The batch must change no endpoint before the
    /// event.
    pub as_of: Position,
    /// Of the shard's owner, who has decided it.
    pub epoch: Epoch,
    pub scheduled: DeliveriesScheduled,
    /// Of the record of the routing. The cause is added.
    pub metadata: Metadata,
    /// Everything up to here has been acted on: the shard's checkpoint moves here.
    pub acted_on: Position,
}

impl Operation {
    /// Records without bodies, with a new id, and without a fence.
    pub fn recording(
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        metadata: Metadata,
        now: Timestamp,
    ) -> Operation {
        Operation {
            id: OperationId::new(new_ulid(now)),
            organization_id: organization.clone(),
            records,
            metadata,
            bodies: Vec::new(),
            fence: None,
            checkpoint: None,
            limits: Vec::new(),
            validate_only: false,
            routing: None,
        }
    }
}

/// The newest time of the shard's steady clock among the operations of a batch.
pub(crate) fn newest_steady_time(operations: &[Operation]) -> Option<Timestamp> {
    let times = operations.iter().flat_map(|operation| {
        let routing = operation.routing.as_ref().map(|routing| &routing.metadata);
        [operation.metadata.steady_time, routing.and_then(|metadata| metadata.steady_time)]
    });
    times.flatten().max()
}

/// Moves the checkpoint: refused if it is before `from`, or at `to` already or behind it. (Routing at
/// acceptance may move it in between.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointAdvance {
    pub from: Position,
    /// The position of the record that was acted on.
    pub to: Position,
}

/// A record to append.
#[derive(Debug, Clone)]
pub struct NewRecord {
    pub stream: Stream,
    pub expected: ExpectedVersion,
    pub fact: Fact,
}

impl NewRecord {
    /// A record for an entity in the state that the caller knows: refused if the entity has changed
    /// since.
    pub fn following<E: Entity>(entity: &E, fact: E::Fact) -> NewRecord {
        let expected = ExpectedVersion::Exactly(entity.version());
        NewRecord { stream: entity.stream(), expected, fact: fact.into() }
    }
}

/// The version that a stream must have for a record to be appended to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// It has no records. This is checked for endpoints and channels only, whose ids may be made by
    /// clients, and whoever has the stream; any other id was just made by the server.
    New,
    /// It has exactly this many records. 0 is for keys and notifications only, whose ids may be
    /// computed.
    Exactly(Version),
    /// It exists.
    Any,
}

/// Content that is kept outside the log until it expires.
#[derive(Debug, Clone)]
pub struct NewBody {
    pub id: BodyId,
    pub content: Bytes,
    /// From when on it may be deleted.
    pub expire_time: Timestamp,
}

/// What a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BodyId {
    /// What the receivers of an event are sent.
    Event(EventId),
    /// The request and the response of an attempt.
    Attempt(AttemptId),
}

impl fmt::Display for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyId::Event(id) => id.fmt(f),
            BodyId::Attempt(id) => id.fmt(f),
        }
    }
}

impl FromStr for BodyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.starts_with(EventId::PREFIX) {
            true => text.parse().map(BodyId::Event),
            false => text.parse().map(BodyId::Attempt),
        }
    }
}

/// One entry of the log: a fact, never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub position: Position,
    pub stream: Stream,
    /// Its number in the stream, from 1.
    pub version: Version,
    pub organization_id: OrganizationId,
    pub fact: Fact,
    /// Who caused it, and what it belongs to.
    pub metadata: Metadata,
    /// When it was appended, by the database's clock.
    pub recorded_at: Timestamp,
    /// The operation that appended it.
    pub operation_id: OperationId,
}

impl Record {
    /// Identifies it without its position.
    pub fn name(&self) -> RecordName {
        RecordName { stream: self.stream, version: self.version }
    }

    /// The event that the record says was accepted. None: it says something else.
    pub fn accepted_event(&self) -> Option<Event> {
        let (Fact::EventAccepted(accepted), Stream::Event(id)) = (&self.fact, self.stream) else {
            return None;
        };
        Some(Event {
            id,
            organization_id: self.organization_id.clone(),
            event_type: accepted.event_type,
            is_test: false,
            event_time: accepted.event_time,
            create_time: self.recorded_at,
            body: accepted.body,
            idempotency: accepted.idempotency.clone(),
            trace_id: self.metadata.trace.as_ref().map(|trace| trace.trace_id),
            publisher: self.metadata.actor.clone(),
            position: self.position,
        })
    }
}

/// The outcome of an operation that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Its records are in the log.
    Appended {
        /// The position of the first record; the others follow it.
        first: Position,
        last: Position,
        recorded_at: Timestamp,
    },
    /// It was only to be decided: it would have been appended, here and now.
    Valid {
        /// The position that the first record would have.
        first: Position,
        recorded_at: Timestamp,
    },
    /// Its idempotency key had been used for the same content: nothing was appended.
    Duplicate {
        /// The event that was accepted with the key.
        event_id: EventId,
    },
    /// It is of a request that was recorded before: nothing was appended.
    Repeated {
        /// What the first request's record is about.
        stream: Stream,
    },
}

/// Why an operation was not appended. Other operations of its batch may have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A stream has another version. Read it again and decide again.
    #[error("{stream} has version {}, not {}", actual.0, expected.0)]
    StaleVersion { stream: Stream, expected: Version, actual: Version },
    /// A stream does not exist.
    #[error("{0} does not exist")]
    NoSuchStream(Stream),
    /// A new stream exists already, in this organization or in another one of the shard.
    #[error("{0} exists")]
    StreamExists(Stream),
    /// The idempotency key was used for an event with other content.
    #[error("the idempotency key was used for {event_id}, with other content")]
    IdempotencyKeyReused {
        /// The event that was accepted with the key.
        event_id: EventId,
    },
    /// The request's id was used for another request.
    #[error("the request's id was used for another request")]
    RequestIdReused,
    /// As many as a limit allows exist already.
    #[error("there may not be more than {} of {:?}", .0.max, .0.counted)]
    LimitReached(CountLimit),
    /// The shard has passed to another owner.
    #[error("the lease has passed on: epoch {expected} was expected, {actual} is current")]
    LeaseLost {
        /// The operation's fence.
        expected: Epoch,
        /// The shard's epoch.
        actual: Epoch,
    },
    /// The checkpoint is not where the operation moves it from.
    #[error("the checkpoint stands at {actual}, not at {expected}")]
    OutOfOrder { expected: Position, actual: Position },
}
