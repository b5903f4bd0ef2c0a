//! What channels may hear of, as the log tells it. Pure.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_store::Record;

/// Something that channels may hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) organization_id: OrganizationId,
    pub(crate) notification_type: NotificationType,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) delivery_id: Option<DeliveryId>,
    /// For people to read; may be empty.
    pub(crate) reason: String,
    /// Where it is recorded.
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
}

impl Happening {
    /// What a record tells of, if channels may hear of it.
    pub(crate) fn of(record: &Record) -> Option<Happening> {
        let (notification_type, endpoint_id, delivery_id, reason) =
            match (&record.fact, record.stream) {
                (Fact::Delivery(fact), Stream::Delivery(id)) if fact.is_exhaustion() => {
                    let (endpoint_id, reason) = match fact {
                        DeliveryFact::AttemptFailed { made, error, .. } => {
                            (made.endpoint_id, error)
                        }
                        DeliveryFact::Expired { endpoint_id, reason, .. } => (*endpoint_id, reason),
                        _ => return None,
                    };
                    let kind = NotificationType::DeliveryExhausted;
                    (kind, endpoint_id, Some(id), reason.clone())
                }
                (Fact::Endpoint(fact), Stream::Endpoint(id)) => {
                    let (kind, delivery_id, reason) = of_endpoint(fact)?;
                    (kind, id, delivery_id, reason)
                }
                _ => return None,
            };
        Some(Happening {
            organization_id: record.organization_id.clone(),
            notification_type,
            endpoint_id,
            delivery_id,
            reason,
            position: record.position,
            time: record.recorded_at,
        })
    }
}

fn of_endpoint(fact: &EndpointFact) -> Option<(NotificationType, Option<DeliveryId>, String)> {
    use keeptrusts_webhooks_domain::health::DisableCause;
    Some(match fact {
        EndpointFact::Degraded { delivery_id, reason } => {
            (NotificationType::EndpointDegraded, Some(*delivery_id), reason.clone())
        }
        EndpointFact::Recovered { delivery_id } => {
            (NotificationType::EndpointRecovered, Some(*delivery_id), String::new())
        }
        // Whoever disables an endpoint need not be told.
        EndpointFact::Disabled { reason, cause } => {
            let delivery_id = match cause {
                DisableCause::Requested => return None,
                DisableCause::Failing { delivery_id, .. } | DisableCause::Gone { delivery_id } => {
                    *delivery_id
                }
            };
            (NotificationType::EndpointDisabled, Some(delivery_id), reason.clone())
        }
        _ => return None,
    })
}
