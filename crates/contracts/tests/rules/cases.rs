//! Requests: valid ones, and each with one field at a limit, beyond it, or of another kind; and some in
//! which many fields are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use keeptrusts_webhooks_contracts::v1::PayloadFormat;
use keeptrusts_webhooks_testkit::random::{Random, seed};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use serde_json::Value as Json;

use crate::checks::{CHECKS, PACKAGE};

/// A request.
pub(crate) struct Case {
    pub(crate) request: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The request for people to read.
    pub(crate) text: String,
    /// Whether several of its fields may be wrong.
    pub(crate) is_random: bool,
}

/// Requests with many wrong fields, of each kind.
const RANDOM_CASES: usize = 150;
const SEED: u64 = 1;
const ULID: &str = "01KPM2ZN00KW6TGMQS98G8W0CV";
const IDS: [&str; 8] = ["ep_", "evt_", "dlv_", "att_", "key_", "rpl_", "chn_", "ntf_"];
/// Lengths that no rule mentions show a limit that only the conversions have.
const LENGTHS: [usize; 10] = [1, 2, 31, 32, 33, 64, 65, 200, 3_000, 20_000];

/// google.api.FieldBehavior.OUTPUT_ONLY: what a request has in such a field is ignored.
const OUTPUT_ONLY: i32 = 3;

pub(crate) fn all(pool: &DescriptorPool) -> Vec<Case> {
    let mut random = Random::of_seed(seed(SEED));
    let mut cases = Vec::new();
    for request in CHECKS.iter().map(|check| check.request) {
        let message = message_named(pool, request);
        cases.push(Case::of(request, example(&message), false));
        for (field, changed) in variants(&message) {
            let changed = with_masks(changed, &field).into_iter();
            cases.extend(changed.map(|changed| Case::of(request, changed, false)));
        }
        for _ in 0..RANDOM_CASES {
            cases.push(Case::of(request, any(&message, &mut random), true));
        }
    }
    cases
}

/// The requests of docs/api/examples. Their responses are messages too, which have something to show.
pub(crate) fn examples(pool: &DescriptorPool) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/examples");
    let mut cases = Vec::new();
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        let path = folder.join(format!("{}.json", service.name()));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let examples: BTreeMap<String, Json> = serde_json::from_str(&text).expect("JSON");
        for method in service.methods() {
            let example = &examples[method.name()];
            for message in messages(&method.input(), &example["request"], method.name()) {
                let request = Box::leak(method.input().name().to_owned().into_boxed_str());
                cases.push(Case::of(request, message, false));
            }
            let (output, response) = (method.output(), &example["response"]);
            assert_eq!(response.is_array(), method.is_server_streaming(), "{}", method.name());
            for message in messages(&output, response, method.name()) {
                let is_empty = message.fields().next().is_none();
                assert_eq!(is_empty, output.fields().len() == 0, "{}", method.name());
            }
        }
    }
    cases
}

/// The messages of an example, of which a stream has several.
fn messages(kind: &MessageDescriptor, example: &Json, method: &str) -> Vec<DynamicMessage> {
    let messages = match example {
        Json::Array(messages) => messages.clone(),
        message => vec![message.clone()],
    };
    let read = |message: Json| {
        DynamicMessage::deserialize(kind.clone(), message)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    };
    messages.into_iter().map(read).collect()
}

impl Case {
    fn of(request: &'static str, message: DynamicMessage, is_random: bool) -> Case {
        Case { request, bytes: message.encode_to_vec(), text: message.to_string(), is_random }
    }
}

fn message_named(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("a request")
}

/// An update whose mask names what has changed, and one without a mask. Any other request is left alone.
fn with_masks(request: DynamicMessage, changed: &str) -> Vec<DynamicMessage> {
    let mask = request.descriptor().get_field_by_name("update_mask");
    // A field that the mask does not name is not looked at, whatever it has.
    let Some((mask, (_, field))) = mask.zip(changed.split_once('.')) else { return vec![request] };
    let field = field.split('.').next().unwrap_or_default();
    if field == "id" || field == "etag" {
        return vec![request];
    }
    let mut masked = request.clone();
    masked.set_field(&mask, Value::Message(mask_of(&mask, &[field])));
    vec![request, masked]
}

fn mask_of(field: &FieldDescriptor, paths: &[&str]) -> DynamicMessage {
    let mut mask = DynamicMessage::new(message_of(field).expect("a message"));
    let paths = paths.iter().map(|path| Value::String((*path).to_owned())).collect();
    mask.set_field_by_name("paths", Value::List(paths));
    mask
}

fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() == PACKAGE
}

/// The fields that a request may set.
fn inputs(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let pool = message.parent_pool();
    let behavior = pool.get_extension_by_name("google.api.field_behavior").expect("imported");
    let is_input = |field: &FieldDescriptor| {
        let options = field.options();
        let behaviors = options.get_extension(&behavior);
        let behaviors = behaviors.as_list().unwrap_or_default();
        !behaviors.contains(&Value::EnumNumber(OUTPUT_ONLY))
    };
    message.fields().filter(is_input).collect()
}

/// A valid message: what is required, and nothing else.
fn example(message: &MessageDescriptor) -> DynamicMessage {
    let mut example = DynamicMessage::new(message.clone());
    let name = message.name();
    for field in inputs(message) {
        let is_id = field.name().ends_with("_id") || field.name() == "id";
        let is_meant = match field.name() {
            // Not in the events of a batch, and not what is made with an id.
            "request_id" | "start_event_id" | "end_event_id" => false,
            "id" => name == "Endpoint" || name == "Channel",
            "event_id" | "delivery_id" => !name.starts_with("List"),
            "endpoint_id" | "channel_id" => !name.starts_with("Create"),
            "display_name" | "event_type" | "event_types" | "scope" | "role" => {
                !name.starts_with("List")
            }
            "url" => name != "PagerDutyDestination",
            "secret" => name == "WebhookDestination",
            "routing_key" => name == "PagerDutyDestination",
            "endpoint" | "channel" | "replay" | "key" | "requests" | "subscriptions"
            | "recipients" => true,
            "slack" | "data_json" => name != "PreviewPayloadRequest",
            _ => is_id,
        };
        if is_meant && !(name == "WatchEventsRequest" && field.name() == "event_types") {
            let value = example_value(&field);
            let value = if field.is_list() { Value::List(vec![value]) } else { value };
            example.set_field(&field, value);
        }
    }
    example
}

/// A valid value of a field, or of an element of a repeated one.
fn example_value(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::String => Value::String(example_text(field)),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Message(message) => Value::Message(example(&message)),
        Kind::Bool => Value::Bool(true),
        Kind::Int64 => Value::I64(1),
        _ => Value::I32(1),
    }
}

fn example_text(field: &FieldDescriptor) -> String {
    let id = |prefix: &str| format!("{prefix}{ULID}");
    match (field.parent_message().name(), field.name()) {
        (_, "organization_id") => "acme".to_owned(),
        ("Endpoint", "id") | (_, "endpoint_id" | "endpoint_ids") => id("ep_"),
        ("Channel", "id") | (_, "channel_id" | "channel_ids") => id("chn_"),
        (_, "event_id" | "start_event_id" | "end_event_id") => id("evt_"),
        (_, "delivery_id") => id("dlv_"),
        (_, "attempt_id") => id("att_"),
        (_, "key_id") => id("key_"),
        (_, "replay_id") => id("rpl_"),
        (_, "notification_id") => id("ntf_"),
        (_, "event_type" | "event_types") => "policy.violation".to_owned(),
        (_, "url") => "https://example.com/hooks".to_owned(),
        (_, "data_json") => r#"{"a":1}"#.to_owned(),
        (_, "recipients") => "on-call@example.com".to_owned(),
        (_, "secret") => "correct horse battery".to_owned(),
        (_, "routing_key") => "0123456789abcdef0123456789ABCDEF".to_owned(),
        _ => "siem".to_owned(),
    }
}

/// The example with each value that a field of it is tried with, and the path of that field.
fn variants(message: &MessageDescriptor) -> Vec<(String, DynamicMessage)> {
    let example = example(message);
    let mut variants = Vec::new();
    for field in inputs(message) {
        for (path, value) in values(&field) {
            let mut variant = example.clone();
            match value {
                Some(value) => variant.set_field(&field, value),
                None => variant.clear_field(&field),
            }
            if let Some(format) = format_of(&field) {
                variant.set_field_by_name("payload_format", Value::EnumNumber(format));
            }
            variants.push((format!("{}{path}", field.name()), variant));
        }
    }
    variants.extend(intervals(&example));
    variants
}

/// The example with two times that are equal, or almost.
fn intervals(example: &DynamicMessage) -> Vec<(String, DynamicMessage)> {
    let message = example.descriptor();
    let field =
        |name| message.get_field_by_name(name).filter(|field| inputs(&message).contains(field));
    let Some((start, end)) = field("start_time").zip(field("end_time")) else { return Vec::new() };
    let nanos = [-1_000, 0, 1, 1_000].map(|difference| {
        let mut variant = example.clone();
        variant.set_field(&start, seconds_and_nanos(&start, 1, 5_000));
        variant.set_field(&end, seconds_and_nanos(&end, 1, 5_000 + difference));
        ("end_time".to_owned(), variant)
    });
    nanos.into()
}

fn seconds_and_nanos(field: &FieldDescriptor, seconds: i64, nanos: i32) -> Value {
    let mut value = DynamicMessage::new(message_of(field).expect("a message"));
    value.set_field_by_name("seconds", Value::I64(seconds));
    value.set_field_by_name("nanos", Value::I32(nanos));
    Value::Message(value)
}

/// The payload format that a field is for.
fn format_of(field: &FieldDescriptor) -> Option<i32> {
    match (field.parent_message().name(), field.name()) {
        (_, "payload_template") => Some(PayloadFormat::Custom.into()),
        ("Endpoint", "routing_key") => Some(PayloadFormat::Pagerduty.into()),
        _ => None,
    }
}

/// The example in which every field has any of the values that it is tried with, or its own.
fn any(message: &MessageDescriptor, random: &mut Random) -> DynamicMessage {
    let mut any = example(message);
    for field in inputs(message) {
        // Without a mask, an update is about all that is given.
        if random.chance(60) || field.name() == "update_mask" {
            continue;
        }
        let value = match message_of(&field).filter(is_ours) {
            Some(message) if !field.is_list() => Some(Value::Message(self::any(&message, random))),
            _ => {
                let values = values(&field);
                random.pick(&values).and_then(|(_, value)| value.clone())
            }
        };
        match value {
            Some(value) => any.set_field(&field, value),
            None => any.clear_field(&field),
        }
    }
    any
}

/// What a field is tried with. None: it is absent. With the path of what has changed within it.
fn values(field: &FieldDescriptor) -> Vec<(String, Option<Value>)> {
    let here = |value| (String::new(), value);
    let mut values = vec![here(None)];
    if field.is_list() {
        values.extend(lists(field).into_iter().map(|list| here(Some(Value::List(list)))));
        return values;
    }
    match message_of(field) {
        Some(message) if is_ours(&message) => {
            values.extend(
                variants(&message)
                    .into_iter()
                    .map(|(path, variant)| (format!(".{path}"), Some(Value::Message(variant)))),
            );
        }
        Some(_) => values.extend(well_known(field).into_iter().map(|value| here(Some(value)))),
        None => values.extend(scalars(field).into_iter().map(|value| here(Some(value)))),
    }
    values
}

/// Lists at each limit, and with one element of each kind.
fn lists(field: &FieldDescriptor) -> Vec<Vec<Value>> {
    let right = example_value(field);
    let counts = [1, 2, 19, 20, 21, 99, 100, 101, 999, 1_000, 1_001];
    let mut lists: Vec<_> = counts.into_iter().map(|count| vec![right.clone(); count]).collect();
    if message_of(field).is_none() {
        lists.extend(scalars(field).into_iter().map(|other| vec![right.clone(), other]));
    }
    lists
}

/// The numbers in the rules of a field: each is a limit.
fn limits(field: &FieldDescriptor) -> Vec<i64> {
    let rules = field.parent_pool().get_extension_by_name("buf.validate.field").expect("imported");
    let mut numbers = Vec::new();
    collect(&field.options().get_extension(&rules), &mut numbers);
    numbers
}

fn collect(value: &Value, numbers: &mut Vec<i64>) {
    match value {
        Value::Message(message) => message.fields().for_each(|(_, value)| collect(value, numbers)),
        Value::List(values) => values.iter().for_each(|value| collect(value, numbers)),
        Value::I32(number) => numbers.push((*number).into()),
        Value::I64(number) => numbers.push(*number),
        Value::U64(number) => numbers.extend(i64::try_from(*number)),
        _ => {}
    }
}

/// A number, and those before and after it.
fn around(numbers: impl IntoIterator<Item = i64>) -> Vec<i64> {
    numbers
        .into_iter()
        .flat_map(|number| [number.saturating_sub(1), number, number.saturating_add(1)])
        .collect()
}

fn scalars(field: &FieldDescriptor) -> Vec<Value> {
    match field.kind() {
        Kind::String => texts(field).into_iter().map(Value::String).collect(),
        Kind::Bool => vec![Value::Bool(false), Value::Bool(true)],
        Kind::Enum(kind) => {
            let known = kind.values().map(|value| value.number());
            known.chain([-1, 99, i32::MIN]).map(Value::EnumNumber).collect()
        }
        Kind::Int32 => {
            let numbers = around(limits(field).into_iter().chain([0, 1_000, 5_000]));
            let numbers = numbers.into_iter().chain([i64::from(i32::MIN), i64::from(i32::MAX)]);
            numbers.filter_map(|number| i32::try_from(number).ok()).map(Value::I32).collect()
        }
        Kind::Int64 => around(limits(field)).into_iter().map(Value::I64).collect(),
        kind => panic!("{}: requests have no {kind:?} yet", field.full_name()),
    }
}

fn texts(field: &FieldDescriptor) -> Vec<String> {
    let right = example_text(field);
    let lengths =
        around(limits(field)).into_iter().filter_map(|length| usize::try_from(length).ok());
    let lengths: Vec<_> = lengths.chain(LENGTHS).collect();
    let mut texts = vec![String::new(), right.clone(), format!(" {right} "), right.to_lowercase()];
    for length in lengths {
        texts.push("x".repeat(length));
        texts.push("é".repeat(length));
        // As long, and valid otherwise.
        texts.push(match field.name() {
            "url" => format!("https://example.com/{}", "x".repeat(length.saturating_sub(20))),
            "data_json" => format!(r#"{{"a":"{}"}}"#, "x".repeat(length.saturating_sub(8))),
            _ => "A1".repeat(length / 2) + &"9"[..length % 2],
        });
    }
    texts.extend(IDS.iter().map(|prefix| format!("{prefix}{ULID}")));
    // Another spelling, a ULID that is too large, letters that it has not, too few and too many.
    let wrong =
        ["01kpm2zn00kw6tgmqs98g8w0cv", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01KPM2ZN00KW6TGMQS98G8W0IL"];
    texts.extend(IDS.iter().flat_map(|prefix| wrong.map(|ulid| format!("{prefix}{ulid}"))));
    texts.extend([right.clone() + "0", right.chars().skip(1).collect()]);
    let others = [
        "*",
        "Acme",
        "a b",
        "a-b_1",
        "\0",
        "a\nb",
        " ",
        "webhook.test",
        "policy",
        "a line\nof sixteen bytes",
    ];
    texts.extend(others.map(str::to_owned));
    texts
}

fn well_known(field: &FieldDescriptor) -> Vec<Value> {
    let message = message_of(field).expect("a message");
    let two = |seconds, nanos| seconds_and_nanos(field, seconds, nanos);
    let seconds = || around(limits(field).into_iter().chain([0, 1_776_940_200]));
    match message.full_name() {
        "google.protobuf.Timestamp" => {
            let fractions =
                |second: i64| [0, 1_000, 999_999_999, -1].map(|nanos| two(second, nanos));
            seconds().into_iter().chain([i64::MIN, i64::MAX]).flat_map(fractions).collect()
        }
        // In whole microseconds, to which durations are cut.
        "google.protobuf.Duration" => {
            let fractions = |second: i64| [0, 1_000, 999_999_000].map(|nanos| two(second, nanos));
            seconds()
                .into_iter()
                .flat_map(fractions)
                .chain([two(-1, -1_000), two(0, -1_000)])
                .collect()
        }
        "google.protobuf.FieldMask" => {
            let named = [
                "display_name",
                "url",
                "id",
                "state",
                "*",
                "update_mask",
                "secret",
                "slack",
                "a.b",
            ];
            let mut masks: Vec<_> = named.iter().map(|path| mask_of(field, &[path])).collect();
            masks.extend([99, 100, 101].map(|count| mask_of(field, &vec!["display_name"; count])));
            masks.into_iter().map(Value::Message).collect()
        }
        "google.protobuf.Struct" => vec![Value::Message(DynamicMessage::new(message))],
        name => panic!("{}: requests have no {name} yet", field.full_name()),
    }
}
