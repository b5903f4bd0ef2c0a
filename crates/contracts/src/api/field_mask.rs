//! Which fields of a request are meant, and reading them into a patch. AIP-134, AIP-161.

use keeptrusts_webhooks_domain::violation::{EntryViolations, Violation};

use super::Violations;

/// The fields that an update can change.
pub(super) struct UpdatableFields {
    /// Those of the configuration.
    pub(super) config: &'static [&'static str],
    /// Those that the request has besides.
    pub(super) others: &'static [&'static str],
    /// The ones among them that `*` does not stand for: they hold secrets, which an answer that is
    /// sent back does not have.
    pub(super) only_by_name: &'static [&'static str],
}

impl UpdatableFields {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.config.iter().chain(self.others).copied()
    }
}

/// Which fields of a request are meant.
pub(super) enum Mask {
    /// All of them: something is created.
    Everything,
    /// The request does not say: those that are not empty.
    NotEmpty,
    /// The request says it.
    Named {
        /// By their names.
        fields: Vec<&'static str>,
        /// By `*`. Empty: it is not there.
        by_star: Vec<&'static str>,
    },
}

impl Mask {
    /// The mask of an update of these fields. An empty one is none.
    pub(super) fn new(
        mask: Option<&prost_types::FieldMask>,
        updatable: &UpdatableFields,
    ) -> Result<Mask, Vec<Violation>> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        if paths.is_empty() {
            return Ok(Mask::NotEmpty);
        }
        let (mut fields, mut by_star) = (Vec::new(), Vec::new());
        let mut wrong = EntryViolations::of("update_mask.paths");
        for (index, path) in paths.iter().enumerate() {
            match updatable.names().find(|name| name == path) {
                Some(name) => fields.push(name),
                None if path == "*" => {
                    let meant = |name: &&str| !updatable.only_by_name.contains(name);
                    by_star = updatable.names().filter(meant).collect();
                }
                None => wrong.push(index, || {
                    let names: Vec<_> = updatable.names().collect();
                    format!("cannot be updated; {} and * can", names.join(", "))
                }),
            }
        }
        wrong.into_result(Mask::Named { fields, by_star })
    }

    /// Whether the request says a field's name.
    pub(super) fn names(&self, field: &str) -> bool {
        matches!(self, Mask::Named { fields, .. } if fields.contains(&field))
    }

    /// Whether a field is meant, given whether it is empty.
    pub(super) fn means(&self, field: &str, is_empty: bool) -> bool {
        match self {
            Mask::Everything => true,
            Mask::NotEmpty => !is_empty,
            Mask::Named { by_star, .. } => self.names(field) || by_star.contains(&field),
        }
    }
}

/// Takes the fields of a message that a mask means, each by its own check.
pub(super) struct FieldReader<'a> {
    mask: &'a Mask,
    /// Where the message is in the request: empty, or with a dot at its end.
    prefix: &'static str,
    violations: &'a mut Violations,
}

impl<'a> FieldReader<'a> {
    /// A reader that notes what is wrong.
    pub(super) fn new(
        mask: &'a Mask,
        prefix: &'static str,
        violations: &'a mut Violations,
    ) -> FieldReader<'a> {
        FieldReader { mask, prefix, violations }
    }

    /// The checked value of a field. None: it is not meant, or it is wrong, which is noted. `check`
    /// gets the field's path for what it has to say.
    pub(super) fn read<T, U, E>(
        &mut self,
        field: &str,
        value: &T,
        check: impl FnOnce(&str, T) -> Result<U, E>,
    ) -> Option<U>
    where
        T: Clone + Default + PartialEq,
        E: Into<Vec<Violation>>,
    {
        if !self.mask.means(field, *value == T::default()) {
            return None;
        }
        let path = format!("{}{field}", self.prefix);
        self.violations.check_all(check(&path, value.clone()).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: UpdatableFields = UpdatableFields {
        config: &["name", "url"],
        others: &["secret"],
        only_by_name: &["secret"],
    };

    fn mask(paths: &[&str]) -> Result<Mask, Vec<Violation>> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::new(Some(&prost_types::FieldMask { paths }), &FIELDS)
    }

    fn meant(mask: &Mask, is_empty: bool) -> Vec<&'static str> {
        FIELDS.names().filter(|field| mask.means(field, is_empty)).collect()
    }

    #[test]
    fn a_mask_means_what_it_names_and_a_star_everything_but_secrets() {
        assert_eq!(meant(&mask(&["url"]).expect("known"), true), ["url"]);
        let star = mask(&["*"]).expect("known");
        assert_eq!(meant(&star, true), ["name", "url"]);
        assert!(!star.names("name"), "a star is no name");
        for both in [["secret", "*"], ["*", "secret"]] {
            assert_eq!(meant(&mask(&both).expect("known"), true), ["name", "url", "secret"]);
        }
    }

    #[test]
    fn no_mask_means_what_is_not_empty() {
        for none in [Mask::new(None, &FIELDS), mask(&[])] {
            let none = none.expect("no mask");
            assert_eq!(meant(&none, false), ["name", "url", "secret"]);
            assert!(meant(&none, true).is_empty());
        }
    }

    #[test]
    fn a_path_that_is_not_known_is_refused_with_those_that_are() {
        let wrong = mask(&["name", "status"]).err().expect("refused");
        assert_eq!(wrong.len(), 1);
        assert_eq!(
            wrong[0].to_string(),
            "update_mask.paths[1]: cannot be updated; name, url, secret and * can"
        );
    }

    #[test]
    fn what_is_wrong_with_a_field_is_noted_with_its_path() {
        let mut violations = Violations::default();
        let (known, refuse) = (mask(&["url"]).expect("known"), |field: &str, _: String| {
            Err::<(), _>(Violation::new(field, "is wrong"))
        });
        let mut fields = FieldReader::new(&known, "endpoint.", &mut violations);
        assert_eq!(fields.read("name", &"ignored".to_owned(), refuse), None);
        assert_eq!(fields.read("url", &String::new(), refuse), None);
        assert_eq!(violations.to_string(), "endpoint.url: is wrong");
    }
}
