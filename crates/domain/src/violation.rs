//! A value that breaks its rule.

/// Which field is wrong, why, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {description}")]
pub struct Violation {
    /// The field's path as the caller knows it, for example `event_types[2]`.
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

/// For checks that find one violation at most, among those that may find more.
impl From<Violation> for Vec<Violation> {
    fn from(violation: Violation) -> Self {
        vec![violation]
    }
}

/// How many entries of one field are named that break their rules.
const MAX_NAMED: usize = 10;

/// What is wrong with the entries of a repeated field: the first few, however many there are.
#[derive(Debug)]
pub struct EntryViolations<'a> {
    field: &'a str,
    violations: Vec<Violation>,
}

impl<'a> EntryViolations<'a> {
    /// None yet, of this field.
    pub fn of(field: &'a str) -> EntryViolations<'a> {
        EntryViolations { field, violations: Vec::new() }
    }

    /// One more, with its index. What is wrong with it is put into words only if it is told.
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

    /// The value, if no entry was wrong.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Violation>> {
        if self.violations.is_empty() { Ok(value) } else { Err(self.violations) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_wrong_entries_the_first_few_are_put_into_words() {
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
