//! An endpoint's state (active, degraded or disabled) and its causes; and its effective state, which
//! follows from that and from the failures of the moment.
//!
//! Decision: docs/decisions/effective-states-are-computed-when-read.md

use std::time::Duration;

use crate::Timestamp;
use crate::ids::DeliveryId;
use crate::named_enum::named_enum;
use crate::plural::pluralize;

/// How long nothing but failures makes an active endpoint a failing one, from the beginning of the first
/// failed attempt.
pub const FAILING_AFTER: Duration = Duration::from_secs(2 * 60);
/// How many failed attempts in a row do so at once.
pub const FAILING_AFTER_FAILURES: u64 = 3;

named_enum! {
    /// Whether deliveries are made, and whether they succeed, as facts have said.
    pub enum EndpointState {
        /// Deliveries are made.
        Active = "active",
        /// Nothing is sent.
        Disabled = "disabled",
        /// Deliveries are made, but one has failed for good and none has succeeded since.
        Degraded = "degraded",
    }
}

/// An endpoint's state as users see it. It is no fact: time alone can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectiveEndpointState {
    /// Deliveries are made.
    Active,
    /// Active, but its attempts only fail: see [`FailureStreak::is_failing`].
    Failing,
    /// [`EndpointState::Degraded`].
    Degraded,
    /// [`EndpointState::Disabled`].
    Disabled,
}

impl EndpointState {
    /// The state that users see. `is_failing`: whether its attempts only fail. That an endpoint is
    /// degraded or disabled says more.
    pub fn effective(self, is_failing: bool) -> EffectiveEndpointState {
        match self {
            EndpointState::Active if is_failing => EffectiveEndpointState::Failing,
            EndpointState::Active => EffectiveEndpointState::Active,
            EndpointState::Degraded => EffectiveEndpointState::Degraded,
            EndpointState::Disabled => EffectiveEndpointState::Disabled,
        }
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
    /// How many there are so far, at least 1.
    pub failures: u64,
}

impl FailureStreak {
    /// A streak that begins with an attempt.
    pub fn begin(since: Timestamp, delivery_id: DeliveryId) -> FailureStreak {
        FailureStreak { since, delivery_id, failures: 1 }
    }

    /// The streak with the attempts of another one, which began later.
    pub fn followed_by(self, later: FailureStreak) -> FailureStreak {
        FailureStreak { failures: self.failures.saturating_add(later.failures), ..self }
    }

    /// Whether it has lasted so long, or has so many failures, that users hear of it.
    pub fn is_failing(&self, now: Timestamp) -> bool {
        let lasted = Duration::try_from(now.duration_since(self.since)).unwrap_or(Duration::ZERO);
        lasted >= FAILING_AFTER || self.failures >= FAILING_AFTER_FAILURES
    }

    /// Why the endpoint is failing, for people to read.
    pub fn reason(&self) -> String {
        let failures = pluralize(self.failures, "failed attempt", "failed attempts");
        let (since, delivery) = (self.since.strftime("%Y-%m-%dT%H:%M:%SZ"), self.delivery_id);
        format!(
            "nothing but failures since {since}: {failures} so far; delivery {delivery} was the first to fail"
        )
    }
}

#[cfg(test)]
#[path = "endpoint_state_tests.rs"]
mod tests;
