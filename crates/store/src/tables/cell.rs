//! The value of one column of one row, as both databases take it.
//!
//! Decision: docs/decisions/times-are-microseconds.md

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OrganizationId,
    ReplayId,
};
use keeptrusts_webhooks_domain::log::{Position, Version};

/// The value of a column. Cells of one column are ordered as the databases order its values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell<'row> {
    Null,
    Text(Cow<'row, str>),
    Integer(i64),
    Boolean(bool),
    Bytes(Cow<'row, [u8]>),
}

/// A time as a column holds it: microseconds since 1970-01-01 UTC.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A duration as a column holds it: microseconds.
pub(crate) fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Cell<'_> {
    pub(crate) fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Integer(number) => Cell::Integer(number),
            Cell::Boolean(flag) => Cell::Boolean(flag),
            Cell::Bytes(bytes) => Cell::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Cell::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_boolean(&self) -> Option<bool> {
        match self {
            Cell::Boolean(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Cell::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text that a value displays as.
    pub(crate) fn shown(value: impl Display) -> Cell<'static> {
        Cell::Text(Cow::Owned(value.to_string()))
    }
}

macro_rules! cell_from {
    ($($type:ty => |$value:ident| $cell:expr;)*) => {$(
        impl<'row> From<$type> for Cell<'row> {
            fn from($value: $type) -> Cell<'row> {
                $cell
            }
        }
    )*};
}

cell_from! {
    &'row str => |text| Cell::Text(Cow::Borrowed(text));
    &'row [u8] => |bytes| Cell::Bytes(Cow::Borrowed(bytes));
    &'row [u8; 32] => |bytes| Cell::Bytes(Cow::Borrowed(bytes));
    &'row [u8; 12] => |bytes| Cell::Bytes(Cow::Borrowed(bytes));
    &'row Vec<u8> => |bytes| Cell::Bytes(Cow::Borrowed(bytes));
    Vec<u8> => |bytes| Cell::Bytes(Cow::Owned(bytes));
    i64 => |number| Cell::Integer(number);
    u32 => |number| Cell::Integer(number.into());
    u16 => |number| Cell::Integer(number.into());
    bool => |flag| Cell::Boolean(flag);
    Version => |version| Cell::Integer(version.0);
    Position => |position| Cell::Integer(position.0);
    Timestamp => |time| Cell::Integer(micros(time));
    &OrganizationId => |id| Cell::shown(id);
    AttemptId => |id| Cell::shown(id);
    ChannelId => |id| Cell::shown(id);
    DeliveryId => |id| Cell::shown(id);
    EndpointId => |id| Cell::shown(id);
    EventId => |id| Cell::shown(id);
    KeyId => |id| Cell::shown(id);
    NotificationId => |id| Cell::shown(id);
    ReplayId => |id| Cell::shown(id);
    Duration => |duration| Cell::Integer(duration_micros(duration));
}

// No table counts beyond 63 bits.
impl From<u64> for Cell<'_> {
    fn from(number: u64) -> Self {
        Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'row, Value: Into<Cell<'row>>> From<Option<Value>> for Cell<'row> {
    fn from(value: Option<Value>) -> Cell<'row> {
        value.map_or(Cell::Null, Into::into)
    }
}
