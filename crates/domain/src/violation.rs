//! Violations: a value breaks the rule of its field.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal $constructor:ident;)*) => {
        /// Why a field's value is refused, for programs. People read the description.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ViolationReason {
            $($(#[$doc])* $variant,)*
        }

        impl ViolationReason {
            /// Every reason.
            pub const ALL: &'static [ViolationReason] = &[$(ViolationReason::$variant,)*];

            /// The reason on the wire: upper case with underscores, as AIP-193 asks.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ViolationReason::$variant => $name,)*
                }
            }
        }

        impl Violation {
            $($(#[$doc])*
            pub fn $constructor(
                field: impl Into<String>,
                description: impl Into<String>,
            ) -> Violation {
                Violation::new(field, ViolationReason::$variant, description)
            })*
        }
    };
}

reasons! {
    /// The field is needed, and is missing or empty.
    Required "REQUIRED" required;
    /// A text or its bytes are longer than the field's limit.
    TooLong "TOO_LONG" too_long;
    /// A list has more entries, or a structure more values, than the field's limit.
    TooMany "TOO_MANY" too_many;
    /// A number, a time or a duration is less or greater than is accepted.
    OutOfRange "OUT_OF_RANGE" out_of_range;
    /// The value is not written as the field's values are, for example no URL.
    InvalidFormat "INVALID_FORMAT" invalid_format;
    /// The value names something that there is not, for example an event type or a field in a mask.
    UnknownValue "UNKNOWN_VALUE" unknown_value;
    /// The value is right by itself, but not together with other fields or with what is stored.
    NotAllowed "NOT_ALLOWED" not_allowed;
}

/// A field whose value breaks its rule. There is a constructor for each reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {description}")]
#[non_exhaustive]
pub struct Violation {
    /// The field's path in the request, for example `event_types[2]`.
    pub field: String,
    /// Why the value is refused, for programs.
    pub reason: ViolationReason,
    /// What is wrong and what would be right, for people to read.
    pub description: String,
}

impl Violation {
    /// A violation of `field`'s rule.
    pub fn new(
        field: impl Into<String>,
        reason: ViolationReason,
        description: impl Into<String>,
    ) -> Self {
        Violation { field: field.into(), reason, description: description.into() }
    }

    /// The same violation of another field, in which the checked value stands.
    pub fn of_field(self, field: impl Into<String>) -> Violation {
        Violation { field: field.into(), ..self }
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

    /// Adds a violation of the entry at `index`. `violation` is called with the entry's path, and only
    /// if the violation is kept, because a request can have very many.
    pub fn push(&mut self, index: usize, violation: impl FnOnce(String) -> Violation) {
        let count = self.violations.len();
        if count < MAX_NAMED {
            self.violations.push(violation(format!("{}[{index}]", self.field)));
        } else if count == MAX_NAMED {
            // The further ones may have other reasons, which are not looked for.
            let reason = self.violations[0].reason;
            let description = "has further entries that break their rules";
            self.violations.push(Violation::new(self.field, reason, description));
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
            wrong.push(index, |entry| {
                described += 1;
                Violation::unknown_value(entry, "is wrong")
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
