//! How many entries the repeated fields of requests may have. The comments of `proto/` say the same,
//! and a test holds them to it.

use keeptrusts_webhooks_domain::limits::{
    MAX_CHANNEL_ENDPOINTS, MAX_EVENT_TYPES, MAX_EVENTS_PER_BATCH, MAX_MASK_PATHS, MAX_RECIPIENTS,
    MAX_SUBSCRIPTIONS,
};

/// By the message's name in `keeptrusts.webhooks.v1` and the field's. Those of
/// google.protobuf.Struct are counted together, see [`super::Examination::structure`].
pub(super) const LIMITS: &[(&str, &str, usize)] = &[
    ("CreateEndpointRequest", "event_types", MAX_EVENT_TYPES),
    ("Endpoint", "event_types", MAX_EVENT_TYPES),
    ("ReplayEventsRequest", "event_types", MAX_EVENT_TYPES),
    ("PublishEventsRequest", "events", MAX_EVENTS_PER_BATCH),
    ("Channel", "subscriptions", MAX_SUBSCRIPTIONS),
    ("Channel", "endpoint_ids", MAX_CHANNEL_ENDPOINTS),
    ("EmailDestination", "recipients", MAX_RECIPIENTS),
    ("FieldMask", "paths", MAX_MASK_PATHS),
];

pub(super) fn of(message: &str, field: &str) -> Option<usize> {
    let name = message.rsplit('.').next().unwrap_or(message);
    let found = LIMITS.iter().find(|(message, known, _)| (*message, *known) == (name, field));
    found.map(|(_, _, limit)| *limit)
}
