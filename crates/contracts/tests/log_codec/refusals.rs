//! Bytes that are no record are refused.

use keeptrusts_webhooks_contracts::log::v1 as pb;
use keeptrusts_webhooks_contracts::log_codec::{DecodeError, Metadata, decode, encode};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Stream;
use prost::Message;

use crate::samples::{every_kind, stream_of};

fn data(fact: pb::record_data::Fact) -> Vec<u8> {
    pb::RecordData { fact: Some(fact) }.encode_to_vec()
}

#[test]
fn a_fact_about_another_kind_of_thing_is_refused() {
    let streams = [
        Stream::Endpoint(EndpointId::MIN),
        Stream::Event(EventId::MIN),
        Stream::Delivery(DeliveryId::MIN),
    ];
    for fact in every_kind() {
        for stream in streams {
            let expected = if stream == stream_of(&fact) {
                Ok(fact.clone())
            } else {
                Err(DecodeError::WrongStream)
            };
            assert_eq!(decode(stream, &encode(&fact)), expected);
        }
    }
}

#[test]
fn a_fact_of_a_newer_version_is_refused_as_unknown() {
    let stream = Stream::Event(EventId::MIN);
    // Field 999, an empty message.
    let newer = [0xba, 0x3e, 0x00];
    assert_eq!(decode(stream, &newer), Err(DecodeError::UnknownFact));
    assert!(matches!(decode(stream, b"\xff"), Err(DecodeError::Malformed(_))));
}

#[test]
fn an_invalid_value_is_refused_with_the_name_of_its_field() {
    let recovered = pb::EndpointRecovered { delivery_id: "dlv_1".to_owned() };
    let bytes = data(pb::record_data::Fact::EndpointRecovered(recovered));
    let error = decode(Stream::Endpoint(EndpointId::MIN), &bytes).expect_err("not an id");
    assert_eq!(error.to_string(), "delivery_id is not a delivery id (`dlv_` and 26 characters)");

    let accepted = pb::EventAccepted {
        event_type: "policy.block".to_owned(),
        event_time: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
        ..pb::EventAccepted::default()
    };
    let bytes = data(pb::record_data::Fact::EventAccepted(accepted));
    let error = decode(Stream::Event(EventId::MIN), &bytes).expect_err("negative nanos");
    assert_eq!(error.to_string(), "event_time is out of range");

    let failed = data(pb::record_data::Fact::AttemptFailed(pb::AttemptFailed::default()));
    let error = decode(Stream::Delivery(DeliveryId::MIN), &failed).expect_err("no state");
    assert_eq!(error.to_string(), "delivery_state is none that is known");
}

#[test]
fn metadata_without_a_cause_or_trace_is_read_as_such() {
    assert_eq!(Metadata::decode(b""), Ok(Metadata::default()));
    let message = pb::RecordMetadata { traceparent: "00-0".to_owned(), ..Default::default() };
    let error = Metadata::decode(&message.encode_to_vec()).expect_err("not a trace");
    assert_eq!(error.to_string(), "traceparent is not a W3C traceparent");
}

#[test]
fn metadata_with_half_of_an_identified_request_is_refused() {
    for (id, sha256, problem) in [
        ("", vec![0; 32], "request.id is missing"),
        ("a b", vec![0; 32], "request.id must be 1 to 128 characters"),
        ("r", vec![0; 31], "request.sha256 has 31 bytes instead of 32"),
    ] {
        let request = Some(pb::IdentifiedRequest { id: id.to_owned(), sha256 });
        let message = pb::RecordMetadata { request, ..Default::default() };
        let error = Metadata::decode(&message.encode_to_vec()).expect_err("a half");
        assert!(error.to_string().starts_with(problem), "{error}");
    }
}
