//! The three fields of a payload format, which are checked together.

use keeptrusts_webhooks_domain::payload_format::{
    PayloadFields, PayloadFormat, PayloadKind, PayloadPatch, RoutingKey,
};
use keeptrusts_webhooks_domain::violation::Violation;

use super::Violations;
use super::field_mask::{FieldReader, Mask};
use super::fields::optional_enum;
use crate::v1;

/// The format of a new endpoint. Unspecified: our own format.
pub(super) fn new_payload_format(
    format: i32,
    template: String,
    routing_key: String,
) -> Result<PayloadFormat<RoutingKey>, Vec<Violation>> {
    let routing_key = optional_routing_key("endpoint.routing_key", routing_key);
    match (kind("endpoint.payload_format", format), routing_key) {
        (Ok(kind), Ok(routing_key)) => PayloadPatch { kind, template: Some(template), routing_key }
            .resolve(&PayloadFormat::Keeptrusts, PayloadFields::IN_ENDPOINT),
        (kind, routing_key) => Err(kind.err().into_iter().chain(routing_key.err()).collect()),
    }
}

/// The format of a preview or of watched events, which needs no routing key.
pub(super) fn previewed_payload_format(
    format: i32,
    template: String,
) -> Result<PayloadFormat<()>, Vec<Violation>> {
    let kind = kind("payload_format", format).map_err(|violation| vec![violation])?;
    let routing_key = (kind == Some(PayloadKind::PagerDuty)).then_some(());
    PayloadPatch { kind, template: Some(template), routing_key }
        .resolve(&PayloadFormat::Keeptrusts, PayloadFields::TOP)
}

/// The change of the format in an update with this mask. None: nothing changes, or a field breaks its
/// rule, which is added to the violations.
pub(super) fn payload_patch(
    endpoint: &v1::Endpoint,
    mask: &Mask,
    violations: &mut Violations,
) -> Option<PayloadPatch<RoutingKey>> {
    let kind = violations.check(patched_kind(endpoint.payload_format, mask)).flatten();
    let routing_key = FieldReader::new(mask, "endpoint.", violations).read(
        "routing_key",
        &endpoint.routing_key,
        |field, text| {
            let missing = || Violation::required(field, "is required when update_mask names it");
            optional_routing_key(field, text)?.ok_or_else(missing)
        },
    );
    let template = &endpoint.payload_template;
    // An empty template under `*` does not remove the template of an endpoint.
    let is_kept = template.is_empty() && mask.includes(KIND, false) && !mask.names(KIND);
    let is_meant = mask.includes("payload_template", template.is_empty()) && !is_kept;
    let template = is_meant.then(|| template.clone());
    let patch = PayloadPatch { kind, template, routing_key };
    (patch != PayloadPatch::default()).then_some(patch)
}

const KIND: &str = "payload_format";

/// The kind in an update. A mask that names the field needs a value; `*` or no mask takes a value that
/// is given.
fn patched_kind(format: i32, mask: &Mask) -> Result<Option<PayloadKind>, Violation> {
    let field = "endpoint.payload_format";
    match kind(field, format)? {
        None if mask.names(KIND) => {
            Err(Violation::required(field, "is required when update_mask names it"))
        }
        kind => Ok(kind.filter(|_| mask.includes(KIND, false))),
    }
}

/// The kind of a format; None: unspecified.
fn kind(field: &str, format: i32) -> Result<Option<PayloadKind>, Violation> {
    optional_enum::<v1::PayloadFormat, PayloadKind>(field, format)
}

/// A routing key; empty: none is given.
fn optional_routing_key(field: &str, text: String) -> Result<Option<RoutingKey>, Violation> {
    if text.is_empty() { Ok(None) } else { RoutingKey::new(field, text).map(Some) }
}
