//! The attributes of spans about an event, by OpenTelemetry's semantic conventions for messaging. The
//! same in every process.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use opentelemetry::KeyValue;

use crate::metrics::SCOPE;

pub fn event_attributes(
    event_id: impl Into<String>,
    event_type: EventType,
    organization: &OrganizationId,
) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", SCOPE),
        KeyValue::new("messaging.destination.name", event_type.name()),
        KeyValue::new("messaging.message.id", event_id.into()),
        KeyValue::new("keeptrusts.organization.id", organization.to_string()),
    ]
}
