//! What every error of the API must have.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Checks the code and the machine-readable reason, and that the caller is told to retry if, and
/// only if, that may help.
#[track_caller]
pub(crate) fn assert_refused(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status}");
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status}"));
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "webhooks.keeptrusts.com"));
    assert!(!status.message().is_empty(), "{status}");
    let again = status.get_details_retry_info().is_some();
    assert_eq!(again, code == Code::Unavailable, "{status}");
}
