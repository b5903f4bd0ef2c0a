//! Whether a notification that has waited is still worth sending. Pure.

use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState, StateCause};
use keeptrusts_webhooks_domain::incident::{Incident, IncidentAction};
use keeptrusts_webhooks_domain::notification::{Notification, NotificationType};

/// Why a notification is withdrawn. None: it is sent.
///
/// `incident` is the endpoint's incident at the channel's service, if the service may have it open;
/// `endpoint` is its state as of the last record that was read, if it is known.
pub(crate) fn withdrawn_because(
    notification: &Notification,
    incident: Option<&Incident>,
    endpoint: Option<&Endpoint>,
) -> Option<&'static str> {
    let cause = notification.cause;
    match &notification.new.incident {
        // Compares positions of the log only: the records of trouble and of its end have one order,
        // and the end is always sent after this.
        Some(IncidentAction::Open) => (!incident
            .is_some_and(|known| known.may_be_opened_by(cause)))
        .then_some("it was over before it could be told"),
        Some(IncidentAction::Close) => match incident {
            None => Some("the service has no incident open"),
            Some(known) => (!known.may_be_closed_by(cause)).then_some("there is new trouble"),
        },
        Some(IncidentAction::CloseAt(_)) => None,
        None => of_endpoint(notification.new.notification_type, endpoint?),
    }
}

fn of_endpoint(kind: NotificationType, endpoint: &Endpoint) -> Option<&'static str> {
    let was_deleted = endpoint.delete_time.is_some();
    let disabled_by_hand = endpoint.state_cause == Some(StateCause::Requested);
    let is_true = match kind {
        // The others describe the endpoint's current state; lost deliveries are worth knowing in
        // any case.
        NotificationType::DeliveryExhausted => true,
        NotificationType::EndpointDegraded => endpoint.state == EndpointState::Degraded,
        NotificationType::EndpointDisabled => {
            endpoint.state == EndpointState::Disabled && !disabled_by_hand
        }
        NotificationType::EndpointRecovered => endpoint.state == EndpointState::Active,
        NotificationType::WeeklySummary
        | NotificationType::Test
        | NotificationType::IncidentResolved => return None,
    };
    match (was_deleted, is_true) {
        (true, _) => Some("the endpoint was deleted"),
        (false, true) => None,
        (false, false) => Some(match (endpoint.state, disabled_by_hand) {
            (EndpointState::Active, _) => "the endpoint is active again",
            (EndpointState::Degraded, _) => "the endpoint is degraded again",
            (EndpointState::Disabled, true) => "the endpoint was disabled by hand",
            (EndpointState::Disabled, false) => "the endpoint was disabled automatically",
        }),
    }
}

/// Whether the endpoint's owners have stopped it: disabled by hand, or deleted.
pub(crate) fn is_stopped_by_hand(endpoint: &Endpoint) -> bool {
    endpoint.delete_time.is_some() || endpoint.state_cause == Some(StateCause::Requested)
}
