use std::collections::BTreeMap;

use keeptrusts_webhooks_contracts::api::{GetEvent, ListEvents, Publish, PublishBatch};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_domain::event_type::EventType;
use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};

use crate::{event_id, proto_time, time, wrong_fields};

fn publish() -> v1::PublishEventRequest {
    v1::PublishEventRequest {
        organization_id: "default".to_owned(),
        event_type: "policy.block".to_owned(),
        payload: Some(Payload::DataJson("{\"n\": 1.10}".to_owned())),
        ..Default::default()
    }
}

fn number(number: f64) -> Option<Payload> {
    let value = Value { kind: Some(Kind::NumberValue(number)) };
    let inner = Struct { fields: BTreeMap::from([("b".to_owned(), value)]) };
    let inner = Value { kind: Some(Kind::StructValue(inner)) };
    Some(Payload::Data(Struct { fields: BTreeMap::from([("a".to_owned(), inner)]) }))
}

#[test]
fn data_is_taken_as_text_or_as_a_structure() {
    let published = Publish::try_from(publish()).expect("right");
    assert_eq!(published.event_type, EventType::PolicyBlock);
    assert_eq!(published.data.as_str(), "{\"n\": 1.10}");
    assert_eq!((published.event_time, published.idempotency_key), (None, None));

    let request = v1::PublishEventRequest { payload: number(2.0), ..publish() };
    assert_eq!(Publish::try_from(request).expect("right").data.as_str(), r#"{"a":{"b":2}}"#);
}

#[test]
fn a_violation_of_data_has_its_form_and_path() {
    let wrong =
        |payload| wrong_fields(Publish::try_from(v1::PublishEventRequest { payload, ..publish() }));
    assert_eq!(wrong(None), ["data"]);
    assert_eq!(wrong(Some(Payload::DataJson("[]".to_owned()))), ["data_json"]);
    assert_eq!(wrong(number(f64::NAN)), ["data.a.b"]);
    let long = Value { kind: Some(Kind::StringValue("x".repeat(256 * 1024))) };
    let long = Struct { fields: BTreeMap::from([("a".to_owned(), long)]) };
    assert_eq!(wrong(Some(Payload::Data(long))), ["data"]);
}

#[test]
fn data_that_some_format_or_receiver_could_not_read_is_refused_when_it_is_published() {
    let publish = |json: &str| {
        Publish::try_from(v1::PublishEventRequest {
            payload: Some(Payload::DataJson(json.to_owned())),
            ..publish()
        })
    };
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for json in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00\ud800"}"#,
        "\u{feff}{}",
        "{\"a\":\"\u{0}\"}",
        r#"{"a":NaN}"#,
        r#"{"a":01}"#,
        r#"{"a":1} {}"#,
        &deep(60),
        &deep(10_000),
    ] {
        assert_eq!(wrong_fields(publish(json)), ["data_json"], "{:.40}", json);
    }
    for json in [
        r#"{"a":12345678901234567890123,"b":1.10,"c":-0,"d":1E5,"e":1e400,"f":1e999999999}"#,
        r#"{"a":"\u0000\ud83d\ude42","A":{"a":[]}}"#,
        &deep(59),
    ] {
        assert_eq!(publish(json).expect("it is right").data.as_str(), json);
    }
    // What a structure cannot be given in either.
    let nested = |depth: usize| {
        let leaf = Value { kind: Some(Kind::NullValue(0)) };
        (0..depth).fold(leaf, |value, _| {
            let list = prost_types::ListValue { values: vec![value] };
            Value { kind: Some(Kind::ListValue(list)) }
        })
    };
    let deep = Struct { fields: BTreeMap::from([("a".to_owned(), nested(60))]) };
    let request = v1::PublishEventRequest { payload: Some(Payload::Data(deep)), ..self::publish() };
    assert_eq!(wrong_fields(Publish::try_from(request)), ["data"]);
}

#[test]
fn a_test_cannot_be_published() {
    let request = v1::PublishEventRequest { event_type: "webhook.test".to_owned(), ..publish() };
    let violations = Publish::try_from(request).expect_err("not published").into_vec();
    assert_eq!(violations.len(), 1);
    assert!(violations[0].description.contains("SendTest"), "{}", violations[0]);
    for wrong in ["", "policy.violated"] {
        let request = v1::PublishEventRequest { event_type: wrong.to_owned(), ..publish() };
        assert_eq!(wrong_fields(Publish::try_from(request)), ["event_type"], "{wrong:?}");
    }
}

#[test]
fn an_events_time_lies_in_the_years_1_to_9999_and_is_cut_to_the_microsecond() {
    let at = |seconds, nanos| {
        let event_time = Some(Timestamp { seconds, nanos });
        Publish::try_from(v1::PublishEventRequest { event_time, ..publish() })
    };
    let given = proto_time();
    let published = at(given.seconds, given.nanos + 999).expect("right");
    assert_eq!(published.event_time, Some(time()));
    for seconds in [-62_135_596_801, 253_402_300_800] {
        assert_eq!(wrong_fields(at(seconds, 0)), ["event_time"]);
    }
}

#[test]
fn all_invalid_fields_of_an_event_are_reported_at_once() {
    let request = v1::PublishEventRequest {
        event_time: Some(Timestamp { seconds: 0, nanos: -1 }),
        idempotency_key: "k".repeat(257),
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(Publish::try_from(request)),
        ["organization_id", "event_type", "data", "event_time", "idempotency_key"]
    );
}

#[test]
fn each_event_of_a_batch_is_checked_on_its_own() {
    let of = |organization_id: &str| v1::PublishEventRequest {
        organization_id: organization_id.to_owned(),
        ..publish()
    };
    let wrong = v1::PublishEventRequest { payload: None, ..of("") };
    let batch = PublishBatch::try_from(v1::BatchPublishEventsRequest {
        organization_id: "default".to_owned(),
        requests: vec![of(""), of("default"), of("other"), wrong],
    });
    let [empty, same, other, wrong]: [_; 4] =
        batch.expect("right as a whole").events.try_into().expect("four");
    assert_eq!(empty.map(|event| event.organization_id.to_string()), Ok("default".to_owned()));
    assert!(same.is_ok());
    assert_eq!(wrong_fields(other), ["organization_id"]);
    assert_eq!(wrong_fields(wrong), ["data"]);
}

#[test]
fn a_batch_has_1_to_1000_events() {
    let batch = |count| {
        PublishBatch::try_from(v1::BatchPublishEventsRequest {
            organization_id: "default".to_owned(),
            requests: vec![publish(); count],
        })
    };
    assert_eq!(batch(1_000).map(|batch| batch.events.len()), Ok(1_000));
    for count in [0, 1_001] {
        assert_eq!(wrong_fields(batch(count)), ["requests"], "{count}");
    }
}

#[test]
fn events_are_looked_up_and_listed() {
    let get = v1::GetEventRequest {
        organization_id: "default".to_owned(),
        event_id: event_id().to_string(),
        ..Default::default()
    };
    assert_eq!(GetEvent::try_from(get).map(|named| named.event_id), Ok(event_id()));
    let list = v1::ListEventsRequest {
        organization_id: "default".to_owned(),
        event_types: vec!["webhook.test".to_owned()],
        start_time: Some(proto_time()),
        ..Default::default()
    };
    let listed = ListEvents::try_from(list.clone()).expect("right");
    assert_eq!(listed.event_types, [EventType::Test]);
    assert_eq!((listed.start_time, listed.end_time), (Some(time()), None));

    let empty = v1::ListEventsRequest { end_time: Some(proto_time()), ..list.clone() };
    assert_eq!(wrong_fields(ListEvents::try_from(empty)), ["end_time"], "nothing is between");
    let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let wrong = v1::ListEventsRequest { start_time: never, end_time: never, ..list };
    assert_eq!(wrong_fields(ListEvents::try_from(wrong)), ["start_time", "end_time"]);
}
