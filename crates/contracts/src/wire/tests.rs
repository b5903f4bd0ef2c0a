//! Requests of every kind, checked in their bytes.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;
use prost::encoding::encode_varint;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::value::Kind;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FieldMask, FileDescriptorProto, FileDescriptorSet,
    ListValue, Struct, Value,
};

use super::*;
use crate::DESCRIPTORS;
use crate::v1;
use crate::v1::channel::Destination;
use crate::v1::publish_event_request::Payload;

fn examined(message: &str, request: &impl Message) -> Result<usize, String> {
    let name = format!("keeptrusts.webhooks.v1.{message}");
    examine(&name, &request.encode_to_vec()).map_err(|violation| violation.to_string())
}

fn channel(count: usize) -> v1::CreateChannelRequest {
    let channel = v1::Channel { subscriptions: vec![1; count], ..Default::default() };
    v1::CreateChannelRequest { channel: Some(channel), ..Default::default() }
}

fn publish(data: Struct) -> v1::PublishEventRequest {
    v1::PublishEventRequest { payload: Some(Payload::Data(data)), ..Default::default() }
}

fn null() -> Value {
    Value { kind: Some(Kind::NullValue(0)) }
}

/// An object with a list of so many values: two more than those.
fn list_of(count: usize) -> Struct {
    let list = ListValue { values: vec![null(); count] };
    let list = Value { kind: Some(Kind::ListValue(list)) };
    Struct { fields: BTreeMap::from([("a".to_owned(), list)]) }
}

#[test]
fn a_repeated_field_may_have_as_many_entries_as_its_limit_and_no_more() {
    let names = |count| vec![String::new(); count];
    let request = |count| v1::CreateEndpointRequest {
        endpoint: Some(v1::Endpoint { event_types: names(count), ..v1::Endpoint::default() }),
        ..Default::default()
    };
    assert!(examined("CreateEndpointRequest", &request(100)).is_ok());
    assert_eq!(
        examined("CreateEndpointRequest", &request(101)),
        Err("endpoint.event_types: has more than 100 entries, which is its limit".to_owned())
    );

    let request = |count| v1::CreateReplayRequest {
        replay: Some(v1::Replay { event_types: names(count), ..v1::Replay::default() }),
        ..Default::default()
    };
    assert!(examined("CreateReplayRequest", &request(101)).is_err());

    let request = |count| {
        let endpoint = v1::Endpoint { event_types: names(count), ..Default::default() };
        v1::UpdateEndpointRequest { endpoint: Some(endpoint), ..Default::default() }
    };
    assert!(examined("UpdateEndpointRequest", &request(100)).is_ok());
    assert_eq!(
        examined("UpdateEndpointRequest", &request(101)),
        Err("endpoint.event_types: has more than 100 entries, which is its limit".to_owned())
    );

    let mask = |count| v1::UpdateEndpointRequest {
        update_mask: Some(FieldMask { paths: names(count) }),
        ..Default::default()
    };
    assert!(examined("UpdateEndpointRequest", &mask(100)).is_ok());
    assert_eq!(
        examined("UpdateEndpointRequest", &mask(101)),
        Err("update_mask.paths: has more than 100 entries, which is its limit".to_owned())
    );

    let email = |count| {
        let email = v1::EmailDestination { recipients: names(count) };
        let destination = Some(Destination::Email(email));
        let channel = v1::Channel { destination, ..Default::default() };
        v1::CreateChannelRequest { channel: Some(channel), ..Default::default() }
    };
    assert!(examined("CreateChannelRequest", &email(20)).is_ok());
    assert_eq!(
        examined("CreateChannelRequest", &email(21)),
        Err("channel.email.recipients: has more than 20 entries, which is its limit".to_owned())
    );

    let batch = |count| v1::BatchPublishEventsRequest {
        requests: vec![v1::PublishEventRequest::default(); count],
        ..Default::default()
    };
    assert!(examined("BatchPublishEventsRequest", &batch(1_000)).is_ok());
    assert_eq!(
        examined("BatchPublishEventsRequest", &batch(1_001)),
        Err("requests: has more than 1000 entries, which is its limit".to_owned())
    );
}

#[test]
fn numbers_are_counted_packed_and_one_by_one() {
    assert!(examined("CreateChannelRequest", &channel(100)).is_ok());
    let refused = "channel.subscriptions: has more than 100 entries, which is its limit";
    assert_eq!(examined("CreateChannelRequest", &channel(101)), Err(refused.to_owned()));
    // Field 9 with wire type 0, so many times, in the request's field `channel`.
    let field = channel(1).encode_to_vec()[0];
    let one_by_one = |count: u8| {
        let entries = [0x48, 1].repeat(usize::from(count));
        [&[field, 2 * count][..], &entries].concat()
    };
    let examine = |bytes: &[u8]| examine("keeptrusts.webhooks.v1.CreateChannelRequest", bytes);
    assert!(examine(&one_by_one(60)).is_ok());
    // A message that comes in two parts is one.
    let twice = [one_by_one(60), one_by_one(60)].concat();
    assert_eq!(examine(&twice).expect_err("120").to_string(), refused);
    let decoded = v1::CreateChannelRequest::decode(&twice[..]).expect("a message");
    assert_eq!(decoded.channel.expect("there").subscriptions.len(), 120);
}

#[test]
fn the_values_of_a_structure_are_counted_together_on_all_levels() {
    let most = MAX_DATA_VALUES - 1;
    assert!(examined("PublishEventRequest", &publish(list_of(most))).is_ok());
    let refused = "data: has more than 131072 values, which is its limit";
    assert_eq!(
        examined("PublishEventRequest", &publish(list_of(most + 1))),
        Err(refused.to_owned())
    );
    // Each event of a batch has its own.
    let events = vec![publish(list_of(most)), publish(list_of(most))];
    let batch = v1::BatchPublishEventsRequest { requests: events, ..Default::default() };
    assert!(examined("BatchPublishEventsRequest", &batch).is_ok());
    let events = vec![publish(list_of(1)), publish(list_of(most + 1))];
    let batch = v1::BatchPublishEventsRequest { requests: events, ..Default::default() };
    assert_eq!(
        examined("BatchPublishEventsRequest", &batch),
        Err(format!("requests[1].{refused}"))
    );
}

#[test]
fn the_memory_of_a_message_is_estimated_from_its_elements() {
    let one = Struct { fields: BTreeMap::from([("a".to_owned(), null())]) };
    let nested = ListValue { values: vec![Value { kind: Some(Kind::StructValue(one)) }; 10_000] };
    let nested = Value { kind: Some(Kind::ListValue(nested)) };
    let request = publish(Struct { fields: BTreeMap::from([("a".to_owned(), nested)]) });
    let memory = examined("PublishEventRequest", &request).expect("within its limits");
    assert!(memory > 10_000 * STRUCT_BYTES, "{memory}");
    let text = Payload::DataJson("x".repeat(10_000));
    let request = v1::PublishEventRequest { payload: Some(text), ..Default::default() };
    let memory = examined("PublishEventRequest", &request).expect("within its limits");
    assert_eq!(memory, request.encoded_len(), "a text is as long as it is");
}

#[test]
fn entries_after_an_unknown_field_are_counted() {
    let request = v1::CreateEndpointRequest {
        endpoint: Some(v1::Endpoint {
            event_types: vec![String::new(); 101],
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let many = request.encode_to_vec();
    // Field 99: a number, eight and four bytes, a text, and a group with a field and another group.
    let unknown: [&[u8]; 5] = [
        &[0x98, 6, 1],
        &[0x99, 6, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x9d, 6, 0, 0, 0, 0],
        &[0x9a, 6, 1, 0],
        &[0x9b, 6, 0x08, 1, 0x0b, 0x0c, 0x9c, 6],
    ];
    for unknown in unknown {
        let bytes = [unknown, &many].concat();
        assert!(v1::CreateEndpointRequest::decode(&bytes[..]).is_ok(), "{unknown:?}");
        let examined = examine("keeptrusts.webhooks.v1.CreateEndpointRequest", &bytes);
        assert!(examined.is_err(), "{unknown:?}");
    }
}

#[test]
fn bytes_that_are_no_message_are_accepted_for_decoding_to_refuse() {
    for bytes in [&b"{}"[..], &[0xff; 20], &[0x2a, 0x7f], &[0x0c], &[0x07], &[0x80]] {
        assert!(examine("keeptrusts.webhooks.v1.CreateEndpointRequest", bytes).is_ok());
    }
    let nested = (0..150).fold(null(), |value, _| Value {
        kind: Some(Kind::ListValue(ListValue { values: vec![value] })),
    });
    let data = Struct { fields: BTreeMap::from([("a".to_owned(), nested)]) };
    assert!(examined("PublishEventRequest", &publish(data)).is_ok());
}

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file
}

fn messages(files: &[FileDescriptorProto]) -> HashMap<String, &DescriptorProto> {
    let named = |file: &'_ FileDescriptorProto, message: &DescriptorProto| {
        format!(".{}.{}", file.package(), message.name())
    };
    files
        .iter()
        .flat_map(|file| file.message_type.iter().map(move |it| (named(file, it), it)))
        .collect()
}

/// Every repeated field of every message that a request can have in it.
fn repeated_fields_of_requests() -> HashSet<(String, String)> {
    let files = files();
    let messages = messages(&files);
    let services = files.iter().flat_map(|file| &file.service);
    let mut waiting: Vec<_> =
        services.flat_map(|it| &it.method).map(|it| it.input_type().to_owned()).collect();
    let (mut seen, mut found) = (HashSet::new(), HashSet::new());
    while let Some(name) = waiting.pop() {
        if name == ".google.protobuf.Struct" || !seen.insert(name.clone()) {
            continue;
        }
        for field in &messages[&name].field {
            if field.label() == Label::Repeated {
                let message = name.rsplit('.').next().unwrap_or_default().to_owned();
                found.insert((message, field.name().to_owned()));
            }
            if field.r#type() == Type::Message {
                waiting.push(field.type_name().to_owned());
            }
        }
    }
    found
}

#[test]
fn every_repeated_field_of_every_request_has_a_limit() {
    let known: HashSet<_> = limits::LIMITS
        .iter()
        .map(|(message, field, _)| ((*message).to_owned(), (*field).to_owned()))
        .collect();
    assert_eq!(repeated_fields_of_requests(), known);
}

/// A field that has bytes (wire type 2): a text, a message, or numbers packed together.
fn field_of_bytes(number: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(u64::try_from(number).expect("a number") << 3 | 2, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// So many entries of a repeated field, each as short as it can be.
fn entries(field: &FieldDescriptorProto, count: usize) -> Vec<u8> {
    match field.r#type() {
        Type::String | Type::Bytes | Type::Message => {
            field_of_bytes(field.number(), &[]).repeat(count)
        }
        _ => field_of_bytes(field.number(), &vec![1; count]),
    }
}

/// From a message to each repeated field in it, however deep.
fn paths_to_repeated_fields<'a>(
    message: &str,
    messages: &HashMap<String, &'a DescriptorProto>,
    path: &[(String, &'a FieldDescriptorProto)],
    found: &mut Vec<Vec<(String, &'a FieldDescriptorProto)>>,
) {
    let is_looked_at = message == ".google.protobuf.Struct"
        || path[..path.len().saturating_sub(1)].iter().any(|(known, _)| known == message);
    for field in messages[message].field.iter().filter(|_| !is_looked_at) {
        let path = [path, &[(message.to_owned(), field)]].concat();
        if field.label() == Label::Repeated {
            found.push(path.clone());
        }
        if field.r#type() == Type::Message {
            paths_to_repeated_fields(field.type_name(), messages, &path, found);
        }
    }
}

#[test]
fn each_repeated_field_of_each_request_is_counted_wherever_it_is() {
    let files = files();
    let messages = messages(&files);
    let requests: HashSet<_> = files
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
        .map(|method| method.input_type())
        .collect();
    let mut counted = 0;
    for request in requests {
        let mut paths = Vec::new();
        paths_to_repeated_fields(request, &messages, &[], &mut paths);
        for path in paths {
            let ((message, field), before) = path.split_last().expect("a field at its end");
            let limit = limits::of(message, field.name()).expect("it has one");
            let of = |count| {
                let innermost = entries(field, count);
                before
                    .iter()
                    .rev()
                    .fold(innermost, |inner, (_, outer)| field_of_bytes(outer.number(), &inner))
            };
            let name = |(_, field): &(String, &FieldDescriptorProto)| match field.label() {
                Label::Repeated => format!("{}[0].", field.name()),
                _ => format!("{}.", field.name()),
            };
            let place = before.iter().map(name).collect::<String>() + field.name();
            let examined = |count| examine(request.trim_start_matches('.'), &of(count));
            assert!(examined(limit).is_ok(), "{request}: {place}");
            let refused = examined(limit + 1).expect_err(&format!("{request}: {place}"));
            assert_eq!(refused.field, place, "{request}");
            counted += 1;
        }
    }
    assert!(counted >= limits::LIMITS.len(), "{counted}");
}

#[test]
fn the_comments_of_the_contracts_say_the_limits() {
    let files = files();
    for (message, field, limit) in limits::LIMITS.iter().filter(|(name, ..)| *name != "FieldMask") {
        let (file, at) = files
            .iter()
            .find_map(|file| {
                let at = file.message_type.iter().position(|it| it.name() == *message)?;
                file.package().starts_with("keeptrusts").then_some((file, at))
            })
            .expect("a message of ours");
        let fields = &file.message_type[at].field;
        let field_at = fields.iter().position(|it| it.name() == *field).expect("a field");
        let path = [4, at, 2, field_at].map(|part| i32::try_from(part).expect("small"));
        let locations = &file.source_code_info.as_ref().expect("comments").location;
        let location = locations.iter().find(|location| location.path == path);
        let comment = location.expect("a comment").leading_comments().replace(',', "");
        assert!(
            comment.contains(&format!("at most {limit}"))
                || comment.contains(&format!("1 to {limit}")),
            "{message}.{field}: {comment}"
        );
    }
}
