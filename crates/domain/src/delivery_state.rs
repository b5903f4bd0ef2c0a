//! The states of a delivery.

use crate::named_enum::named_enum;

named_enum! {
    /// How far a delivery has come.
    pub enum DeliveryState {
        /// Its first attempt has not ended yet.
        Scheduled = "scheduled",
        /// An attempt failed, and another one is due.
        Retrying = "retrying",
        /// Answered 2xx.
        Delivered = "delivered",
        /// Every attempt of the schedule failed, or there is nothing to send any more.
        Failed = "failed",
        /// Ended without success, by an operator or with its endpoint.
        Cancelled = "cancelled",
    }
}

impl DeliveryState {
    /// Whether no automatic attempt will follow.
    pub fn has_ended(self) -> bool {
        !matches!(self, DeliveryState::Scheduled | DeliveryState::Retrying)
    }
}
