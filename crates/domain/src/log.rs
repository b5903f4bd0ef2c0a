//! The coordinates of the log: shards, positions, epochs, streams and versions.
//!
//! Decision: docs/decisions/clients-see-names-not-positions.md

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{
    ChannelId, DeliveryId, EndpointId, EventId, InvalidId, KeyId, NotificationId, OperationId,
    OrganizationId, ReplayId,
};

/// The number of one of the independent logs, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of all keys. A token is looked up before its organization is known, so keys cannot be
    /// on the organization's shard.
    pub const OF_KEYS: Shard = Shard(0);

    /// The shard of an organization. It never changes, because the number of shards is fixed when the
    /// database is created.
    pub fn of(organization: &OrganizationId, shard_count: u16) -> Shard {
        let digest = Sha256::digest(organization.as_str().as_bytes());
        let hash = digest.iter().take(8).fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
        // The remainder is smaller than `shard_count`, so it fits.
        Shard((hash % u64::from(shard_count.max(1))) as u16)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A record's position in the log of its shard: 1, 2, 3, … without a gap. 0 is before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// Before the first record.
    pub const START: Position = Position(0);

    /// The position of the record after this one.
    pub const fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of owners that a shard has had. An append with an older epoch is refused, which fences
/// off previous owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of records that a stream has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub i64);

impl Version {
    /// The version after one more record.
    pub const fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// The records of one entity: `endpoint/…`, `event/…`, `delivery/…`, `key/…`, `replay/…`,
/// `channel/…`, `notification/…` or `operation/…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// The stream of an endpoint.
    Endpoint(EndpointId),
    /// The stream of an event.
    Event(EventId),
    /// The stream of a delivery.
    Delivery(DeliveryId),
    /// The stream of a key.
    Key(KeyId),
    /// The stream of a replay.
    Replay(ReplayId),
    /// The stream of a notification channel.
    Channel(ChannelId),
    /// The stream of a notification.
    Notification(NotificationId),
    /// An operator's operation: one record.
    Operation(OperationId),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Endpoint(id) => write!(f, "endpoint/{id}"),
            Stream::Event(id) => write!(f, "event/{id}"),
            Stream::Delivery(id) => write!(f, "delivery/{id}"),
            Stream::Key(id) => write!(f, "key/{id}"),
            Stream::Replay(id) => write!(f, "replay/{id}"),
            Stream::Channel(id) => write!(f, "channel/{id}"),
            Stream::Notification(id) => write!(f, "notification/{id}"),
            Stream::Operation(id) => write!(f, "operation/{id}"),
        }
    }
}

impl FromStr for Stream {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('/') {
            Some(("endpoint", id)) => id.parse().map(Stream::Endpoint),
            Some(("event", id)) => id.parse().map(Stream::Event),
            Some(("key", id)) => id.parse().map(Stream::Key),
            Some(("replay", id)) => id.parse().map(Stream::Replay),
            Some(("channel", id)) => id.parse().map(Stream::Channel),
            Some(("notification", id)) => id.parse().map(Stream::Notification),
            Some(("operation", id)) => id.parse().map(Stream::Operation),
            // Any other text fails with the error of a delivery's id.
            Some(("delivery", id)) => id.parse().map(Stream::Delivery),
            _ => text.parse().map(Stream::Delivery),
        }
    }
}

/// A record's name: its stream and its place in the stream. Unlike a position it does not reveal how
/// much other organizations have recorded in the same shard, so that clients may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// The stream of the record.
    pub stream: Stream,
    /// The record's place in the stream, from 1.
    pub version: Version,
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.version.0)
    }
}

/// A text that names no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a record's name")]
pub struct InvalidRecordName;

impl FromStr for RecordName {
    type Err = InvalidRecordName;

    fn from_str(text: &str) -> Result<Self, InvalidRecordName> {
        let (stream, version) = text.rsplit_once('/').ok_or(InvalidRecordName)?;
        let name = RecordName {
            stream: stream.parse().map_err(|_| InvalidRecordName)?,
            version: Version(version.parse().map_err(|_| InvalidRecordName)?),
        };
        // A record's name has one spelling.
        if name.version.0 > 0 && name.to_string() == text {
            Ok(name)
        } else {
            Err(InvalidRecordName)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_name_is_read_from_its_text_and_from_no_other_spelling() {
        for stream in [
            Stream::Endpoint(EndpointId::MIN),
            Stream::Event(EventId::MAX),
            Stream::Delivery(DeliveryId::MIN),
            Stream::Key(KeyId::MIN),
            Stream::Replay(ReplayId::MAX),
            Stream::Channel(ChannelId::MAX),
            Stream::Notification(NotificationId::MIN),
            Stream::Operation(OperationId::MIN),
        ] {
            let name = RecordName { stream, version: Version(7) };
            assert_eq!(name.to_string().parse(), Ok(name));
            for wrong in ["0", "-1", "+7", "07", "", "x"] {
                assert!(format!("{stream}/{wrong}").parse::<RecordName>().is_err(), "{wrong:?}");
            }
            assert!(stream.to_string().parse::<RecordName>().is_err());
        }
    }

    #[test]
    fn an_organizations_shard_never_changes() {
        // Pinned: another hash would lose every organization's data.
        let shard = |name: &str| Shard::of(&name.parse().expect("valid"), 16);
        assert_eq!(
            [shard("default"), shard("acme"), shard("org-1")],
            [Shard(13), Shard(0), Shard(4)]
        );
        assert_eq!(Shard::of(&"default".parse().expect("valid"), 1), Shard(0));
    }
}
