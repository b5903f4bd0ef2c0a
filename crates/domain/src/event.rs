//! Events: something that happened in Keeptrusts, published by an internal service.

use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::body::EventData;
use crate::event_type::EventType;
use crate::ids::{EventId, OrganizationId};
use crate::limits::MAX_IDEMPOTENCY_KEY_BYTES;
use crate::log::Position;
use crate::trace::TraceId;
use crate::violation::Violation;

/// Content that is kept outside the log and may have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its size in bytes.
    pub size: u32,
}

impl ContentDigest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> ContentDigest {
        // Content is bounded far below 4 GiB.
        ContentDigest { sha256: Sha256::digest(content).into(), size: content.len() as u32 }
    }
}

/// Makes it safe to publish again: at most 256 bytes, unique in the organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key, or None if `text` is empty.
    pub fn optional(text: String) -> Result<Option<IdempotencyKey>, Violation> {
        if text.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            return Err(Violation::new(
                "idempotency_key",
                format!("is {} bytes; it may be at most {MAX_IDEMPOTENCY_KEY_BYTES}", text.len()),
            ));
        }
        if text.contains('\0') {
            return Err(Violation::new("idempotency_key", "must not contain a NUL character"));
        }
        Ok((!text.is_empty()).then_some(IdempotencyKey(text)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An idempotency key with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: IdempotencyKey,
    /// SHA-256 of what the publisher sent, to tell a repetition from a clash.
    pub request_sha256: [u8; 32],
}

/// The SHA-256 of what makes two publishings the same: the type, the data's text, and the time
/// if one was given. (The rendered body would not do: without a given time it has the clock's.)
pub fn request_sha256(
    event_type: EventType,
    event_time: Option<Timestamp>,
    data: &EventData,
) -> [u8; 32] {
    let time = event_time.map(|time| time.to_string()).unwrap_or_default();
    Sha256::new()
        .chain_update(event_type.name())
        .chain_update([0])
        .chain_update(time)
        .chain_update([0])
        .chain_update(data.as_str())
        .finalize()
        .into()
}

/// An event as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What kind.
    pub event_type: EventType,
    /// When it happened.
    pub event_time: Timestamp,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// The rendered body.
    pub body: ContentDigest,
    /// How a repetition is known, if the publisher wants that.
    pub idempotency: Option<Idempotency>,
    /// Its trace, if it has one.
    pub trace_id: Option<TraceId>,
    /// Who published it, as the log calls its actors.
    pub publisher: String,
    /// Where in its shard's log it was accepted.
    pub position: Position,
}
