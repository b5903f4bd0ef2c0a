//! What is appended, and what comes of it.
//!
//! Decision: docs/decisions/lost-answers-are-looked-up.md

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::entity::Entity;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, InvalidId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, RecordName, Stream, Version};

use crate::ids::new_ulid;

/// Records that are appended together or not at all, with the bodies that belong to them.
#[derive(Debug, Clone)]
pub struct Operation {
    /// By which it is found again when a commit's answer was lost.
    pub id: OperationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// At least one; at most one for each stream.
    pub records: Vec<NewRecord>,
    /// Who caused them, and what they belong to.
    pub metadata: Metadata,
    /// Content for the body table.
    pub bodies: Vec<NewBody>,
    /// Refused unless the shard's epoch is this one. The owner's operations have it.
    pub fence: Option<Epoch>,
    /// Moves the shard's checkpoint. Nothing is acted on twice, and nothing is skipped.
    pub checkpoint: Option<CheckpointAdvance>,
}

impl Operation {
    /// Records alone, made now: without bodies, and whoever owns the shard.
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
        }
    }
}

/// The newest time of the shard's steady clock that a batch writes down.
pub(crate) fn newest_steady_time(operations: &[Operation]) -> Option<Timestamp> {
    operations.iter().filter_map(|operation| operation.metadata.steady_time).max()
}

/// A step of the checkpoint: refused unless it begins where the checkpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointAdvance {
    /// Where the checkpoint must stand.
    pub from: Position,
    /// Where it stands then: at the position of the record that was acted on.
    pub to: Position,
}

/// A record to be.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Whose history it belongs to.
    pub stream: Stream,
    /// What must be true of that history.
    pub expected: ExpectedVersion,
    /// What happened.
    pub fact: Fact,
}

impl NewRecord {
    /// The record that follows an entity as it is: refused if another one has followed it since.
    pub fn following<E: Entity>(entity: &E, fact: E::Fact) -> NewRecord {
        let expected = ExpectedVersion::Exactly(entity.version());
        NewRecord { stream: entity.stream(), expected, fact: fact.into() }
    }
}

/// What must be true of a stream for a record to be appended to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// It has no records. Trusted, not looked up: its id has just been made.
    New,
    /// It has exactly this many records. A key's or a notification's may be expected to have none.
    Exactly(Version),
    /// It exists.
    Any,
}

/// Content that is kept outside the log until it expires.
#[derive(Debug, Clone)]
pub struct NewBody {
    /// What it belongs to.
    pub id: BodyId,
    /// The content.
    pub content: Bytes,
    /// When it may be deleted.
    pub expire_time: Timestamp,
}

/// What a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BodyId {
    /// What an event's receivers are sent.
    Event(EventId),
    /// An attempt's exchange.
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
    /// Its place in the shard's log.
    pub position: Position,
    /// Whose history it belongs to.
    pub stream: Stream,
    /// Its place in that history, from 1.
    pub version: Version,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What happened.
    pub fact: Fact,
    /// Who caused it, and what it belongs to.
    pub metadata: Metadata,
    /// When it was appended, by the database's clock.
    pub recorded_at: Timestamp,
    /// The operation that appended it.
    pub operation_id: OperationId,
}

impl Record {
    /// By what it can be told apart without its position.
    pub fn name(&self) -> RecordName {
        RecordName { stream: self.stream, version: self.version }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Its records are in the log.
    Appended {
        /// The first one's position; the others follow it.
        first: Position,
        /// The last one's.
        last: Position,
        /// When.
        recorded_at: Timestamp,
    },
    /// Its idempotency key had been used for the same content: nothing was appended.
    Duplicate {
        /// The event that was accepted then.
        event_id: EventId,
    },
}

/// Why an operation was not appended, though its neighbours may have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A stream has another version. Read again, decide again.
    #[error("{stream} has version {}, not {}", actual.0, expected.0)]
    StaleVersion {
        /// Which stream.
        stream: Stream,
        /// What the operation expected.
        expected: Version,
        /// What it is.
        actual: Version,
    },
    /// A stream does not exist.
    #[error("{0} does not exist")]
    NoSuchStream(Stream),
    /// The idempotency key was used for an event with other content.
    #[error("the idempotency key was used for {event_id}, with other content")]
    IdempotencyKeyReused {
        /// The event that was accepted then.
        event_id: EventId,
    },
    /// The shard has passed to another owner.
    #[error("the lease has passed on: epoch {expected} was expected, {actual} is current")]
    LeaseLost {
        /// The operation's.
        expected: Epoch,
        /// The shard's.
        actual: Epoch,
    },
    /// The checkpoint does not stand where the operation's step begins.
    #[error("the checkpoint stands at {actual}, not at {expected}")]
    OutOfOrder {
        /// Where the step begins.
        expected: Position,
        /// Where the checkpoint stands.
        actual: Position,
    },
}
