//! Identifiers. Each kind has a type of its own, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::Timestamp;
use crate::document::as_text;
use crate::limits::MAX_ORGANIZATION_ID_CHARS;
use crate::violation::Violation;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not {expected}")]
pub struct InvalidId {
    expected: &'static str,
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// The prefix of every id of this kind.
            pub const PREFIX: &'static str = $prefix;
            /// The smallest id, below every real one.
            pub const MIN: $name = $name(Ulid(0));
            /// The largest id, above every real one.
            pub const MAX: $name = $name(Ulid(u128::MAX));

            /// An id with this ULID. Ids sort by the time in their ULIDs.
            pub const fn new(ulid: Ulid) -> Self {
                $name(ulid)
            }

            /// The id's ULID.
            pub const fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0; ulid::ULID_LEN];
                f.write_str($prefix)?;
                f.write_str(self.0.array_to_str(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId { expected: $expected };
                let ulid = text.strip_prefix($prefix).ok_or(invalid.clone())?;
                let parsed = Ulid::from_string(ulid).map_err(|_| invalid.clone())?;
                let id = $name(parsed);
                // One id has one spelling: lower case and overflowing ULIDs are not accepted.
                if id.to_string() == text { Ok(id) } else { Err(invalid) }
            }
        }

        as_text!($name);
    };
}

/// For ids that callers may make, because declarative tools name what they create.
///
/// Decision: docs/decisions/ids-may-be-the-callers.md
macro_rules! made_by_callers {
    ($name:ident, $example:literal) => {
        impl $name {
            /// Checks an id that a caller has made for something new. The least and the greatest
            /// one are not given to anything: walks over ids begin and end there.
            pub fn made_by_caller(field: &str, text: &str) -> Result<$name, Violation> {
                let how = concat!(
                    "write `", $example, "` with a new ULID (26 characters in upper case, which libraries for ULIDs make), or create it without an id, and the server makes one"
                );
                match text.parse::<$name>() {
                    Err(invalid) => Err(Violation::invalid_format(field, format!("{invalid}: {how}"))),
                    Ok($name::MIN | $name::MAX) => {
                        let description = format!("must not be the least or the greatest ULID: {how}");
                        Err(Violation::not_allowed(field, description))
                    }
                    Ok(id) => Ok(id),
                }
            }
        }
    };
}

ulid_id!(
    /// An endpoint's id.
    EndpointId, "ep_", "an endpoint id (`ep_` and 26 characters)"
);
made_by_callers!(EndpointId, "ep_01K7ZK5W1T9Q4N3V8R2M6X0YBC");
ulid_id!(
    /// An event's id.
    EventId, "evt_", "an event id (`evt_` and 26 characters)"
);
ulid_id!(
    /// A delivery's id.
    DeliveryId, "dlv_", "a delivery id (`dlv_` and 26 characters)"
);
ulid_id!(
    /// An attempt's id.
    AttemptId, "att_", "an attempt id (`att_` and 26 characters)"
);
ulid_id!(
    /// An API key's or a session's id.
    KeyId, "key_", "a key id (`key_` and 26 characters)"
);
ulid_id!(
    /// A replay's id.
    ReplayId, "rpl_", "a replay id (`rpl_` and 26 characters)"
);
ulid_id!(
    /// A notification channel's id.
    ChannelId, "chn_", "a channel id (`chn_` and 26 characters)"
);
made_by_callers!(ChannelId, "chn_01K7ZK5W1T9Q4N3V8R2M6X0YBC");
ulid_id!(
    /// A notification's id.
    NotificationId, "ntf_", "a notification id (`ntf_` and 26 characters)"
);
ulid_id!(
    /// The id of one append operation. If its result was lost, it is looked up by this id.
    OperationId, "op_", "an operation id (`op_` and 26 characters)"
);

impl NotificationId {
    /// The id of a channel's summary of the week that ended at `week_end`. It is computed, so that
    /// every process makes the same one.
    pub fn of_week(channel: ChannelId, week_end: Timestamp) -> NotificationId {
        let milliseconds = u64::try_from(week_end.as_millisecond()).unwrap_or(0);
        let digest = Sha256::digest(format!("weekly summary/{channel}/{milliseconds}"));
        let random = digest.iter().take(10).fold(0u128, |hash, byte| hash << 8 | u128::from(*byte));
        NotificationId(Ulid::from_parts(milliseconds, random))
    }
}

/// The id of the tenant that owns data: 1 to 64 characters of a-z, 0-9, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationId(std::sync::Arc<str>);

impl OrganizationId {
    const ALL: &'static str = "*";

    /// The id that stands for every organization: `*`, which no organization can have.
    pub fn all() -> OrganizationId {
        OrganizationId(Self::ALL.into())
    }

    /// Whether the id stands for every organization.
    pub fn is_all(&self) -> bool {
        &*self.0 == Self::ALL
    }

    /// Parses an organization's id, or `*` for all of them.
    pub fn or_all(text: &str) -> Result<OrganizationId, Violation> {
        if text == Self::ALL { Ok(Self::all()) } else { text.parse() }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OrganizationId {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if text.is_empty() {
            return Err(Violation::required("organization_id", "is required: say whose it is"));
        }
        if text.len() > MAX_ORGANIZATION_ID_CHARS || !text.bytes().all(allowed) {
            return Err(Violation::invalid_format(
                "organization_id",
                format!("must be 1 to {MAX_ORGANIZATION_ID_CHARS} characters of a-z, 0-9, - and _"),
            ));
        }
        Ok(OrganizationId(text.into()))
    }
}

as_text!(OrganizationId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = EndpointId::new(Ulid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        assert_eq!(id.to_string().parse::<EndpointId>(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_or_spelling_is_not_accepted() {
        let id = EndpointId::new(Ulid(42)).to_string();
        assert!(id.parse::<EventId>().is_err());
        assert!(id.to_lowercase().parse::<EndpointId>().is_err());
        for wrong in ["", "ep_", "ep_123", "evt_ep_", "ep_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert!(wrong.parse::<EndpointId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_callers_id_is_one_that_walks_over_ids_find() {
        for right in ["ep_01K7ZK5W1T9Q4N3V8R2M6X0YBC", "ep_00000000000000000000000001"] {
            let made = EndpointId::made_by_caller("endpoint_id", right).expect("an id");
            assert_eq!(made.to_string(), right);
            assert!(EndpointId::MIN < made && made < EndpointId::MAX);
        }
        for least_or_greatest in [EndpointId::MIN, EndpointId::MAX] {
            let text = least_or_greatest.to_string();
            let wrong = EndpointId::made_by_caller("endpoint_id", &text).expect_err("refused");
            assert!(wrong.description.contains("the least or the greatest"), "{wrong}");
        }
        let lower_case = "chn_01k7zk5w1t9q4n3v8r2m6x0ybc";
        for wrong in
            ["siem", "01K7ZK5W1T9Q4N3V8R2M6X0YBC", lower_case, "ep_01K7ZK5W1T9Q4N3V8R2M6X0YBC"]
        {
            let wrong = ChannelId::made_by_caller("channel_id", wrong).expect_err("refused");
            assert_eq!(wrong.field, "channel_id");
            assert!(wrong.description.starts_with("is not a channel id (`chn_` and"), "{wrong}");
            assert!(wrong.description.contains("write `chn_01K7"), "{wrong}");
        }
    }

    #[test]
    fn a_weeks_summary_has_one_id_for_each_channel() {
        let (monday, next) = ("2026-04-20T00:00:00Z", "2026-04-27T00:00:00Z");
        let of = |channel: ChannelId, end: &str| {
            NotificationId::of_week(channel, end.parse().expect("a timestamp"))
        };
        assert_eq!(of(ChannelId::MIN, monday), of(ChannelId::MIN, monday));
        assert_ne!(of(ChannelId::MIN, monday), of(ChannelId::MAX, monday));
        assert!(of(ChannelId::MIN, monday) < of(ChannelId::MIN, next));
        // Pinned: with another id, the summary of a week would be sent once more.
        let pinned = of(ChannelId::MIN, monday).to_string();
        assert_eq!(pinned, "ntf_01KPM2ZN00KW6TGMQS98G8W0CV");
    }

    #[test]
    fn organization_ids_are_short_and_plain() {
        for right in ["default", "a", "acme-eu_1", &"x".repeat(64)] {
            assert!(right.parse::<OrganizationId>().is_ok(), "{right:?}");
        }
        for wrong in ["", "Acme", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(wrong.parse::<OrganizationId>().is_err(), "{wrong:?}");
        }
    }
}
