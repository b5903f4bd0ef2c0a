//! The error of one event in a batch.

use tonic::Status;
use tonic_types::StatusExt;

use crate::v1;

/// The error of one event in the response of a batch, from the status that PublishEvent would return.
pub fn publish_error(status: &Status) -> v1::PublishError {
    let first_violation = status
        .get_details_bad_request()
        .and_then(|wrong| wrong.field_violations.into_iter().next());
    v1::PublishError {
        code: status.code().into(),
        message: status.message().to_owned(),
        reason: status.get_details_error_info().map(|info| info.reason).unwrap_or_default(),
        field: first_violation.map(|violation| violation.field).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::violation::Violation;

    use super::*;
    use crate::status;

    #[test]
    fn an_error_in_a_batch_says_the_same_as_a_status() {
        let violation = Violation::new("data_json", "is not JSON");
        let error = publish_error(&status::invalid_argument(vec![violation]));
        assert_eq!((error.code, error.field.as_str()), (3, "data_json"));
        assert_eq!(error.reason, "INVALID_FIELD");
        let error = publish_error(&status::already_exists_idempotency_key());
        assert_eq!((error.code, error.field.as_str()), (6, ""));
    }
}
