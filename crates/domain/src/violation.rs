//! Violations: a value breaks the rule of its field.

/// A field whose value breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {description}")]
pub struct Violation {
    /// The field's path in the request, for example `event_types[2]`.
    pub field: String,
    /// What is wrong and what would be right, for people to read.
    pub description: String,
}

impl Violation {
    /// A violation of `field`'s rule.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Violation { field: field.into(), description: description.into() }
    }
}

/// Lets checks that find at most one violation be used like those that find several.
impl From<Violation> for Vec<Violation> {
    fn from(violation: Violation) -> Self {
        vec![violation]
    }
}

/// The entries of one field that are named. Further ones get one violation together.
const MAX_NAMED: usize = 10;

/// Collects the violations of a repeated field's entries, of which only the first few are kept.
#[derive(Debug)]
pub struct EntryViolations<'a> {
    field: &'a str,
    violations: Vec<Violation>,
}

impl<'a> EntryViolations<'a> {
    /// No violations yet of entries of `field`.
    pub fn of(field: &'a str) -> EntryViolations<'a> {
        EntryViolations { field, violations: Vec::new() }
    }

    /// Adds a violation of the entry at `index`. `description` is called only if the violation is kept,
    /// because a request can have very many.
    pub fn push<D: Into<String>>(&mut self, index: usize, description: impl FnOnce() -> D) {
        let count = self.violations.len();
        if count < MAX_NAMED {
            let entry = format!("{}[{index}]", self.field);
            self.violations.push(Violation::new(entry, description()));
        } else if count == MAX_NAMED {
            let description = "has further entries that break their rules";
            self.violations.push(Violation::new(self.field, description));
        }
    }

    /// The value if there are no violations.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Violation>> {
        if self.violations.is_empty() { Ok(value) } else { Err(self.violations) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_few_of_many_violations_are_kept() {
        let mut wrong = EntryViolations::of("event_types");
        let mut described = 0;
        for index in 0..1_000 {
            wrong.push(index, || {
                described += 1;
                "is wrong"
            });
        }
        let violations = wrong.into_result(()).expect_err("they are wrong");
        assert_eq!((described, violations.len()), (MAX_NAMED, MAX_NAMED + 1));
        assert_eq!(violations[9].field, "event_types[9]");
        assert_eq!(
            violations[10].to_string(),
            "event_types: has further entries that break their rules"
        );
        assert_eq!(EntryViolations::of("event_types").into_result(7), Ok(7));
    }
}
