//! Requests that cannot be decoded: text that is not UTF-8, structures that are nested too deeply,
//! bytes that are no protobuf. tonic answers INTERNAL, following gRPC's table of status codes, which
//! looks like a defect of the server. Here it becomes INVALID_ARGUMENT with the field.

use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::{Code, Status};

/// The beginning of prost's errors, which tonic passes on.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// Part of prost's error for structures with too many levels.
const TOO_DEEP: &str = "recursion limit";

/// Replaces tonic's status for a request that cannot be decoded. Our own INTERNAL statuses never
/// have such a text.
pub(super) fn as_invalid_argument(status: Status) -> Status {
    let message = (status.code() == Code::Internal).then_some(status.message());
    let Some(reason) = message.and_then(|message| message.strip_prefix(UNDECODABLE)) else {
        return status;
    };
    // prost writes `Message.field: ` for each level, the innermost first, then the problem.
    let levels: Vec<_> = reason.split(": ").take_while(|level| is_level(level)).collect();
    let what = reason.split(": ").skip(levels.len()).collect::<Vec<_>>().join(": ");
    let field = field(&levels);
    let description = match what.contains(TOO_DEEP) {
        // Our own JSON reader permits more levels.
        true if field.ends_with("data") => {
            "nests deeper than Protocol Buffers are read: nest less, or send data_json".to_owned()
        }
        true => "nests deeper than Protocol Buffers are read: nest less".to_owned(),
        false => format!("cannot be read: {what}"),
    };
    status::invalid_argument(vec![Violation::invalid_format(field, description)])
}

fn is_level(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split_once('.').is_some_and(|(message, field)| is_name(message) && is_name(field))
}

/// The path of the field. The oneof `payload` is replaced by its member: prost reports levels below
/// it for the structure `data` only, not for the text `data_json`.
fn field(levels: &[&str]) -> String {
    let Some((outermost, inner)) = levels.split_last() else { return "request".to_owned() };
    match outermost.split_once('.').map_or(*outermost, |(_, field)| field) {
        "payload" if inner.is_empty() => "data_json".to_owned(),
        "payload" => "data".to_owned(),
        other if inner.is_empty() => other.to_owned(),
        "requests" => format!("requests[].{}", field(inner)),
        other => format!("{other}.{}", field(inner)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keeptrusts_webhooks_contracts::v1;
    use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};
    use tonic_types::StatusExt;

    use super::*;

    /// The field and description of the answer to bytes that cannot be decoded.
    fn answered<M: Message + Default + std::fmt::Debug>(bytes: &[u8]) -> (String, String) {
        let error = M::decode(bytes).expect_err("no message");
        let status = as_invalid_argument(Status::internal(error.to_string()));
        assert_eq!(status.code(), Code::InvalidArgument, "{error}");
        let details = status.get_details_bad_request().expect("fields").field_violations;
        (details[0].field.clone(), details[0].description.clone())
    }

    fn without_utf8(message: &impl Message) -> Vec<u8> {
        let mut bytes = message.encode_to_vec();
        let place = bytes.iter().rposition(|byte| *byte == b'~').expect("a mark");
        bytes[place] = 0xff;
        bytes
    }

    #[test]
    fn the_field_that_cannot_be_decoded_is_named() {
        let text = v1::PublishEventRequest {
            payload: Some(Payload::DataJson("{\"a\":\"~\"}".to_owned())),
            ..Default::default()
        };
        let (field, description) = answered::<v1::PublishEventRequest>(&without_utf8(&text));
        assert_eq!(field, "data_json");
        assert!(description.contains("UTF-8"), "{description}");
        let batch = v1::BatchPublishEventsRequest { requests: vec![text], ..Default::default() };
        assert_eq!(
            answered::<v1::BatchPublishEventsRequest>(&without_utf8(&batch)).0,
            "requests[].data_json"
        );
        let endpoint = v1::Endpoint { url: "~".to_owned(), ..Default::default() };
        let create = v1::CreateEndpointRequest { endpoint: Some(endpoint), ..Default::default() };
        let (field, _) = answered::<v1::CreateEndpointRequest>(&without_utf8(&create));
        assert_eq!(field, "endpoint.url");

        let key = v1::PublishEventRequest { event_type: "~".to_owned(), ..Default::default() };
        assert_eq!(answered::<v1::PublishEventRequest>(&without_utf8(&key)).0, "event_type");

        let leaf = Value { kind: Some(Kind::NullValue(0)) };
        let nested = (0..200).fold(leaf, |value, _| Value {
            kind: Some(Kind::ListValue(ListValue { values: vec![value] })),
        });
        let data = Struct { fields: BTreeMap::from([("a".to_owned(), nested)]) };
        let deep =
            v1::PublishEventRequest { payload: Some(Payload::Data(data)), ..Default::default() };
        let (field, description) = answered::<v1::PublishEventRequest>(&deep.encode_to_vec());
        assert_eq!(field, "data");
        assert!(description.starts_with("nests deeper"), "{description}");
        assert!(description.contains("send data_json"), "{description}");
        assert_eq!(answered::<v1::PublishEventRequest>(b"{}").0, "request");
    }

    #[test]
    fn other_statuses_are_not_changed() {
        for status in [Status::internal("something else"), Status::not_found(UNDECODABLE)] {
            let (code, message) = (status.code(), status.message().to_owned());
            let answered = as_invalid_argument(status);
            assert_eq!((answered.code(), answered.message()), (code, &*message));
        }
    }
}
