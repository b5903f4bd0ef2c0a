//! Attempts: each is one HTTP request of a delivery.

use std::time::Duration;

use crate::Timestamp;
use crate::event::ContentDigest;
use crate::event_type::EventType;
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};
use crate::named_enum::named_enum;

named_enum! {
    /// What caused an attempt.
    pub enum Trigger {
        /// The first attempt, or the retry schedule.
        Automatic = "automatic",
        /// A user requested a retry.
        Manual = "manual",
        /// A user requested a test.
        Test = "test",
    }
}

named_enum! {
    /// What an attempt means for its delivery.
    pub enum AttemptOutcome {
        /// The receiver answered 2xx.
        Delivered = "delivered",
        /// It failed, and another automatic attempt is due.
        Retrying = "retrying",
        /// It failed, and no other attempt is due.
        Failed = "failed",
    }
}

/// What is known of an attempt whether it succeeded or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptDetails {
    /// The attempt's id.
    pub id: AttemptId,
    /// The event that was sent.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The endpoint that it was sent to.
    pub endpoint_id: EndpointId,
    /// 1, 2, 3, … within the delivery.
    pub number: u32,
    /// The automatic attempts of the delivery so far, this one included if it was automatic.
    pub automatic_count: u32,
    /// What caused it.
    pub trigger: Trigger,
    /// When the request began.
    pub start_time: Timestamp,
    /// From the beginning of the request to the end of the response, or to the failure.
    pub duration: Duration,
    /// The HTTP status of the response, if one arrived.
    pub status_code: Option<u16>,
    /// The digest of the encoded [`HttpExchange`].
    pub exchange: ContentDigest,
    /// What was unusual about the request or the response, for people to read. Empty if nothing
    /// was.
    pub remark: String,
}

/// An attempt as the tables hold it: a line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The organization that owns the delivery.
    pub organization_id: OrganizationId,
    /// The delivery that it belongs to.
    pub delivery_id: DeliveryId,
    /// What is known of it in any case.
    pub details: AttemptDetails,
    /// What it means for the delivery.
    pub outcome: AttemptOutcome,
    /// What went wrong, for people to read. Empty on success.
    pub error: String,
    /// When the next automatic attempt was due, as planned when this one ended.
    pub next_attempt_time: Option<Timestamp>,
}

/// What went over the wire in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpExchange {
    /// The request's headers in the order in which they were sent.
    pub request_headers: Vec<(String, Vec<u8>)>,
    /// The response's headers in the order in which they were received.
    pub response_headers: Vec<(String, Vec<u8>)>,
    /// The first 16 KiB of the response's body.
    pub response_body: Vec<u8>,
    /// The request's body with secrets masked. None: it was the event's own body.
    pub request_body: Option<Vec<u8>>,
}
