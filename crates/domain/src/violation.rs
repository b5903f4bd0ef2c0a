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
