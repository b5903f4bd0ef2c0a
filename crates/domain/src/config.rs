//! Configurations: what a customer sets, and the patches that change it.
//!
//! [`config!`] takes the list of a configuration's fields once. It makes the configuration, its
//! patch, and everything that goes through the fields one by one.

use std::fmt::Display;

/// A field that changed, for the audit trail. A changed secret has neither `before` nor `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field's name in the API.
    pub field: &'static str,
    /// The previous value as text. None: there was none, or it is a secret.
    pub before: Option<String>,
    /// The new value as text. None: there is none, or it is a secret.
    pub after: Option<String>,
}

impl FieldChange {
    /// The change from one text to another. None if they are equal; no text equals an empty one.
    pub fn between(
        field: &'static str,
        before: Option<String>,
        after: Option<String>,
    ) -> Option<FieldChange> {
        let is_other =
            before.as_deref().unwrap_or_default() != after.as_deref().unwrap_or_default();
        is_other.then_some(FieldChange { field, before, after })
    }

    /// The change of a secret, without its value.
    pub fn of_secret(field: &'static str) -> FieldChange {
        FieldChange { field, before: None, after: None }
    }
}

/// The type of a configuration's field.
pub trait FieldValue: Clone + PartialEq {
    /// The type of the value without its secrets.
    type Shown;

    /// The value without its secrets.
    fn shown(&self) -> Self::Shown;

    /// Whether [`replace`](FieldValue::replace) with `new` would change the value.
    fn is_changed_by(&self, new: &Self) -> bool {
        self != new
    }

    /// Takes over the new value.
    fn replace(&mut self, new: Self) {
        *self = new;
    }

    /// The changes that the audit trail shows for a new value in `field`. `before` is None if there
    /// was no value. There may be several: a value can have parts with names of their own.
    fn changes(field: &'static str, before: Option<&Self::Shown>, after: &Self)
    -> Vec<FieldChange>;
}

impl FieldValue for String {
    type Shown = String;

    fn shown(&self) -> String {
        self.clone()
    }

    fn changes(field: &'static str, before: Option<&String>, after: &String) -> Vec<FieldChange> {
        FieldChange::between(field, before.cloned(), Some(after.clone())).into_iter().collect()
    }
}

impl<T: Clone + PartialEq + Display> FieldValue for Vec<T> {
    type Shown = Vec<T>;

    fn shown(&self) -> Vec<T> {
        self.clone()
    }

    fn changes(field: &'static str, before: Option<&Vec<T>>, after: &Vec<T>) -> Vec<FieldChange> {
        let text =
            |values: &Vec<T>| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        FieldChange::between(field, before.map(text), Some(text(after))).into_iter().collect()
    }
}

/// Makes a configuration and its patch from one list of fields. The default of a configuration sets
/// nothing, and would not pass the checks of its fields.
///
/// Exactly one field has a type that depends on where the configuration is used (`@F`): the one that
/// carries a secret. The secret is in clear in requests, sealed in facts and tables, and absent from
/// what is shown. `with_…: F = Type` names the function that replaces this field, and its type in
/// facts and tables.
macro_rules! config {
    (
        $(#[$config_meta:meta])*
        $config:ident,
        $(#[$patch_meta:meta])*
        $patch:ident,
        $with:ident: $F:ident = $stored:ty,
        {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $(@$variable:ident)? $($type:ty)?,
            )*
        }
    ) => {
        $(#[$config_meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $config<$F = $stored> {
            $($(#[$field_meta])* pub $field: $($variable)? $($type)?,)*
        }

        $(#[$patch_meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $patch<$F = $stored> {
            $(
                #[doc = concat!("A new `", stringify!($field), "`.")]
                pub $field: Option<$($variable)? $($type)?>,
            )*
        }

        impl<$F> Default for $patch<$F> {
            fn default() -> Self {
                $patch { $($field: None,)* }
            }
        }

        impl<$F> $config<$F> {
            /// The configuration with another value in the field that carries the secret.
            pub fn $with<Other>(self, value: Other) -> $config<Other> {
                $config { $($field: config!(@pick self.$field, value $(, $variable)?),)* }
            }
        }

        impl<$F> From<$config<$F>> for $patch<$F> {
            /// The patch that sets everything.
            fn from(config: $config<$F>) -> Self {
                $patch { $($field: Some(config.$field),)* }
            }
        }

        impl<$F> $patch<$F> {
            /// The patch with another value in the field that carries the secret.
            pub fn $with<Other>(self, value: Option<Other>) -> $patch<Other> {
                $patch { $($field: config!(@pick self.$field, value $(, $variable)?),)* }
            }

            /// Whether it sets nothing.
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_none())&&*
            }

            /// The configuration, if the patch sets every field.
            pub fn complete(self) -> Option<$config<$F>> {
                Some($config { $($field: self.$field?,)* })
            }
        }

        impl $config {
            /// The names of the fields.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The fields of a patch that would change something.
            pub fn difference(&self, patch: $patch) -> $patch {
                $patch { $($field: patch.$field.filter(|new| $crate::config::FieldValue::is_changed_by(&self.$field, new)),)* }
            }

            /// The current values of the fields that a patch sets, without secrets.
            pub fn before(&self, patch: &$patch) -> $patch<<$stored as $crate::config::FieldValue>::Shown> {
                $patch { $($field: patch.$field.as_ref().map(|_| $crate::config::FieldValue::shown(&self.$field)),)* }
            }

            /// Replaces the fields that a patch sets.
            pub fn apply(&mut self, patch: $patch) {
                $(if let Some(new) = patch.$field {
                    $crate::config::FieldValue::replace(&mut self.$field, new);
                })*
            }
        }

        impl $patch {
            /// The changes that the audit trail shows for the patch, in the order of the fields.
            pub fn changes(&self, before: &$patch<<$stored as $crate::config::FieldValue>::Shown>) -> Vec<$crate::config::FieldChange> {
                let mut changes = Vec::new();
                $(if let Some(after) = &self.$field {
                    let field = stringify!($field);
                    let before = before.$field.as_ref();
                    changes.extend($crate::config::FieldValue::changes(field, before, after));
                })*
                changes
            }
        }
    };
    (@pick $same:expr, $value:expr) => { $same };
    (@pick $same:expr, $value:expr, $variable:ident) => { $value };
}

pub(crate) use config;

#[cfg(test)]
#[expect(unreachable_pub, reason = "what the macro makes is public")]
mod tests {
    use super::*;

    /// A secret. Changes name it, without its value.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Hidden(&'static str);

    impl FieldValue for Hidden {
        type Shown = ();

        fn shown(&self) {}

        fn changes(field: &'static str, _: Option<&()>, _: &Hidden) -> Vec<FieldChange> {
            vec![FieldChange::of_secret(field)]
        }
    }

    config! {
        /// A sample.
        SampleConfig,
        /// Its patch.
        SamplePatch,
        with_key: K = Hidden,
        {
            /// A text.
            name: String,
            /// A secret.
            key: @K,
            /// A list.
            numbers: Vec<u8>,
        }
    }

    fn sample() -> SampleConfig {
        SampleConfig { name: "one".to_owned(), key: Hidden("horse"), numbers: vec![1, 2] }
    }

    fn change(field: &'static str, before: Option<&str>, after: &str) -> FieldChange {
        FieldChange { field, before: before.map(str::to_owned), after: Some(after.to_owned()) }
    }

    #[test]
    fn the_difference_leads_from_a_configuration_to_another_and_its_before_leads_back() {
        let (old, new) = (sample(), SampleConfig { name: "two".to_owned(), ..sample() });
        let patch = old.difference(new.clone().into());
        assert_eq!(patch, SamplePatch { name: Some("two".to_owned()), ..SamplePatch::default() });
        let before = old.before(&patch);
        assert_eq!(before.name.as_deref(), Some("one"));
        assert!(before.key.is_none() && before.numbers.is_none(), "they have not changed");
        let mut patched = old.clone();
        patched.apply(patch.clone());
        assert_eq!(patched, new);
        assert!(patched.difference(patch).is_empty(), "it changes nothing twice");
        patched.apply(before.with_key(None));
        assert_eq!(patched, old);
    }

    #[test]
    fn a_patch_is_a_configuration_once_it_sets_everything() {
        let patch = SamplePatch::from(sample());
        assert_eq!(patch.clone().complete(), Some(sample()));
        assert_eq!(SamplePatch { name: None, ..patch }.complete(), None);
        assert!(SamplePatch::<Hidden>::default().is_empty());
        let numbers = Some(Vec::new());
        assert!(!SamplePatch::<Hidden> { numbers, ..SamplePatch::default() }.is_empty());
        assert_eq!(SampleConfig::FIELDS, ["name", "key", "numbers"]);
    }

    #[test]
    fn the_field_with_the_secret_can_be_given_another_type() {
        let given = sample().with_key("in clear");
        assert_eq!(given.key, "in clear");
        assert_eq!(given.with_key(Hidden("horse")), sample());
    }

    #[test]
    fn a_change_has_before_and_after_and_a_secret_has_neither() {
        let patch = SamplePatch::from(SampleConfig { numbers: Vec::new(), ..sample() });
        let created = patch.changes(&SamplePatch::default());
        let secret = FieldChange { field: "key", before: None, after: None };
        assert_eq!(created, [change("name", None, "one"), secret]);
        let before = sample().before(&patch);
        let changed = patch.changes(&before);
        assert_eq!(changed, [FieldChange::of_secret("key"), change("numbers", Some("1, 2"), "")]);
    }
}
