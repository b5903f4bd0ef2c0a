//! Events: they happen in Keeptrusts, and internal services publish them.

use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::body::EventData;
use crate::event_type::EventType;
use crate::ids::{EventId, OrganizationId};
use crate::limits::MAX_IDEMPOTENCY_KEY_BYTES;
use crate::log::Position;
use crate::trace::TraceId;
use crate::violation::Violation;

/// The digest of content that is kept outside the log and may have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest {
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// The size of the content, in bytes.
    pub size: u32,
}

impl ContentDigest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> ContentDigest {
        // Content is bounded far below 4 GiB.
        ContentDigest { sha256: Sha256::digest(content).into(), size: content.len() as u32 }
    }
}

/// A key that makes it safe to publish an event again: at most 256 bytes, unique in the organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key, or None if `text` is empty.
    pub fn optional(text: String) -> Result<Option<IdempotencyKey>, Violation> {
        if text.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            return Err(Violation::too_long(
                "idempotency_key",
                format!("is {} bytes; it may be at most {MAX_IDEMPOTENCY_KEY_BYTES}", text.len()),
            ));
        }
        if text.contains('\0') {
            return Err(Violation::invalid_format(
                "idempotency_key",
                "must not contain a NUL character",
            ));
        }
        Ok((!text.is_empty()).then_some(IdempotencyKey(text)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An idempotency key with the request that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: IdempotencyKey,
    /// The [`request_sha256`] of the request, to tell a repetition from another event with the same
    /// key.
    pub request_sha256: [u8; 32],
}

/// The SHA-256 of what makes two requests the same: the type, the text of the data, and the time if
/// one was given. The rendered body would not do, because without a given time it has the clock's.
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
    /// The event's id.
    pub id: EventId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The event's type.
    pub event_type: EventType,
    /// Whether it is a test, of whatever type: sent to one endpoint, and never replayed.
    pub is_test: bool,
    /// When it happened.
    pub event_time: Timestamp,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// The digest of the rendered body.
    pub body: ContentDigest,
    /// The idempotency key, if the publisher gave one.
    pub idempotency: Option<Idempotency>,
    /// Its trace, if it has one.
    pub trace_id: Option<TraceId>,
    /// The actor that published it, as in the log: a key's id, or `oidc:` and a subject.
    pub publisher: String,
    /// The position of its first record in the shard's log.
    pub position: Position,
}
