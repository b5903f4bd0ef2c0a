//! The three fields of a payload format, which are judged together.

use keeptrusts_webhooks_domain::payload_format::{
    PayloadChange, PayloadFields, PayloadFormat, PayloadKind, RoutingKey,
};
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::optional_enum;
use crate::v1;

/// A format of which all is given; unspecified: our own.
pub(super) fn new_payload_format(
    format: i32,
    template: String,
    routing_key: String,
) -> Result<PayloadFormat<RoutingKey>, Vec<Violation>> {
    match (kind("payload_format", format), optional_routing_key(routing_key)) {
        (Ok(kind), Ok(routing_key)) => {
            PayloadChange { kind, template: Some(template), routing_key }
                .resolve(&PayloadFormat::Keeptrusts, PayloadFields::TOP)
        }
        (kind, routing_key) => Err(kind.err().into_iter().chain(routing_key.err()).collect()),
    }
}

/// The same for a preview, which needs no key.
pub(super) fn previewed_payload_format(
    format: i32,
    template: String,
) -> Result<PayloadFormat<()>, Vec<Violation>> {
    let kind = kind("payload_format", format).map_err(|violation| vec![violation])?;
    let routing_key = (kind == Some(PayloadKind::PagerDuty)).then_some(());
    PayloadChange { kind, template: Some(template), routing_key }
        .resolve(&PayloadFormat::Keeptrusts, PayloadFields::TOP)
}

/// A form; None: unspecified.
pub(super) fn kind(field: &str, format: i32) -> Result<Option<PayloadKind>, Violation> {
    optional_enum::<v1::PayloadFormat, PayloadKind>(field, format)
}

/// A routing key; empty: none was given.
pub(super) fn optional_routing_key(text: String) -> Result<Option<RoutingKey>, Violation> {
    if text.is_empty() { Ok(None) } else { RoutingKey::new("routing_key", text).map(Some) }
}
