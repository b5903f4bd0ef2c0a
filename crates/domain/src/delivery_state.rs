//! The states of a delivery; and its effective state, which follows from that and from its endpoint's.
//!
//! Decision: docs/decisions/effective-states-are-computed-when-read.md

use crate::named_enum::named_enum;

named_enum! {
    /// The progress of a delivery, as facts have said.
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

/// A delivery's state as users see it. It is no fact of the delivery: its endpoint's state is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectiveDeliveryState {
    /// [`DeliveryState::Scheduled`], and its endpoint is not disabled.
    Scheduled,
    /// [`DeliveryState::Retrying`], and its endpoint is not disabled.
    Retrying,
    /// It waits until its endpoint is enabled.
    Paused,
    /// [`DeliveryState::Delivered`].
    Delivered,
    /// [`DeliveryState::Failed`].
    Failed,
    /// [`DeliveryState::Cancelled`].
    Cancelled,
}

impl DeliveryState {
    /// The state that users see. The deliveries of a deleted endpoint are not paused: they are about to
    /// be cancelled.
    pub fn effective(self, is_endpoint_disabled: bool) -> EffectiveDeliveryState {
        match self {
            DeliveryState::Scheduled | DeliveryState::Retrying if is_endpoint_disabled => {
                EffectiveDeliveryState::Paused
            }
            DeliveryState::Scheduled => EffectiveDeliveryState::Scheduled,
            DeliveryState::Retrying => EffectiveDeliveryState::Retrying,
            DeliveryState::Delivered => EffectiveDeliveryState::Delivered,
            DeliveryState::Failed => EffectiveDeliveryState::Failed,
            DeliveryState::Cancelled => EffectiveDeliveryState::Cancelled,
        }
    }

    /// Whether no automatic attempt will follow.
    pub fn has_ended(self) -> bool {
        self.effective(false).has_ended()
    }
}

impl EffectiveDeliveryState {
    /// Whether no automatic attempt will follow. Such a state does not depend on the endpoint's.
    pub fn has_ended(self) -> bool {
        match self {
            EffectiveDeliveryState::Scheduled
            | EffectiveDeliveryState::Retrying
            | EffectiveDeliveryState::Paused => false,
            EffectiveDeliveryState::Delivered
            | EffectiveDeliveryState::Failed
            | EffectiveDeliveryState::Cancelled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_at_a_disabled_endpoint_is_paused_and_nothing_else() {
        use EffectiveDeliveryState::{Cancelled, Delivered, Failed, Paused, Retrying, Scheduled};
        let shown = |is_disabled| {
            DeliveryState::ALL.iter().map(|state| state.effective(is_disabled)).collect::<Vec<_>>()
        };
        assert_eq!(shown(false), [Scheduled, Retrying, Delivered, Failed, Cancelled]);
        assert_eq!(shown(true), [Paused, Paused, Delivered, Failed, Cancelled]);
        for state in DeliveryState::ALL {
            assert_eq!(state.effective(true) == Paused, !state.has_ended(), "{state:?}");
        }
    }
}
