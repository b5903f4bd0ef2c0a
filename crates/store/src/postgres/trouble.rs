//! Why Postgres does not do what it is asked, read from the errors of this module.

use super::acquire_error::AcquireError;
use super::no_answer::NoAnswer;
use super::server_error::ServerError;
use crate::trouble::Trouble;

/// What Postgres lacks, if the error is one of this module and says so.
pub(crate) fn trouble_of(
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Option<Trouble> {
    if error.is::<NoAnswer>() {
        return Some(Trouble::Silent);
    }
    match error.downcast_ref::<AcquireError>() {
        Some(AcquireError::InUse { .. }) => Some(Trouble::Overloaded),
        Some(AcquireError::Connect(error)) => error.trouble(),
        Some(AcquireError::Closed) => None,
        None => error.downcast_ref::<ServerError>()?.trouble(),
    }
}
