//! An endpoint's status: active, degraded or disabled, and what caused it.

use crate::Timestamp;
use crate::ids::DeliveryId;
use crate::named_enum::named_enum;

named_enum! {
    /// Whether deliveries are made, and whether they have lately been succeeding.
    pub enum EndpointStatus {
        /// Deliveries are made.
        Active = "active",
        /// Nothing is sent.
        Disabled = "disabled",
        /// Deliveries are made; the last one to end failed for good.
        Degraded = "degraded",
    }
}

/// What an endpoint was disabled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableCause {
    /// Somebody asked for it.
    Requested,
    /// Nothing but failures, for longer than is put up with.
    Failing {
        /// Whose attempt was the last.
        delivery_id: DeliveryId,
        /// When the first of those attempts began.
        since: Timestamp,
    },
    /// The receiver answered 410 Gone: it wants no more (RFC 9110 section 15.5.11).
    Gone {
        /// To which delivery.
        delivery_id: DeliveryId,
    },
}

impl DisableCause {
    /// Whether nobody asked for it.
    pub fn is_automatic(self) -> bool {
        self != DisableCause::Requested
    }
}

named_enum! {
    /// Why an endpoint's status is not active.
    pub enum StatusCause {
        /// Somebody disabled it.
        Requested = "requested",
        /// A delivery failed for good.
        Exhausted = "exhausted",
        /// Nothing but failures for too long: it was disabled.
        Failing = "failing",
        /// The receiver answered 410 Gone: it was disabled.
        Gone = "gone",
    }
}

/// An endpoint whose attempts have all failed lately. Tests that fail do not count; whatever
/// succeeds ends it, and so does enabling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureStreak {
    /// When the first of those attempts began.
    pub since: Timestamp,
    /// Whose attempt that was.
    pub delivery_id: DeliveryId,
}
