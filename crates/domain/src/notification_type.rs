//! The types of notifications.

use std::fmt;

use crate::named_enum::named_enum;

named_enum! {
    /// What a notification is about.
    pub enum NotificationType {
        /// Deliveries of an endpoint ran out of attempts. At most one message per endpoint and hour.
        DeliveryExhausted = "delivery_exhausted",
        /// An endpoint became degraded.
        EndpointDegraded = "endpoint_degraded",
        /// A degraded endpoint is active again.
        EndpointRecovered = "endpoint_recovered",
        /// An endpoint was disabled without a user's request.
        EndpointDisabled = "endpoint_disabled",
        /// The health summary of a week.
        WeeklySummary = "weekly_summary",
        /// A test of the channel, on request. Cannot be subscribed to.
        Test = "test",
        /// The problem of an endpoint is over; this closes the incident at a service that keeps one.
        /// Cannot be subscribed to.
        IncidentResolved = "incident_resolved",
    }
}

impl fmt::Display for NotificationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl NotificationType {
    /// Whether channels can subscribe to it.
    pub const fn can_be_subscribed_to(self) -> bool {
        !matches!(self, NotificationType::Test | NotificationType::IncidentResolved)
    }

    /// Whether it is about a problem of an endpoint, so that a service that keeps incidents opens one.
    pub const fn opens_incident(self) -> bool {
        matches!(
            self,
            NotificationType::DeliveryExhausted
                | NotificationType::EndpointDegraded
                | NotificationType::EndpointDisabled
        )
    }
}
