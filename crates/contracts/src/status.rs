//! The API's errors: google.rpc.Status with details that programs can match.
//!
//! Every status has a google.rpc.ErrorInfo (AIP-193). An invalid request has a google.rpc.BadRequest as
//! well, and an error that is worth a retry a google.rpc.RetryInfo. The message says what is wrong and
//! what to do. No text of a database or a peer goes into any of them.

mod message;
mod reason;
mod violation_summary;

use std::collections::HashMap;
use std::time::Duration;

use crate::api::{MAX_SORTED_ROWS, TooManyToSort};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use message::status_message;
pub use reason::{Reason, Resource, ResourceWithCallersId};

/// The `domain` of every ErrorInfo.
pub const ERROR_DOMAIN: &str = "webhooks.keeptrusts.com";

/// INVALID_ARGUMENT: fields of the request break their rules. All are named unless there are so many that
/// the status would exceed a client's limit for trailers.
pub fn invalid_argument(violations: Vec<Violation>) -> Status {
    let (message, violations) = violation_summary::summarize(&violations);
    let mut details = ErrorDetails::with_bad_request(violations);
    details.set_error_info(Reason::InvalidField.name(), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// NOT_FOUND: the organization has no such resource, or it was deleted.
pub fn not_found(resource: Resource, id: impl ToString) -> Status {
    let (name, id) = (resource.name(), id.to_string());
    let deleted = match resource.can_be_deleted() {
        true => "; deleted ones are not found either",
        false => "",
    };
    let message = format!("the organization has no {name} {id}: check both ids{deleted}");
    about_resource(Code::NotFound, resource.not_found(), message, resource, id)
}

/// Why nothing new can have an id that a caller has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenId {
    /// The organization has a resource with it.
    ByResource,
    /// The organization had one, which was deleted.
    ByDeletedResource,
    /// It is of no use to this organization. More is not said.
    Otherwise,
}

/// ALREADY_EXISTS: nothing new can have the id.
pub fn already_exists(
    resource: ResourceWithCallersId,
    id: impl ToString,
    taken: TakenId,
) -> Status {
    let reason = match resource {
        ResourceWithCallersId::Endpoint => Reason::EndpointExists,
        ResourceWithCallersId::Channel => Reason::ChannelExists,
    };
    let resource = Resource::from(resource);
    let (name, id) = (resource.name(), id.to_string());
    let message = match taken {
        TakenId::ByResource => format!(
            "the organization has the {name} {id} already: update it (an update with allow_missing creates or changes it), or make a new id"
        ),
        TakenId::ByDeletedResource => {
            format!("the {name} {id} was deleted, and ids are not used again: make a new id")
        }
        TakenId::Otherwise => format!("the id {id} cannot be given to a new {name}: make a new id"),
    };
    about_resource(Code::AlreadyExists, reason, message, resource, id)
}

fn about_resource(
    code: Code,
    reason: Reason,
    message: String,
    resource: Resource,
    id: String,
) -> Status {
    let about = HashMap::from([(format!("{}_id", resource.name()), id)]);
    let details = ErrorDetails::with_error_info(reason.name(), ERROR_DOMAIN, about);
    Status::with_error_details(code, message, details)
}

/// NOT_FOUND: the organization is out of the caller's reach, whether it exists or not.
pub fn organization_not_found(id: &OrganizationId) -> Status {
    let message = format!(
        "there is no organization {id} that this key or token is for: WhoAmI says which one it is for"
    );
    let about = HashMap::from([("organization_id".to_owned(), id.to_string())]);
    let reason = Reason::OrganizationNotFound.name();
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, about);
    Status::with_error_details(Code::NotFound, message, details)
}

/// UNAUTHENTICATED: no valid token. It does not say which check failed.
pub fn unauthenticated(message: impl Into<String>) -> Status {
    plain(Code::Unauthenticated, Reason::Unauthenticated, message)
}

/// PERMISSION_DENIED: the caller's role may not call the method.
pub fn permission_denied(message: impl Into<String>) -> Status {
    plain(Code::PermissionDenied, Reason::PermissionDenied, message)
}

/// RESOURCE_EXHAUSTED: too much at a time. A retry after `retry_delay` may succeed.
pub fn resource_exhausted_for(
    retry_delay: Duration,
    reason: Reason,
    message: impl Into<String>,
) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(retry_delay));
    details.set_error_info(reason.name(), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// FAILED_PRECONDITION: `message` says what has to change first.
pub fn failed_precondition(reason: Reason, message: impl Into<String>) -> Status {
    plain(Code::FailedPrecondition, reason, message)
}

/// FAILED_PRECONDITION: a stored credential would go to another server than the one that it was given
/// for. `field` is the credential's field in the request, `description` says what is wrong.
pub fn failed_precondition_credential(field: &str, description: impl Into<String>) -> Status {
    let (message, violations) =
        violation_summary::summarize(&[Violation::required(field, description)]);
    let mut details = ErrorDetails::with_bad_request(violations);
    details.set_error_info(Reason::CredentialRequired.name(), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// ABORTED: the resource has changed since the caller read it (AIP-154).
pub fn aborted_stale_etag(resource: Resource) -> Status {
    let message = format!(
        "the etag is not the current one: get the {} again, decide anew, and send its new etag",
        resource.name()
    );
    plain(Code::Aborted, Reason::StaleEtag, message)
}

/// ALREADY_EXISTS: the idempotency key was used for an event with other content.
pub fn already_exists_idempotency_key() -> Status {
    let message = "the idempotency_key was used for an event with other content: give this event a key of its own";
    plain(Code::AlreadyExists, Reason::IdempotencyKeyReused, message)
}

/// ALREADY_EXISTS: the request's id was used for another request.
pub fn already_exists_request_id() -> Status {
    let message = "the request_id was used in the last 24 hours for another request (another method, caller or content): give this one an id of its own, or send the first one as it was";
    plain(Code::AlreadyExists, Reason::RequestIdReused, message)
}

/// NOT_FOUND: the first request with this id made the resource, which was deleted since.
pub fn not_found_any_more(resource: Resource, id: impl ToString) -> Status {
    let (name, id) = (resource.name(), id.to_string());
    let message = format!(
        "the first request with this request_id was about the {name} {id}, which was deleted since: to do it anew, send another request_id"
    );
    let about = HashMap::from([(format!("{name}_id"), id)]);
    let details = ErrorDetails::with_error_info(resource.not_found().name(), ERROR_DOMAIN, about);
    Status::with_error_details(Code::NotFound, message, details)
}

/// RESOURCE_EXHAUSTED: more than a limit allows; `message` says which.
pub fn resource_exhausted(reason: Reason, message: impl Into<String>) -> Status {
    plain(Code::ResourceExhausted, reason, message)
}

/// UNAVAILABLE: a retry after `retry_delay` may succeed.
pub fn unavailable(reason: Reason, message: impl Into<String>, retry_delay: Duration) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(retry_delay));
    details.set_error_info(reason.name(), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::Unavailable, message, details)
}

/// DEADLINE_EXCEEDED: the caller's deadline passed first.
pub fn deadline_exceeded() -> Status {
    let message = "the deadline passed before there was an answer, and what was asked for may still happen: look it up, or repeat it with a longer deadline";
    deadline_exceeded_for(message)
}

/// DEADLINE_EXCEEDED: something took longer than allowed; `message` says what.
pub fn deadline_exceeded_for(message: impl Into<String>) -> Status {
    plain(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
}

/// UNIMPLEMENTED: this process does not serve the method or the encoding.
pub fn unimplemented(reason: Reason, message: impl Into<String>) -> Status {
    plain(Code::Unimplemented, reason, message)
}

/// FAILED_PRECONDITION: the list is too long for the order that was asked for.
impl From<TooManyToSort> for Status {
    fn from(_: TooManyToSort) -> Status {
        let message = format!(
            "the list has more than {MAX_SORTED_ROWS} rows, which are too many to sort: leave out order_by, or filter by kind"
        );
        failed_precondition(Reason::TooManyToSort, message)
    }
}

/// INTERNAL: a defect of ours. The cause belongs in the log, never in the status.
pub fn internal() -> Status {
    let message = "something went wrong on the server, which has logged it: if it happens again, tell the operators when it did";
    plain(Code::Internal, Reason::Internal, message)
}

fn plain(code: Code, reason: Reason, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason.name(), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: &Status) -> String {
        let info = status.get_details_error_info().expect("every status has an ErrorInfo");
        assert_eq!(info.domain, ERROR_DOMAIN);
        info.reason
    }

    #[test]
    fn wrong_fields_are_named_in_the_details_and_in_the_message() {
        let status = invalid_argument(vec![
            Violation::required("name", "is required"),
            Violation::unknown_value("event_types[1]", "is not an event type"),
        ]);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "INVALID_FIELD");
        assert_eq!(
            status.message(),
            "correct the fields name (is required), event_types[1] (is not an event type)"
        );
        let details = status.get_details_bad_request().expect("field violations");
        let violations = details.field_violations.iter();
        let named: Vec<_> =
            violations.map(|wrong| (wrong.field.as_str(), wrong.reason.as_str())).collect();
        assert_eq!(named, [("name", "REQUIRED"), ("event_types[1]", "UNKNOWN_VALUE")]);
    }

    #[test]
    fn a_resource_that_is_not_found_is_named() {
        let status = not_found(Resource::Endpoint, "ep_1");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "ENDPOINT_NOT_FOUND")
        );
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.metadata["endpoint_id"], "ep_1");
        let deleted = "deleted ones are not found either";
        assert!(status.message().ends_with(deleted), "{status}");
        let never_deleted = not_found(Resource::Event, "evt_1");
        assert_eq!(never_deleted.message(), "the organization has no event evt_1: check both ids");
    }

    #[test]
    fn an_id_that_is_taken_is_named_and_another_organizations_is_not_told_apart() {
        for (taken, words) in [
            (TakenId::ByResource, "the organization has the channel chn_1 already: update it"),
            (
                TakenId::ByDeletedResource,
                "the channel chn_1 was deleted, and ids are not used again",
            ),
            (TakenId::Otherwise, "the id chn_1 cannot be given to a new channel: make a new id"),
        ] {
            let status = already_exists(ResourceWithCallersId::Channel, "chn_1", taken);
            let named = (status.code(), reason(&status));
            assert_eq!(named, (Code::AlreadyExists, "CHANNEL_EXISTS".to_owned()));
            assert!(status.message().starts_with(words), "{status}");
        }
    }

    #[test]
    fn an_unavailable_status_says_when_to_retry() {
        let status = unavailable(Reason::DatabaseUnavailable, "later", Duration::from_secs(2));
        let retry = status.get_details_retry_info().expect("a RetryInfo");
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(2)));
        assert_eq!(reason(&status), "DATABASE_UNAVAILABLE");
    }

    #[test]
    fn the_other_statuses_have_the_codes_and_reasons_of_the_contract() {
        let disabled = failed_precondition(Reason::EndpointDisabled, "enable it first");
        let too_large = resource_exhausted(Reason::RequestTooLarge, "send less at a time");
        let credential = failed_precondition_credential("routing_key", "must be given again");
        let named = credential.get_details_bad_request().expect("a field violation");
        assert_eq!(named.field_violations[0].field, "routing_key");
        for (status, code, expected) in [
            (disabled, Code::FailedPrecondition, "ENDPOINT_DISABLED"),
            (credential, Code::FailedPrecondition, "CREDENTIAL_REQUIRED"),
            (too_large, Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
            (aborted_stale_etag(Resource::Endpoint), Code::Aborted, "STALE_ETAG"),
            (already_exists_idempotency_key(), Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"),
            (deadline_exceeded(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (internal(), Code::Internal, "INTERNAL"),
        ] {
            assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
        }
    }
}
