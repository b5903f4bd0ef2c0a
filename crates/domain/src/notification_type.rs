//! The types of notifications.

use std::fmt;

use crate::named_enum::named_enum;

named_enum! {
    /// What a notification tells of.
    pub enum NotificationType {
        /// Deliveries of an endpoint ran out of attempts. One message per endpoint and hour at most.
        DeliveryExhausted = "delivery_exhausted",
        /// An endpoint became degraded.
        EndpointDegraded = "endpoint_degraded",
        /// A degraded endpoint is active again.
        EndpointRecovered = "endpoint_recovered",
        /// An endpoint was disabled, and not by a person.
        EndpointDisabled = "endpoint_disabled",
        /// How a week went.
        WeeklySummary = "weekly_summary",
        /// Somebody wants to see whether the channel works. Cannot be subscribed to.
        Test = "test",
        /// The trouble of an endpoint is over, told to a service that has an incident open. Cannot be
        /// subscribed to.
        IncidentResolved = "incident_resolved",
    }
}

impl fmt::Display for NotificationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl NotificationType {
    /// Whether it can be subscribed to.
    pub const fn can_be_subscribed_to(self) -> bool {
        !matches!(self, NotificationType::Test | NotificationType::IncidentResolved)
    }

    /// Whether it tells of trouble of an endpoint: a service that keeps incidents opens one.
    pub const fn opens_incident(self) -> bool {
        matches!(
            self,
            NotificationType::DeliveryExhausted
                | NotificationType::EndpointDegraded
                | NotificationType::EndpointDisabled
        )
    }
}
