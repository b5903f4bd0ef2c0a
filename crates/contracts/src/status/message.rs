//! A status as a message: the error of one item of a batch.

use prost::Message;
use tonic::Status;

/// The google.rpc.Status that a call would have ended with: code, message and details.
pub fn status_message(status: &Status) -> tonic_types::Status {
    // A status carries this very message in its trailers, if it has details.
    let with_details = tonic_types::Status::decode(status.details());
    with_details.ok().filter(|whole| !whole.details.is_empty()).unwrap_or_else(|| {
        tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        }
    })
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::violation::Violation;
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;
    use crate::status;

    #[test]
    fn an_error_in_a_batch_says_the_same_as_a_status() {
        let violation = Violation::invalid_format("data_json", "is not JSON");
        let status = status::invalid_argument(vec![violation]);
        let message = status_message(&status);
        assert_eq!((message.code, message.message.as_str()), (3, status.message()));
        let bytes = message.encode_to_vec().into();
        let same = Status::with_details(Code::InvalidArgument, "", bytes);
        let fields = same.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(fields[0].field, "data_json");
        assert_eq!(same.get_details_error_info().expect("an ErrorInfo").reason, "INVALID_FIELD");
        let plain = status_message(&Status::internal("broken"));
        assert_eq!((plain.code, plain.message.as_str(), plain.details.len()), (13, "broken", 0));
    }
}
