//! Configurations: what a customer sets of a thing, and the patches that change it.
//!
//! [`config!`] takes the fields of a configuration once. From them it makes the configuration, its
//! patch, and all that goes through the fields one by one.

use std::fmt::Display;

/// A field that changed, for the audit trail. A secret's change has neither a before nor an after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field's name in the API.
    pub field: &'static str,
    /// Its value before.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
}

impl FieldChange {
    /// A field with its text before and after. None: the texts are equal; no text is an empty one.
    pub fn between(
        field: &'static str,
        before: Option<String>,
        after: Option<String>,
    ) -> Option<FieldChange> {
        let is_other =
            before.as_deref().unwrap_or_default() != after.as_deref().unwrap_or_default();
        is_other.then_some(FieldChange { field, before, after })
    }

    /// A secret was set.
    pub fn of_secret(field: &'static str) -> FieldChange {
        FieldChange { field, before: None, after: None }
    }
}

/// What a configuration's field can be.
pub trait FieldValue: Clone + PartialEq {
    /// The value without its secrets.
    type Shown;

    /// The value as it may be shown.
    fn shown(&self) -> Self::Shown;

    /// Whether it is another value after `new` has replaced it.
    fn is_changed_by(&self, new: &Self) -> bool {
        self != new
    }

    /// Takes the new value.
    fn replace(&mut self, new: Self) {
        *self = new;
    }

    /// What the audit trail tells of the new value in this field. `before` is None if there was
    /// none.
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

/// Makes a configuration and its patch of one list of fields. The default of a configuration sets
/// nothing, and is none that has been checked.
///
/// Exactly one field has a type that depends on where the configuration is (`@F`): the one that
/// carries a secret, which is in clear in a request, sealed in facts, and absent from what is shown.
/// `with_…: F = Type` names the function that replaces it, and its type in facts and tables.
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

            /// The configuration of a patch that sets everything. None: it does not.
            pub fn complete(self) -> Option<$config<$F>> {
                Some($config { $($field: self.$field?,)* })
            }
        }

        impl $config {
            /// The names of the fields.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The part of a patch that changes something.
            pub fn difference(&self, patch: $patch) -> $patch {
                $patch { $($field: patch.$field.filter(|new| $crate::config::FieldValue::is_changed_by(&self.$field, new)),)* }
            }

            /// What is there now in the fields that a patch sets, without secrets.
            pub fn before(&self, patch: &$patch) -> $patch<<$stored as $crate::config::FieldValue>::Shown> {
                $patch { $($field: patch.$field.as_ref().map(|_| $crate::config::FieldValue::shown(&self.$field)),)* }
            }

            /// Takes over what a patch sets.
            pub fn apply(&mut self, patch: $patch) {
                $(if let Some(new) = patch.$field {
                    $crate::config::FieldValue::replace(&mut self.$field, new);
                })*
            }
        }

        impl $patch {
            /// What the audit trail tells of the patch, field by field.
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

    /// A secret in a field of its own, which is told without its value.
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
        assert_eq!(SampleConfig::FIELDS, ["name", "key", "numbers"]);
    }

    #[test]
    fn one_field_has_another_type_elsewhere() {
        let given = sample().with_key("in clear");
        assert_eq!(given.key, "in clear");
        assert_eq!(given.with_key(Hidden("horse")), sample());
    }

    #[test]
    fn a_change_is_told_with_before_and_after_and_a_secret_with_neither() {
        let patch = SamplePatch::from(SampleConfig { numbers: Vec::new(), ..sample() });
        let made = patch.changes(&SamplePatch::default());
        assert_eq!(made, [change("name", None, "one"), FieldChange::of_secret("key")]);
        let before = sample().before(&patch);
        let changed = patch.changes(&before);
        assert_eq!(changed, [FieldChange::of_secret("key"), change("numbers", Some("1, 2"), "")]);
    }
}
