//! The coordinates of the log: shards, positions, streams, epochs.
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

/// One of the independent logs. Counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard that all keys live on, whosever they are: a token must be found before it is
    /// known whose it is.
    pub const OF_KEYS: Shard = Shard(0);

    /// The shard that an organization lives on: for ever, since the number of shards is fixed
    /// when the database is created.
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

/// A record's place in its shard's log: 1, 2, 3, … with no gap. 0 is before the first.
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

/// Counts the owners that a shard has had. Whoever appends with an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many records a stream has.
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

/// The history of one thing: `endpoint/…`, `event/…`, `delivery/…`, `key/…`, `replay/…`,
/// `channel/…`, `notification/…` or `operation/…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// An endpoint's.
    Endpoint(EndpointId),
    /// An event's.
    Event(EventId),
    /// A delivery's.
    Delivery(DeliveryId),
    /// A key's.
    Key(KeyId),
    /// A replay's.
    Replay(ReplayId),
    /// A notification channel's.
    Channel(ChannelId),
    /// A notification's.
    Notification(NotificationId),
    /// Of what an operator did once: one record.
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
            // Anything else fails as a delivery's id does.
            Some(("delivery", id)) => id.parse().map(Stream::Delivery),
            _ => text.parse().map(Stream::Delivery),
        }
    }
}

/// A record by its place in its own history. Unlike its position it says nothing of what others
/// have recorded in the same shard, so that clients may be shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Whose history.
    pub stream: Stream,
    /// Its place there, from 1.
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
        // One record has one spelling.
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
    fn a_records_name_is_read_back_from_its_text_and_from_nothing_like_it() {
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
