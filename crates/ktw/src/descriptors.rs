//! What the API's descriptors say: messages as JSON and back, and the names of enum values.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, EnumDescriptor, FieldDescriptor,
    MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

/// The package of every message and enum.
const PACKAGE: &str = "keeptrusts.webhooks.v1";

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the build has written the descriptors")
});

/// A text that is not the JSON of a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not JSON, a field that does not exist, or a value of another type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It cannot be: a dynamic message is encoded as the static one is.
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
}

/// A message as JSON, with the names of the API and with fields that have their default, but without
/// credentials that are absent: no response has them. Integers are numbers, also those of 64 bits: none
/// of ours is beyond 2^53.
pub(crate) fn to_json(name: &str, message: &impl Message) -> Value {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let descriptor = descriptor(name);
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor.clone(), bytes.as_slice());
    let json = dynamic.ok().and_then(|dynamic| {
        dynamic.serialize_with_options(serde_json::value::Serializer, &options).ok()
    });
    let mut json = json.unwrap_or_default();
    drop_absent_credentials(&descriptor, &mut json);
    json
}

fn drop_absent_credentials(descriptor: &MessageDescriptor, json: &mut Value) {
    let Some(fields) = json.as_object_mut() else { return };
    for field in descriptor.fields() {
        let is_absent = fields.get(field.name()).is_some_and(|value| value == "");
        if is_absent && is_credential(&field) {
            fields.remove(field.name());
        }
        let nested = field.kind().as_message().cloned();
        match (nested, fields.get_mut(field.name())) {
            (Some(nested), Some(Value::Array(items))) => {
                items.iter_mut().for_each(|item| drop_absent_credentials(&nested, item));
            }
            (Some(nested), Some(item)) => drop_absent_credentials(&nested, item),
            _ => {}
        }
    }
}

fn is_credential(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let option = options.get_field_by_name("debug_redact");
    option.is_some_and(|option| option.as_bool() == Some(true))
}

/// Reads a message from JSON (protobuf's JSON mapping; names as in the API or in lowerCamelCase). A
/// field that does not exist is an error.
pub(crate) fn from_json<M: Message + Default>(name: &str, json: &Value) -> Result<M, Malformed> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(name), json, &options)?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

/// The fields that this JSON gives and that an update may name in its mask: what `get` has printed may
/// be applied.
pub(crate) fn settable_fields(name: &str, json: &Value) -> Vec<String> {
    let descriptor = descriptor(name);
    let given = json.as_object().into_iter().flatten().filter_map(|(given, _)| {
        let field = descriptor.get_field_by_name(given);
        field.or_else(|| descriptor.get_field_by_json_name(given))
    });
    let settable = given.filter(|field| !is_set_by_server(field));
    settable.map(|field| field.name().to_owned()).collect()
}

/// google.api.FieldBehavior.OUTPUT_ONLY and IDENTIFIER.
const SET_BY_SERVER: [i32; 2] = [3, 8];

fn is_set_by_server(field: &FieldDescriptor) -> bool {
    let Some(behavior) = POOL.get_extension_by_name("google.api.field_behavior") else {
        return false;
    };
    let options = field.options();
    let behaviors = options.get_extension(&behavior);
    let mut numbers = behaviors.as_list().into_iter().flatten();
    numbers.any(|number| number.as_enum_number().is_some_and(|it| SET_BY_SERVER.contains(&it)))
}

/// The values of an enum, as they are typed and shown: without the common prefix, in lower case, `-`
/// for `_`. Without the zero value, which says that none is given.
pub(crate) fn enum_values(name: &str) -> Vec<(String, i32)> {
    let descriptor = enum_descriptor(name);
    let values = descriptor.values().filter(|value| value.number() != 0);
    values.map(|value| (short(&descriptor, value.name()), value.number())).collect()
}

/// How a value is shown: `ACTIVE` of `STATE_ACTIVE` as `active`. A value that this program does not know
/// is its number.
pub(crate) fn shown_enum(name: &str, number: i32) -> String {
    let descriptor = enum_descriptor(name);
    let value = descriptor.get_value(number);
    value.map_or_else(|| number.to_string(), |value| short(&descriptor, value.name()))
}

fn short(descriptor: &EnumDescriptor, value: &str) -> String {
    let zero = descriptor.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    value.strip_prefix(prefix).unwrap_or(value).to_lowercase().replace('_', "-")
}

/// The short form of each value of the API's enums, by its name in the API. Two enums may have a value of
/// the same name; its short form is the same.
pub(crate) fn short_values() -> &'static BTreeMap<String, String> {
    static VALUES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let enums = POOL.all_enums().filter(|it| it.package_name() == PACKAGE);
        let values = enums.flat_map(|of| {
            let values: Vec<_> = of.values().map(|value| value.name().to_owned()).collect();
            values.into_iter().map(move |name| (name.clone(), short(&of, &name)))
        });
        values.collect()
    });
    &VALUES
}

/// The short form of a value that JSON has, of the enum of a field. None: it is no enum.
pub(crate) fn shorten(message: &str, path: &str, value: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let field = message_at(message, parent)?.get_field_by_name(name)?;
    field.kind().as_enum().map(|of| short(of, value))
}

/// The fields of the message at a path, in the order of the API. The empty path is the message itself.
pub(crate) fn fields(message: &str, path: &str) -> Vec<String> {
    let Some(descriptor) = message_at(message, path) else { return Vec::new() };
    let mut fields: Vec<_> = descriptor.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    fields.into_iter().map(|field| field.name().to_owned()).collect()
}

fn message_at(message: &str, path: &str) -> Option<MessageDescriptor> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    // What is no message of the API has no fields that are known here.
    let message = POOL.get_message_by_name(&format!("{PACKAGE}.{message}"))?;
    names.try_fold(message, |parent, name| {
        parent.get_field_by_name(name)?.kind().as_message().cloned()
    })
}

/// Whether a message of the API has a field of this name.
#[cfg(test)]
pub(crate) fn is_field(name: &str) -> bool {
    let mut messages = POOL.all_messages().filter(|message| message.package_name() == PACKAGE);
    messages.any(|message| message.get_field_by_name(name).is_some())
}

/// The names of the API's methods.
#[cfg(test)]
pub(crate) fn methods() -> Vec<String> {
    let services = POOL.services().filter(|service| service.package_name() == PACKAGE);
    let names = services.flat_map(|service| {
        service.methods().map(|method| method.name().to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

fn descriptor(name: &str) -> MessageDescriptor {
    let name = format!("{PACKAGE}.{name}");
    POOL.get_message_by_name(&name).unwrap_or_else(|| panic!("the API has no message {name}"))
}

fn enum_descriptor(name: &str) -> EnumDescriptor {
    let name = format!("{PACKAGE}.{name}");
    POOL.get_enum_by_name(&name).unwrap_or_else(|| panic!("the API has no enum {name}"))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_client::v1;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_enums_are_typed_in_lower_case_without_their_prefix() {
        let states: Vec<_> =
            enum_values("Endpoint.State").into_iter().map(|(name, _)| name).collect();
        assert_eq!(states, ["active", "failing", "degraded", "disabled"]);
        let number = v1::NotificationType::DeliveryExhausted as i32;
        assert_eq!(shown_enum("NotificationType", number), "delivery-exhausted");
        assert_eq!(shown_enum("NotificationType", 99), "99");
    }

    #[test]
    fn a_message_is_json_with_the_names_of_the_api_and_back() {
        let event_type = v1::EventType { id: "a.b".to_owned(), ..Default::default() };
        let json = to_json("EventType", &event_type);
        assert_eq!(json["id"], "a.b");
        assert_eq!(json["sample_data_json"], "");
        assert_eq!(from_json::<v1::EventType>("EventType", &json).expect("JSON"), event_type);
    }

    #[test]
    fn credentials_that_no_response_has_are_left_out() {
        let json = to_json("Endpoint", &v1::Endpoint::default());
        assert!(json.get("secret").is_none() && json.get("url").is_some(), "{json}");
        let response = v1::CreateKeyResponse { token: "kt_1".to_owned(), ..Default::default() };
        assert_eq!(to_json("CreateKeyResponse", &response)["token"], "kt_1");
    }

    #[test]
    fn a_field_that_does_not_exist_is_an_error_that_names_it() {
        let error = from_json::<v1::Endpoint>("Endpoint", &json!({"display_nam": "x"}));
        assert!(error.expect_err("refused").to_string().contains("display_nam"));
    }

    #[test]
    fn settable_fields_have_the_names_of_the_api() {
        let json = json!({"displayName": "x", "url": "https://x", "create_time": "2026-04-23T12:00:00Z", "id": "ep_1", "organization_id": "acme"});
        let given = settable_fields("Endpoint", &json);
        assert_eq!(given, ["display_name", "url"]);
    }
}
