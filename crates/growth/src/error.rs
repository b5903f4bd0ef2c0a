//! Errors end the measurement and are only printed.

pub(crate) type GrowthError = Box<dyn std::error::Error + Send + Sync>;
