//! The limits on the entries of repeated fields in requests. The comments in `proto/` say the same, which
//! a test checks.

use keeptrusts_webhooks_domain::limits::{
    MAX_CHANNEL_ENDPOINTS, MAX_EVENT_TYPES, MAX_EVENTS_PER_BATCH, MAX_FILTER_VALUES,
    MAX_MASK_PATHS, MAX_RECIPIENTS, MAX_SUBSCRIPTIONS,
};

/// Message in `keeptrusts.webhooks.v1`, field and limit. The values of a google.protobuf.Struct are counted
/// together, see [`super::Examination::structure`].
pub(super) const LIMITS: &[(&str, &str, usize)] = &[
    ("Endpoint", "event_types", MAX_EVENT_TYPES),
    ("Replay", "event_types", MAX_EVENT_TYPES),
    ("BatchPublishEventsRequest", "requests", MAX_EVENTS_PER_BATCH),
    ("Channel", "subscriptions", MAX_SUBSCRIPTIONS),
    ("Channel", "endpoint_ids", MAX_CHANNEL_ENDPOINTS),
    ("EmailDestination", "recipients", MAX_RECIPIENTS),
    ("FieldMask", "paths", MAX_MASK_PATHS),
    ("ListEndpointsRequest", "states", MAX_FILTER_VALUES),
    ("ListDeliveriesRequest", "endpoint_ids", MAX_FILTER_VALUES),
    ("ListDeliveriesRequest", "event_types", MAX_FILTER_VALUES),
    ("ListDeliveriesRequest", "states", MAX_FILTER_VALUES),
    ("ListAttemptsRequest", "endpoint_ids", MAX_FILTER_VALUES),
    ("ListAttemptsRequest", "event_types", MAX_FILTER_VALUES),
    ("ListAttemptsRequest", "outcomes", MAX_FILTER_VALUES),
    ("ListEventsRequest", "event_types", MAX_FILTER_VALUES),
    ("WatchEventsRequest", "event_types", MAX_FILTER_VALUES),
    ("ListAuditEntriesRequest", "actions", MAX_FILTER_VALUES),
    ("ListAuditEntriesRequest", "endpoint_ids", MAX_FILTER_VALUES),
    ("ListKeysRequest", "states", MAX_FILTER_VALUES),
    ("ListNotificationsRequest", "channel_ids", MAX_FILTER_VALUES),
    ("ListNotificationsRequest", "states", MAX_FILTER_VALUES),
    ("ListReplaysRequest", "endpoint_ids", MAX_FILTER_VALUES),
    ("ListReplaysRequest", "states", MAX_FILTER_VALUES),
    ("WatchDeliveriesRequest", "endpoint_ids", MAX_FILTER_VALUES),
];

pub(super) fn of(message: &str, field: &str) -> Option<usize> {
    let name = message.rsplit('.').next().unwrap_or(message);
    let entry = LIMITS.iter().find(|(message, known, _)| (*message, *known) == (name, field));
    entry.map(|(_, _, limit)| *limit)
}
