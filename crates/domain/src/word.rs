//! Values that stand for themselves as a word: in columns, in documents, in labels.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};

/// An enum each of whose values has a word. The words never change: what has been written with them
/// is read again.
pub trait Word: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The value's word.
    fn name(self) -> &'static str;

    /// The value that a word stands for, if it stands for one.
    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == word)
    }
}

/// Reads a value from its word.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Word>(source: D) -> Result<T, D::Error> {
    let word = Cow::<str>::deserialize(source)?;
    T::named(&word).ok_or_else(|| Error::custom(format_args!("{word:?} is not a word of these")))
}

/// Defines an enum with the word of each value.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $type:ident {
            $($(#[$about_value:meta])* $value:ident = $word:literal,)*
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

            /// Its word in tables, documents, labels and messages; it never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$value => $word,)*
                }
            }
        }

        impl $crate::word::Word for $type {
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
                $crate::word::deserialize(source)
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::access::Role;
    use crate::attempt::{AttemptOutcome, Trigger};
    use crate::channel::{ChannelKind, ChannelStatus};
    use crate::delivery::DeliveryState;
    use crate::endpoint::{EndpointStatus, StatusCause};
    use crate::notification::{NotificationState, NotificationType};
    use crate::payload_format::PayloadKind;
    use crate::replay::{ReplayScope, ReplayState};

    #[test]
    fn every_value_is_read_back_from_its_word_and_from_nothing_else() {
        fn read_back<T: Word + Serialize + DeserializeOwned + PartialEq + Debug>() {
            for value in T::ALL {
                assert_eq!(T::named(value.name()).as_ref(), Some(value), "its word is its own");
                let json = serde_json::to_string(value).expect("serializes");
                assert_eq!(json, format!("{:?}", value.name()));
                assert_eq!(serde_json::from_str::<T>(&json).expect("reads"), *value);
            }
            let error = serde_json::from_str::<T>("\"blue\"").expect_err("no word");
            assert!(error.to_string().contains("\"blue\""), "{error}");
        }
        read_back::<ChannelKind>();
        read_back::<ChannelStatus>();
        read_back::<DeliveryState>();
        read_back::<EndpointStatus>();
        read_back::<NotificationState>();
        read_back::<NotificationType>();
        read_back::<AttemptOutcome>();
        read_back::<PayloadKind>();
        read_back::<ReplayScope>();
        read_back::<ReplayState>();
        read_back::<Role>();
        read_back::<StatusCause>();
        read_back::<Trigger>();
    }
}
