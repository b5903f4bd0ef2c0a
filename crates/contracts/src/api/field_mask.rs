//! Field masks: which fields an update sets, and reading them into a patch (AIP-134, AIP-161).

use keeptrusts_webhooks_domain::violation::{EntryViolations, Violation};

use super::Violations;

/// The fields that an update can change.
pub(super) struct UpdatableFields {
    /// The fields of the configuration.
    pub(super) config: &'static [&'static str],
    /// Further fields of the resource.
    pub(super) others: &'static [&'static str],
    /// The fields among them that `*` leaves out. They hold secrets, which responses do not contain; so a
    /// client that sends a response back as an update would delete them.
    pub(super) only_by_name: &'static [&'static str],
}

impl UpdatableFields {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.config.iter().chain(self.others).copied()
    }
}

fn is_part(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

/// Which fields of a request are set.
pub(super) enum Mask {
    /// All fields, because something is created.
    Everything,
    /// The request has no mask: the fields that are not empty.
    NotEmpty,
    /// The fields that the mask of the request names.
    Named {
        /// By name.
        fields: Vec<&'static str>,
        /// By `*`. Empty if the mask has no `*`.
        by_star: Vec<&'static str>,
    },
}

impl Mask {
    /// The mask of an update of these fields. An empty mask is the same as none.
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
                    let is_included = |name: &&str| !updatable.only_by_name.contains(name);
                    by_star = updatable.names().filter(is_included).collect();
                }
                None => wrong.push(index, |entry| {
                    let whole = updatable.names().find(|name| is_part(path, name));
                    let description = match whole {
                        Some(name) => format!(
                            "{path:?} is a part of {name}, which is updated as a whole: write {name}; a secret in it that is empty stays"
                        ),
                        None => {
                            let names: Vec<_> = updatable.names().collect();
                            format!("{path:?} cannot be updated; {} and * can", names.join(", "))
                        }
                    };
                    Violation::unknown_value(entry, description)
                }),
            }
        }
        wrong.into_result(Mask::Named { fields, by_star })
    }

    /// Whether the mask has the field's name.
    pub(super) fn names(&self, field: &str) -> bool {
        matches!(self, Mask::Named { fields, .. } if fields.contains(&field))
    }

    /// Whether the field is set. `is_empty` says whether its value is empty.
    pub(super) fn includes(&self, field: &str, is_empty: bool) -> bool {
        match self {
            Mask::Everything => true,
            Mask::NotEmpty => !is_empty,
            Mask::Named { by_star, .. } => self.names(field) || by_star.contains(&field),
        }
    }
}

/// Reads the fields of a message that a mask includes, each with its own check.
pub(super) struct FieldReader<'a> {
    mask: &'a Mask,
    /// The path of the message in the request: empty, or with a dot at its end.
    prefix: &'static str,
    violations: &'a mut Violations,
}

impl<'a> FieldReader<'a> {
    /// A reader that adds violations to `violations`.
    pub(super) fn new(
        mask: &'a Mask,
        prefix: &'static str,
        violations: &'a mut Violations,
    ) -> FieldReader<'a> {
        FieldReader { mask, prefix, violations }
    }

    /// The checked value of a field. None: the mask does not include it, or it breaks its rule, which is
    /// added to the violations. `check` gets the field's path for its violations.
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
        if !self.mask.includes(field, *value == T::default()) {
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

    fn included(mask: &Mask, is_empty: bool) -> Vec<&'static str> {
        FIELDS.names().filter(|field| mask.includes(field, is_empty)).collect()
    }

    #[test]
    fn a_mask_includes_the_fields_that_it_names_and_a_star_all_but_secrets() {
        assert_eq!(included(&mask(&["url"]).expect("known"), true), ["url"]);
        let star = mask(&["*"]).expect("known");
        assert_eq!(included(&star, true), ["name", "url"]);
        assert!(!star.names("name"), "a star is no name");
        for both in [["secret", "*"], ["*", "secret"]] {
            assert_eq!(included(&mask(&both).expect("known"), true), ["name", "url", "secret"]);
        }
    }

    #[test]
    fn without_a_mask_the_fields_that_are_not_empty_are_set() {
        for none in [Mask::new(None, &FIELDS), mask(&[])] {
            let none = none.expect("no mask");
            assert_eq!(included(&none, false), ["name", "url", "secret"]);
            assert!(included(&none, true).is_empty());
        }
    }

    #[test]
    fn something_new_has_every_field_whether_it_is_empty_or_not() {
        assert_eq!(included(&Mask::Everything, true), ["name", "url", "secret"]);
        assert_eq!(included(&Mask::Everything, false), ["name", "url", "secret"]);
    }

    #[test]
    fn without_a_mask_a_reader_reads_the_fields_that_are_not_empty() {
        let mut violations = Violations::default();
        let accept = |_: &str, text: String| Ok::<_, Violation>(text);
        let mut fields = FieldReader::new(&Mask::NotEmpty, "", &mut violations);
        assert_eq!(fields.read("name", &"siem".to_owned(), accept).as_deref(), Some("siem"));
        assert_eq!(fields.read("url", &String::new(), accept), None);
    }

    #[test]
    fn an_unknown_path_is_refused_with_the_names_of_the_known_ones() {
        let wrong = mask(&["name", "status"]).err().expect("refused");
        assert_eq!(wrong.len(), 1);
        assert_eq!(
            wrong[0].to_string(),
            "update_mask.paths[1]: \"status\" cannot be updated; name, url, secret and * can"
        );
        let part = mask(&["url.host"]).err().expect("refused");
        let description = "\"url.host\" is a part of url, which is updated as a whole: write url";
        assert!(part[0].description.starts_with(description), "{}", part[0]);
    }

    #[test]
    fn a_violation_has_the_path_of_its_field() {
        let mut violations = Violations::default();
        let (known, refuse) = (mask(&["url"]).expect("known"), |field: &str, _: String| {
            Err::<(), _>(Violation::invalid_format(field, "is wrong"))
        });
        let mut fields = FieldReader::new(&known, "endpoint.", &mut violations);
        assert_eq!(fields.read("name", &"ignored".to_owned(), refuse), None);
        assert_eq!(fields.read("url", &String::new(), refuse), None);
        assert_eq!(violations.to_string(), "endpoint.url: is wrong");
    }
}
