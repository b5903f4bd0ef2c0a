//! The resource attributes of the process, for traces and metrics.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::environment::{is_set, variable};

/// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence over our own values.
pub(crate) fn resource(name: &'static str) -> Resource {
    let given = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let resource = Resource::builder();
    let resource = match is_set("OTEL_SERVICE_NAME") || names(&given, "service.name") {
        true => resource,
        false => resource.with_service_name(name),
    };
    let resource = match names(&given, "service.instance.id") {
        true => resource,
        false => resource.with_attribute(KeyValue::new("service.instance.id", instance_id())),
    };
    let version = KeyValue::new("service.version", keeptrusts_webhooks_domain::VERSION);
    resource.with_attribute(version).build()
}

/// Whether a list such as `key=value,other=value` gives this key a value.
fn names(attributes: &str, key: &str) -> bool {
    let keys = attributes.split(',').filter_map(|attribute| attribute.split_once('='));
    keys.into_iter().any(|(other, _)| other.trim() == key)
}

/// A random UUID (version 4), as the semantic conventions demand. Nothing else distinguishes two
/// processes of one service on one host.
fn instance_id() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    // RFC 9562 section 5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_by_its_whole_key() {
        let given = "region=eu, service.instance.id=pod-7,my.service.name=x";
        assert!(names(given, "service.instance.id") && names(given, "region"));
        assert!(!names(given, "service.name") && !names("", "region"));
    }

    #[test]
    fn an_instance_id_is_a_random_uuid() {
        let id = instance_id();
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'4');
        assert!("89ab".contains(char::from(id.as_bytes()[19])), "{id}");
        assert_ne!(id, instance_id());
    }
}
