//! Pins the bytes of records. A line of `pinned.txt` never changes, because existing logs contain it. A new
//! field is left empty in the old samples, and gets a sample of its own.

use std::time::Duration;

use keeptrusts_webhooks_contracts::DESCRIPTORS;
use keeptrusts_webhooks_contracts::log_codec::{
    Metadata, decode, decode_exchange, encode, encode_exchange, kind,
};
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, HttpExchange};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestDigest, RequestId};
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::samples::{attempt, every_kind, stream_of, time};

#[test]
fn the_bytes_of_every_kind_of_fact_are_those_that_are_in_logs_already() {
    let pinned: Vec<(&str, &str)> = include_str!("pinned.txt")
        .lines()
        .map(|line| line.split_once(' ').expect("a kind and its bytes in hex"))
        .collect();
    let samples = every_kind();
    assert_eq!(samples.len(), pinned.len());
    for (fact, (name, bytes)) in samples.into_iter().zip(pinned) {
        assert_eq!((kind(&fact), hex::encode(encode(&fact))), (name, bytes.to_owned()));
        let bytes = hex::decode(bytes).expect("hex");
        assert_eq!(decode(stream_of(&fact), &bytes), Ok(fact));
    }
}

#[test]
fn the_bytes_of_an_attempt_that_paused_its_endpoint_are_those_that_are_in_logs_already() {
    let fact = Fact::Delivery(DeliveryFact::AttemptFailed {
        details: attempt(),
        error: "answered 429".to_owned(),
        next_attempt_time: Some(time()),
        steady_due_time: None,
        state: DeliveryState::Retrying,
        endpoint_pause: Some(Duration::from_secs(20)),
    });
    let bytes = encode(&fact);
    // The last field: 20 seconds.
    assert_eq!(hex::encode(&bytes[bytes.len() - 4..]), "42020814");
    assert_eq!(decode(stream_of(&fact), &bytes), Ok(fact));
}

#[test]
fn the_bytes_of_metadata_are_those_that_are_in_logs_already() {
    let metadata = Metadata {
        actor: "ingest".to_owned(),
        correlation_id: "evt_1".to_owned(),
        causation: Some(Position(300)),
        trace: Some(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("valid"),
        ),
        ..Metadata::default()
    };
    let bytes = metadata.encode();
    assert_eq!(
        hex::encode(&bytes),
        "0a06696e6765737412056576745f3118ac022237303\
         02d34626639326633353737623334646136613363653932396430653065343733362d\
         303066303637616130626139303262372d3031"
    );
    assert_eq!(Metadata::decode(&bytes), Ok(metadata));
}

#[test]
fn an_identified_request_is_a_field_of_metadata_after_those_that_are_in_logs_already() {
    let id = RequestId::optional("r-1".to_owned()).expect("right");
    let request = id.map(|id| IdentifiedRequest { id, digest: RequestDigest([0xab; 32]) });
    let metadata = Metadata { actor: "key_1".to_owned(), request, ..Metadata::default() };
    let bytes = metadata.encode();
    let expected = format!("0a056b65795f314a270a03722d311220{}", "ab".repeat(32));
    assert_eq!(hex::encode(&bytes), expected);
    assert_eq!(Metadata::decode(&bytes), Ok(metadata));
}

#[test]
fn the_bytes_of_an_exchange_are_those_that_are_in_body_tables_already() {
    let exchange = HttpExchange {
        request_headers: vec![("a".to_owned(), b"1".to_vec())],
        response_headers: vec![("b".to_owned(), vec![0xff])],
        response_body: b"ok".to_vec(),
        request_body: None,
    };
    let bytes = encode_exchange(&exchange);
    assert_eq!(
        hex::encode(&bytes),
        "0a060a01611201311206\
         0a01621201ff1a026f6b"
    );
    assert_eq!(decode_exchange(&bytes), Ok(exchange));
}

#[test]
fn an_attempts_remark_is_a_field_after_those_that_are_in_logs_already() {
    let fact = |remark: &str| {
        let details = AttemptDetails { remark: remark.to_owned(), ..attempt() };
        Fact::Delivery(DeliveryFact::AttemptSucceeded(details))
    };
    let bytes = hex::encode(encode(&fact("early")));
    assert!(bytes.ends_with("580262056561726c79"), "{bytes}");
    assert!(hex::encode(encode(&fact(""))).ends_with("5802"));
}

#[test]
fn every_kind_has_a_sample_and_is_named_as_its_message() {
    let descriptors = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors");
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let record_data =
        messages.into_iter().find(|message| message.name() == "RecordData").expect("a message");
    let mut named: Vec<_> = record_data
        .field
        .iter()
        .map(|field| field.type_name().rsplit('.').next().expect("a name"))
        .collect();
    let mut kinds: Vec<_> = every_kind().iter().map(kind).collect();
    kinds.sort_unstable();
    // Some have a sample more, with the fields that were added later.
    kinds.dedup();
    named.sort_unstable();
    assert_eq!(kinds, named);
}
