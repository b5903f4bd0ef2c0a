//! Endpoints and event types in responses.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointStatus, StatusCause};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::payload_format::PayloadKind;

use crate::time::timestamp_to_proto;
use crate::v1;

impl From<&Endpoint> for v1::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let config = &endpoint.config;
        let names = config.event_types.iter().map(|event_type| event_type.name().to_owned());
        let previous_secret_expire_time =
            endpoint.previous_secret.as_ref().map(|secret| timestamp_to_proto(secret.expire_time));
        v1::Endpoint {
            id: endpoint.id.to_string(),
            organization_id: endpoint.organization_id.to_string(),
            name: config.name.clone(),
            url: config.url.clone(),
            description: config.description.clone(),
            event_types: names.collect(),
            status: v1::EndpointStatus::from(endpoint.status).into(),
            status_reason: endpoint.status_reason.clone(),
            etag: endpoint.etag(),
            create_time: Some(timestamp_to_proto(endpoint.create_time)),
            update_time: Some(timestamp_to_proto(endpoint.update_time)),
            previous_secret_expire_time,
            status_time: Some(timestamp_to_proto(endpoint.status_time)),
            status_cause: endpoint
                .status_cause
                .map_or(0, |cause| v1::EndpointStatusCause::from(cause).into()),
            status_delivery_id: endpoint
                .status_delivery
                .map(|id| id.to_string())
                .unwrap_or_default(),
            // These two are in tables of their own; the service adds them.
            failing_since_time: None,
            pause: None,
            payload_format: v1::PayloadFormat::from(config.payload_format.kind()).into(),
            payload_template: config.payload_format.template().unwrap_or_default().to_owned(),
            has_routing_key: config.payload_format.routing_key().is_some(),
        }
    }
}

impl v1::EndpointPause {
    /// A pause as it is shown at `now`. None: the pause is over.
    pub fn of(pause: &Pause, now: Timestamp) -> Option<Self> {
        // No longer than the receiver asked for, even if the clock has been set since.
        let end_time = now.checked_add(pause.remaining(now)?).unwrap_or(Timestamp::MAX);
        Some(v1::EndpointPause {
            start_time: Some(timestamp_to_proto(pause.start_time)),
            end_time: Some(timestamp_to_proto(end_time)),
            delivery_id: pause.delivery_id.to_string(),
            status_code: pause.status_code.into(),
        })
    }
}

impl From<StatusCause> for v1::EndpointStatusCause {
    fn from(cause: StatusCause) -> Self {
        match cause {
            StatusCause::Requested => v1::EndpointStatusCause::Requested,
            StatusCause::Exhausted => v1::EndpointStatusCause::Exhausted,
            StatusCause::Failing => v1::EndpointStatusCause::Failing,
            StatusCause::Gone => v1::EndpointStatusCause::Gone,
        }
    }
}

impl From<EndpointStatus> for v1::EndpointStatus {
    fn from(status: EndpointStatus) -> Self {
        match status {
            EndpointStatus::Active => v1::EndpointStatus::Active,
            EndpointStatus::Disabled => v1::EndpointStatus::Disabled,
            EndpointStatus::Degraded => v1::EndpointStatus::Degraded,
        }
    }
}

/// None: unspecified.
impl From<v1::EndpointStatus> for Option<EndpointStatus> {
    fn from(status: v1::EndpointStatus) -> Self {
        match status {
            v1::EndpointStatus::Unspecified => None,
            v1::EndpointStatus::Active => Some(EndpointStatus::Active),
            v1::EndpointStatus::Disabled => Some(EndpointStatus::Disabled),
            v1::EndpointStatus::Degraded => Some(EndpointStatus::Degraded),
        }
    }
}

impl From<PayloadKind> for v1::PayloadFormat {
    fn from(kind: PayloadKind) -> Self {
        match kind {
            PayloadKind::Keeptrusts => v1::PayloadFormat::Keeptrusts,
            PayloadKind::Slack => v1::PayloadFormat::Slack,
            PayloadKind::Teams => v1::PayloadFormat::Teams,
            PayloadKind::PagerDuty => v1::PayloadFormat::Pagerduty,
            PayloadKind::CloudEvents => v1::PayloadFormat::Cloudevents,
            PayloadKind::Custom => v1::PayloadFormat::Custom,
        }
    }
}

/// None: unspecified.
impl From<v1::PayloadFormat> for Option<PayloadKind> {
    fn from(format: v1::PayloadFormat) -> Self {
        match format {
            v1::PayloadFormat::Unspecified => None,
            v1::PayloadFormat::Keeptrusts => Some(PayloadKind::Keeptrusts),
            v1::PayloadFormat::Slack => Some(PayloadKind::Slack),
            v1::PayloadFormat::Teams => Some(PayloadKind::Teams),
            v1::PayloadFormat::Pagerduty => Some(PayloadKind::PagerDuty),
            v1::PayloadFormat::Cloudevents => Some(PayloadKind::CloudEvents),
            v1::PayloadFormat::Custom => Some(PayloadKind::Custom),
        }
    }
}

/// An event type without its sample, which the service adds.
impl From<EventType> for v1::EventType {
    fn from(event_type: EventType) -> Self {
        v1::EventType {
            name: event_type.name().to_owned(),
            category: event_type.category().to_owned(),
            description: event_type.description().to_owned(),
            sample_data_json: String::new(),
        }
    }
}
