//! Entities as documents: tables hold configuration and small state as one JSON text each, which
//! people can read too.
//!
//! Decision: docs/decisions/small-state-is-documents.md

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde::{Serialize, Serializer};

use crate::Timestamp;

/// An entity that tables hold as a document.
///
/// Unknown fields are refused ([`serde(deny_unknown_fields)`]), because to drop them would lose what
/// a newer version of this program has written. So a new field, or a new meaning of a field, is a new
/// version. Documents of earlier versions stay readable, so a new field has a `serde(default)`.
///
/// [`serde(deny_unknown_fields)`]: https://serde.rs/container-attrs.html#deny_unknown_fields
pub trait Document: Serialize + DeserializeOwned + PartialEq + fmt::Debug {
    /// The version of the documents that are written. Documents of newer versions are not read.
    const VERSION: u16;

    /// The fields, wherever in the document, whose values are not for people: ciphertext, and
    /// digests of tokens.
    const HIDDEN_FIELDS: &'static [&'static str];
}

/// Implements serde for a type that Display writes as text and FromStr reads.
macro_rules! as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
                target.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<$type, D::Error> {
                $crate::document::parse(source)
            }
        }
    };
}

pub(crate) use as_text;

/// Reads a value from its text.
pub(crate) fn parse<'de, D: Deserializer<'de>, T>(source: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
{
    let text = Cow::<str>::deserialize(source)?;
    text.parse().map_err(|error| Error::custom(format_args!("{text:?} {error}")))
}

/// A time or a duration, which can be cut to the microsecond.
pub(crate) trait Microseconds: Serialize {
    /// The value cut to the microsecond.
    fn in_micros(&self) -> Self;
}

impl Microseconds for Timestamp {
    fn in_micros(&self) -> Timestamp {
        Timestamp::from_microsecond(self.as_microsecond()).unwrap_or(*self)
    }
}

impl Microseconds for Duration {
    fn in_micros(&self) -> Duration {
        Duration::new(self.as_secs(), self.subsec_micros() * 1_000)
    }
}

impl<T: Microseconds> Microseconds for Option<T> {
    fn in_micros(&self) -> Option<T> {
        self.as_ref().map(T::in_micros)
    }
}

/// Writes a time or a duration cut to the microsecond, as the log does. So the document that an
/// append writes equals the one that is folded from the log again.
pub(crate) fn micros<T: Microseconds, S: Serializer>(
    value: &T,
    target: S,
) -> Result<S::Ok, S::Error> {
    value.in_micros().serialize(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Waits {
        #[serde(serialize_with = "micros")]
        until: Option<Timestamp>,
        #[serde(serialize_with = "micros")]
        since: Timestamp,
        #[serde(serialize_with = "micros")]
        so_long: Duration,
    }

    #[test]
    fn times_are_written_to_the_microsecond_as_the_log_has_them() {
        let time = |text: &str| -> Timestamp { text.parse().expect("a timestamp") };
        let waits = Waits {
            until: Some(time("2026-04-23T10:30:00.123456789Z")),
            since: time("1970-01-01T00:00:00.000001999Z"),
            so_long: Duration::new(3, 1_999),
        };
        let json = serde_json::to_string(&waits).expect("serializes");
        assert_eq!(
            json,
            r#"{"until":"2026-04-23T10:30:00.123456Z","since":"1970-01-01T00:00:00.000001Z","so_long":{"secs":3,"nanos":1000}}"#
        );
    }
}
