//! Reasons to notify channels, as records of the log give them. Pure.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_store::Record;

/// Something that channels may be notified of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotificationCause {
    pub(crate) organization_id: OrganizationId,
    /// The notification for channels that subscribe to it. None: there is no such notification.
    pub(crate) notification_type: Option<NotificationType>,
    /// Whether the endpoint's trouble is over. Services that keep incidents are told so, whatever
    /// their channels subscribe to.
    pub(crate) ends_trouble: bool,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) delivery_id: Option<DeliveryId>,
    /// For people to read; may be empty.
    pub(crate) reason: String,
    /// Of the record.
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
}

impl NotificationCause {
    /// The cause that a record gives, if any.
    pub(crate) fn of(record: &Record) -> Option<NotificationCause> {
        let (endpoint_id, details) = match (&record.fact, record.stream) {
            (Fact::Delivery(fact), Stream::Delivery(id)) if fact.is_exhaustion() => {
                let (endpoint_id, reason) = match fact {
                    DeliveryFact::AttemptFailed { details, error, .. } => {
                        (details.endpoint_id, error)
                    }
                    DeliveryFact::Expired { endpoint_id, reason, .. } => (*endpoint_id, reason),
                    _ => return None,
                };
                (
                    endpoint_id,
                    CauseDetails::trouble(NotificationType::DeliveryExhausted, id, reason),
                )
            }
            (Fact::Endpoint(fact), Stream::Endpoint(id)) => (id, of_endpoint(fact)?),
            _ => return None,
        };
        let CauseDetails { notification_type, ends_trouble, delivery_id, reason } = details;
        Some(NotificationCause {
            organization_id: record.organization_id.clone(),
            notification_type,
            ends_trouble,
            endpoint_id,
            delivery_id,
            reason,
            position: record.position,
            time: record.recorded_at,
        })
    }
}

/// The part of a cause that depends on the record's fact.
struct CauseDetails {
    notification_type: Option<NotificationType>,
    ends_trouble: bool,
    delivery_id: Option<DeliveryId>,
    reason: String,
}

impl CauseDetails {
    fn trouble(kind: NotificationType, delivery_id: DeliveryId, reason: &str) -> CauseDetails {
        CauseDetails {
            notification_type: Some(kind),
            ends_trouble: false,
            delivery_id: Some(delivery_id),
            reason: reason.to_owned(),
        }
    }

    /// Somebody has acted on it, and need not be notified.
    fn end(reason: &str) -> CauseDetails {
        CauseDetails {
            notification_type: None,
            ends_trouble: true,
            delivery_id: None,
            reason: reason.to_owned(),
        }
    }
}

fn of_endpoint(fact: &EndpointFact) -> Option<CauseDetails> {
    Some(match fact {
        EndpointFact::Degraded { delivery_id, reason } => {
            CauseDetails::trouble(NotificationType::EndpointDegraded, *delivery_id, reason)
        }
        EndpointFact::Recovered { delivery_id } => CauseDetails {
            notification_type: Some(NotificationType::EndpointRecovered),
            delivery_id: Some(*delivery_id),
            ..CauseDetails::end("a delivery has succeeded")
        },
        EndpointFact::Disabled { reason, cause } => match cause {
            DisableCause::FailedTooLong { delivery_id, .. }
            | DisableCause::Gone { delivery_id } => {
                CauseDetails::trouble(NotificationType::EndpointDisabled, *delivery_id, reason)
            }
            // Somebody wants that nothing is sent to it.
            DisableCause::Requested => CauseDetails::end("the endpoint was disabled by hand"),
        },
        EndpointFact::Enabled => CauseDetails::end("the endpoint was enabled"),
        EndpointFact::Deleted => CauseDetails::end("the endpoint was deleted"),
        EndpointFact::Created { .. }
        | EndpointFact::Updated { .. }
        | EndpointFact::SecretRotated { .. }
        | EndpointFact::SecretRevealed => return None,
    })
}
