//! How an endpoint is doing: what degrades it, what disables it without anybody having asked.

use crate::Timestamp;
use crate::ids::DeliveryId;

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

/// Why an endpoint's status is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusCause {
    /// Somebody disabled it.
    Requested,
    /// A delivery failed for good.
    Exhausted,
    /// Nothing but failures for too long: it was disabled.
    Failing,
    /// The receiver answered 410 Gone: it was disabled.
    Gone,
}

/// An endpoint whose attempts have all failed lately. Tests that fail do not count; whatever
/// succeeds ends it, and so does enabling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// When the first of those attempts began.
    pub since: Timestamp,
    /// Whose attempt that was.
    pub delivery_id: DeliveryId,
}
