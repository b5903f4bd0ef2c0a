//! Attempts: one HTTP request of a delivery.

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
        /// Somebody asked for a retry.
        Manual = "manual",
        /// Somebody asked for a test.
        Test = "test",
    }
}

named_enum! {
    /// What an attempt meant for its delivery.
    pub enum AttemptOutcome {
        /// Answered 2xx.
        Delivered = "delivered",
        /// Failed; another automatic one is due.
        Retrying = "retrying",
        /// Failed; no other is due.
        Failed = "failed",
    }
}

/// What an attempt was, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptDetails {
    /// Its id.
    pub id: AttemptId,
    /// The event that was sent.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The endpoint that it was sent to.
    pub endpoint_id: EndpointId,
    /// 1, 2, 3, … within the delivery.
    pub number: u32,
    /// How many automatic attempts the delivery has had, this one included if it was one.
    pub automatic_count: u32,
    /// What caused it.
    pub trigger: Trigger,
    /// When the request was begun.
    pub start_time: Timestamp,
    /// From the beginning of the request to the end of the answer, or to the failure.
    pub duration: Duration,
    /// The receiver's HTTP status, if one arrived.
    pub status_code: Option<u16>,
    /// What went over the wire.
    pub exchange: ContentDigest,
    /// What was out of the ordinary, whatever came of the attempt, for people to read. Empty:
    /// nothing.
    pub remark: String,
}

/// An attempt as the tables hold it: a line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The delivery that it belongs to.
    pub delivery_id: DeliveryId,
    /// What it was.
    pub details: AttemptDetails,
    /// What it meant.
    pub outcome: AttemptOutcome,
    /// What went wrong; empty on success.
    pub error: String,
    /// When the next automatic attempt was due, seen from the end of this one.
    pub next_attempt_time: Option<Timestamp>,
}

/// What went over the wire in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// As sent, in order.
    pub request_headers: Vec<(String, Vec<u8>)>,
    /// As received, in order.
    pub response_headers: Vec<(String, Vec<u8>)>,
    /// The first 16 KiB of the answer.
    pub response_body: Vec<u8>,
    /// The body that was sent, with secrets masked. None: the event's own.
    pub request_body: Option<Vec<u8>>,
}
