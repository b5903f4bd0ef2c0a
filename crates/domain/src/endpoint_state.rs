//! An endpoint's state (active, degraded or disabled) and its causes.

use crate::Timestamp;
use crate::ids::DeliveryId;
use crate::named_enum::named_enum;

named_enum! {
    /// Whether deliveries are made, and whether they succeed.
    pub enum EndpointState {
        /// Deliveries are made.
        Active = "active",
        /// Nothing is sent.
        Disabled = "disabled",
        /// Deliveries are made, but one has failed for good and none has succeeded since.
        Degraded = "degraded",
    }
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableCause {
    /// A user requested it.
    Requested,
    /// Every attempt has failed, for longer than is tolerated.
    FailedTooLong {
        /// The delivery of the last failed attempt.
        delivery_id: DeliveryId,
        /// When the first of those attempts began.
        since: Timestamp,
    },
    /// The receiver answered 410 Gone: it wants no more (RFC 9110 section 15.5.11).
    Gone {
        /// The delivery that was answered.
        delivery_id: DeliveryId,
    },
}

impl DisableCause {
    /// Whether it was disabled without a user's request.
    pub fn is_automatic(self) -> bool {
        self != DisableCause::Requested
    }
}

named_enum! {
    /// Why an endpoint's state is not active.
    pub enum StateCause {
        /// A user disabled it.
        Requested = "requested",
        /// A delivery failed for good.
        Exhausted = "exhausted",
        /// Every attempt failed for too long, which disabled it.
        FailedTooLong = "failed_too_long",
        /// The receiver answered 410 Gone, which disabled it.
        Gone = "gone",
    }
}

/// A run of failed attempts of an endpoint. Failed tests do not count. Any success ends the streak,
/// and so does enabling the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureStreak {
    /// When the first of those attempts began.
    pub since: Timestamp,
    /// The delivery of that attempt.
    pub delivery_id: DeliveryId,
}
