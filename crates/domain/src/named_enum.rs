//! Enums whose values have names: in columns, documents, labels and messages.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};

/// An enum whose values have names. A name never changes, because tables and documents that were
/// written with it are read for ever.
pub trait NamedEnum: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The value's name.
    fn name(self) -> &'static str;

    /// The value with this name, if there is one.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// Reads a value from its name.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: NamedEnum>(
    source: D,
) -> Result<T, D::Error> {
    let name = Cow::<str>::deserialize(source)?;
    T::from_name(&name)
        .ok_or_else(|| Error::custom(format_args!("{name:?} is not a word of these")))
}

/// Defines a [`NamedEnum`]: each value with its name.
macro_rules! named_enum {
    (
        $(#[$about:meta])*
        pub enum $type:ident {
            $($(#[$about_value:meta])* $value:ident = $name:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$about_value])* $value,)*
        }

        impl $type {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$type] = &[$($type::$value,)*];

            /// The name in tables, documents, labels and messages. It never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$value => $name,)*
                }
            }
        }

        impl $crate::named_enum::NamedEnum for $type {
            const ALL: &'static [$type] = $type::ALL;

            fn name(self) -> &'static str {
                $type::name(self)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
                target.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<$type, D::Error> {
                $crate::named_enum::deserialize(source)
            }
        }
    };
}

pub(crate) use named_enum;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::access::Role;
    use crate::attempt::{AttemptOutcome, Trigger};
    use crate::channel::{ChannelKind, ChannelState};
    use crate::delivery::DeliveryState;
    use crate::endpoint::{EndpointState, StateCause};
    use crate::notification::{NotificationState, NotificationType};
    use crate::payload_format::PayloadKind;
    use crate::replay::{ReplayScope, ReplayState};

    #[test]
    fn every_value_is_read_back_from_its_name_and_from_nothing_else() {
        fn read_back<T: NamedEnum + Serialize + DeserializeOwned + PartialEq + Debug>() {
            for value in T::ALL {
                assert_eq!(T::from_name(value.name()).as_ref(), Some(value), "its name is its own");
                let json = serde_json::to_string(value).expect("serializes");
                assert_eq!(json, format!("{:?}", value.name()));
                assert_eq!(serde_json::from_str::<T>(&json).expect("reads"), *value);
            }
            let error = serde_json::from_str::<T>("\"blue\"").expect_err("not a name");
            assert!(error.to_string().contains("\"blue\""), "{error}");
        }
        read_back::<ChannelKind>();
        read_back::<ChannelState>();
        read_back::<DeliveryState>();
        read_back::<EndpointState>();
        read_back::<NotificationState>();
        read_back::<NotificationType>();
        read_back::<AttemptOutcome>();
        read_back::<PayloadKind>();
        read_back::<ReplayScope>();
        read_back::<ReplayState>();
        read_back::<Role>();
        read_back::<StateCause>();
        read_back::<Trigger>();
    }
}
