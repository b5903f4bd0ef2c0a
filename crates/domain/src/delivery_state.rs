//! The states of a delivery.

use crate::named_enum::named_enum;

named_enum! {
    /// The progress of a delivery.
    pub enum DeliveryState {
        /// Its first attempt has not ended yet.
        Scheduled = "scheduled",
        /// An attempt failed, and another one is due.
        Retrying = "retrying",
        /// The receiver answered 2xx.
        Delivered = "delivered",
        /// Every attempt of the schedule failed, or the event's body is no longer kept.
        Failed = "failed",
        /// Ended without success: a user cancelled it, or its endpoint was deleted.
        Cancelled = "cancelled",
    }
}

impl DeliveryState {
    /// Whether no automatic attempt will follow.
    pub fn has_ended(self) -> bool {
        !matches!(self, DeliveryState::Scheduled | DeliveryState::Retrying)
    }
}
