//! Requests and responses of the API, as messages and as the domain's types.

mod answers;
mod dispatch_requests;
mod endpoint_requests;
mod ingest_requests;
mod notification_requests;
mod payload_formats;
mod update_masks;
mod violations;

use keeptrusts_webhooks_contracts::api::Violations;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
use ulid::Ulid;

/// The paths of the invalid fields, in order.
fn wrong_fields<T: std::fmt::Debug>(checked: Result<T, Violations>) -> Vec<String> {
    let violations = checked.expect_err("something is wrong").into_vec();
    violations.into_iter().map(|violation| violation.field).collect()
}

fn time() -> Timestamp {
    "2026-04-23T10:30:00.123456Z".parse().expect("a timestamp")
}

/// [`time`] in protobuf.
fn proto_time() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: 1_776_940_200, nanos: 123_456_000 }
}

fn endpoint_id() -> EndpointId {
    EndpointId::new(Ulid(1))
}

fn event_id() -> EventId {
    EventId::new(Ulid(2))
}

fn delivery_id() -> DeliveryId {
    DeliveryId::new(Ulid(3))
}
