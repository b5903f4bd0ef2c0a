//! Configurations: what a customer sets, and the patches that change it.
//!
//! [`config!`] takes the list of a configuration's fields once. It makes the configuration, its
//! patch, and everything that goes through the fields one by one.

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
}

impl FieldValue for String {
    type Shown = String;

    fn shown(&self) -> String {
        self.clone()
    }
}

impl<T: Clone + PartialEq> FieldValue for Vec<T> {
    type Shown = Vec<T>;

    fn shown(&self) -> Vec<T> {
        self.clone()
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
}
