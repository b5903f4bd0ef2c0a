//! Errors of the load generator. They end the measurement and are only printed.

pub(crate) type LoadError = Box<dyn std::error::Error + Send + Sync>;
