//! What the violations of requests say, in words: each of these changes to a valid request has one.

use keeptrusts_webhooks_contracts::api::{
    CreateEndpoint, GetEndpointStats, ListAttempts, ListDeliveries, ListEndpoints, ListEvents,
    Publish, PublishBatch, RotateSecret, UpdateEndpoint, Violations, WatchDeliveries,
};
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_contracts::v1::{
    BatchPublishEventsRequest, CreateEndpointRequest, Endpoint, GetEndpointStatsRequest,
    ListAttemptsRequest, ListDeliveriesRequest, ListEndpointsRequest, ListEventsRequest,
    PublishEventRequest, RotateSecretRequest, UpdateEndpointRequest, WatchDeliveriesRequest,
};
use prost_types::FieldMask;

use crate::endpoint_id;

/// A change to a valid request, the field that the violation names, and a part of its text.
type Wrong<R> = (fn(&mut R), &'static str, &'static str);

fn assert_each_is_refused<R, T>(right: &R, wrong: &[Wrong<R>])
where
    R: Clone,
    T: TryFrom<R, Error = Violations> + std::fmt::Debug,
{
    T::try_from(right.clone()).expect("right");
    for (change, field, words) in wrong {
        let mut request = right.clone();
        change(&mut request);
        let violations = T::try_from(request).expect_err(words).into_vec();
        let [violation] = violations.as_slice() else { panic!("one is wrong: {violations:?}") };
        assert_eq!(&violation.field, field);
        assert!(violation.description.contains(words), "{:?}", violation.description);
    }
}

const KIB: usize = 1_024;
const LATER: prost_types::Timestamp = prost_types::Timestamp { seconds: 2, nanos: 0 };
const EARLIER: prost_types::Timestamp = prost_types::Timestamp { seconds: 1, nanos: 0 };

fn organization_id() -> String {
    "acme".to_owned()
}

fn data_json(json: &str) -> Option<Payload> {
    Some(Payload::DataJson(json.to_owned()))
}

fn with_json(request: &mut PublishEventRequest, json: &str) {
    request.payload = data_json(json);
}

#[test]
fn an_endpoint_to_be_created() {
    let right = CreateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(Endpoint {
            display_name: "siem".to_owned(),
            url: "https://example.com/hooks".to_owned(),
            event_types: vec!["policy.violation".to_owned()],
            ..Endpoint::default()
        }),
        ..Default::default()
    };
    let long_url = |bytes: usize| format!("https://example.com/{}", "x".repeat(bytes - 20));
    let mut accepted = right.clone();
    let endpoint = new(&mut accepted);
    endpoint.display_name = "é".repeat(100);
    endpoint.url = long_url(2_048);
    endpoint.description = "é".repeat(1_000);
    endpoint.secret = "x".repeat(256);
    CreateEndpoint::try_from(accepted).expect("the limits are within the rules");
    let wrong: &[Wrong<CreateEndpointRequest>] = &[
        (|r| r.organization_id.clear(), "organization_id", "required"),
        (|r| r.organization_id = "Acme".to_owned(), "organization_id", "a-z"),
        (|r| r.organization_id = "a".repeat(65), "organization_id", "64"),
        (|r| new(r).display_name.clear(), "endpoint.display_name", "is required"),
        (
            |r| new(r).display_name = "é".repeat(101),
            "endpoint.display_name",
            "is 101 characters; it may be at most 100",
        ),
        (
            |r| new(r).display_name = "a\nb".to_owned(),
            "endpoint.display_name",
            "control characters",
        ),
        (|r| new(r).description = "x".repeat(1_001), "endpoint.description", "at most 1000"),
        (|r| new(r).url.clear(), "endpoint.url", "is required"),
        (|r| new(r).url = "example.com".to_owned(), "endpoint.url", "write https://host/path"),
        (
            |r| new(r).url = "http://example.com/".to_owned(),
            "endpoint.url",
            "must begin with https://",
        ),
        (|r| new(r).url = "ftp://example.com/".to_owned(), "endpoint.url", "it must be https"),
        (|r| new(r).url = "https:///hooks".to_owned(), "endpoint.url", "has no host"),
        (
            |r| new(r).url = "https://me:secret@example.com/".to_owned(),
            "endpoint.url",
            "user name or password",
        ),
        (
            |r| new(r).url = format!("https://h/{}", "x".repeat(2_039)),
            "endpoint.url",
            "is 2049 bytes",
        ),
        (|r| new(r).event_types.clear(), "endpoint.event_types", "at least one"),
        (
            |r| new(r).event_types.push("policy.violated".to_owned()),
            "endpoint.event_types[1]",
            "is not an event type (see ListEventTypes)",
        ),
        (
            |r| new(r).event_types.push("webhook.test".to_owned()),
            "endpoint.event_types[1]",
            "subscribed",
        ),
        (
            |r| new(r).secret = "x".repeat(15),
            "endpoint.secret",
            "is 15 bytes; it must be 16 to 256",
        ),
        (
            |r| new(r).secret = "x".repeat(257),
            "endpoint.secret",
            "is 257 bytes; it must be 16 to 256",
        ),
        (
            |r| new(r).secret = "whsec_correct-horse-battery".to_owned(),
            "endpoint.secret",
            "24 to 64 bytes",
        ),
        (
            |r| new(r).secret = format!("whsk_{}", "A".repeat(44)),
            "endpoint.secret",
            "give whsec_ and the base64",
        ),
        (
            |r| new(r).secret = " correct horse battery".to_owned(),
            "endpoint.secret",
            "ends with a blank",
        ),
        (
            |r| new(r).secret = "correct horse battery\n".to_owned(),
            "endpoint.secret",
            "a line break (U+000A)",
        ),
    ];
    assert_each_is_refused::<_, CreateEndpoint>(&right, wrong);
}

#[test]
fn an_update_of_an_endpoint() {
    let right = UpdateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(Endpoint {
            id: endpoint_id().to_string(),
            display_name: "new".to_owned(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        ..Default::default()
    };
    let wrong: &[Wrong<UpdateEndpointRequest>] = &[
        (|r| r.endpoint = None, "endpoint", ""),
        (|r| changed(r).id.clear(), "endpoint.id", "is required"),
        (|r| changed(r).id = "evt_1".to_owned(), "endpoint.id", "is not"),
        (|r| changed(r).display_name.clear(), "endpoint.display_name", "is required"),
        (|r| mask(r, "state"), "update_mask.paths[1]", "cannot be updated"),
        (|r| mask(r, "secret"), "endpoint.secret", "RotateSecret"),
        (
            |r| {
                mask(r, "secret");
                changed(r).secret = "\u{FEFF}correct horse battery".to_owned();
            },
            "endpoint.secret",
            "a byte order mark (U+FEFF)",
        ),
        (
            |r| {
                mask(r, "url");
                changed(r).url = "http://example.com/".to_owned();
            },
            "endpoint.url",
            "must begin with https://",
        ),
    ];
    assert_each_is_refused::<_, UpdateEndpoint>(&right, wrong);
}

#[test]
fn a_rotation_of_a_secret() {
    let right = RotateSecretRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id().to_string(),
        ..Default::default()
    };
    let wrong: &[Wrong<RotateSecretRequest>] = &[
        (|r| r.secret = "short".to_owned(), "secret", "is 5 bytes"),
        (|r| r.secret = "correct horse\0battery".to_owned(), "secret", "character (U+0000)"),
        (|r| r.secret = format!("whpk_{}", "A".repeat(44)), "secret", "public key"),
        (|r| r.overlap = Some(days(31)), "overlap", "from 0 to 30 days"),
    ];
    assert_each_is_refused::<_, RotateSecret>(&right, wrong);
}

fn new(request: &mut CreateEndpointRequest) -> &mut Endpoint {
    request.endpoint.as_mut().expect("the request that is right has one")
}

fn changed(request: &mut UpdateEndpointRequest) -> &mut Endpoint {
    request.endpoint.as_mut().expect("the request that is right has one")
}

fn mask(request: &mut UpdateEndpointRequest, path: &str) {
    request.update_mask.as_mut().expect("it has one").paths.push(path.to_owned());
}

fn days(days: i64) -> prost_types::Duration {
    prost_types::Duration { seconds: days * 24 * 60 * 60, nanos: 0 }
}

#[test]
fn an_event() {
    let right = PublishEventRequest {
        organization_id: organization_id(),
        event_type: "policy.violation".to_owned(),
        payload: data_json("{}"),
        ..Default::default()
    };
    let full = format!(r#"{{"x":"{}"}}"#, "x".repeat(256 * KIB - 8));
    Publish::try_from(PublishEventRequest { payload: data_json(&full), ..right.clone() })
        .expect("the limit is within the rule");
    let wrong: &[Wrong<PublishEventRequest>] = &[
        (|r| r.organization_id.clear(), "organization_id", "required"),
        (|r| r.event_type.clear(), "event_type", "is required (see ListEventTypes)"),
        (|r| r.event_type = "policy".to_owned(), "event_type", "ListEventTypes"),
        (|r| r.event_type = "webhook.test".to_owned(), "event_type", "use SendTest"),
        (|r| r.payload = None, "data", "is required: a JSON object"),
        (|r| with_json(r, ""), "data_json", "is not JSON"),
        (|r| with_json(r, "{\"a\":1}{"), "data_json", "is not JSON"),
        (|r| with_json(r, "[1]"), "data_json", "must be a JSON object"),
        (|r| with_json(r, "null"), "data_json", "must be a JSON object"),
        (
            |r| with_json(r, &format!(r#"{{"x":"{}"}}"#, "x".repeat(256 * KIB - 7))),
            "data_json",
            "is 262145 bytes; it may be at most 262144",
        ),
        (
            |r| {
                let long = prost_types::value::Kind::StringValue("x".repeat(256 * KIB));
                let value = prost_types::Value { kind: Some(long) };
                let fields = [("x".to_owned(), value)].into();
                r.payload = Some(Payload::Data(prost_types::Struct { fields }));
            },
            "data",
            "it may be at most 262144",
        ),
        (
            |r| r.event_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            "event_time",
            "must be a valid timestamp",
        ),
        (|r| r.idempotency_key = "x".repeat(257), "idempotency_key", "at most 256"),
    ];
    assert_each_is_refused::<_, Publish>(&right, wrong);

    let batch =
        BatchPublishEventsRequest { organization_id: organization_id(), requests: vec![right] };
    let wrong: &[Wrong<BatchPublishEventsRequest>] = &[
        (|r| r.organization_id.clear(), "organization_id", "required"),
        (|r| r.requests.clear(), "requests", "has 0 events; it must have 1 to 1000"),
    ];
    assert_each_is_refused::<_, PublishBatch>(&batch, wrong);
}

#[test]
fn the_filters_of_lists() {
    let right = ListDeliveriesRequest { organization_id: organization_id(), ..Default::default() };
    let wrong: &[Wrong<ListDeliveriesRequest>] = &[
        (|r| r.page_size = -1, "page_size", "must not be negative"),
        (|r| r.page_token = "2".to_owned(), "page_token", "send next_page_token as it was"),
        (|r| r.endpoint_ids = vec!["dlv_1".to_owned()], "endpoint_ids[0]", "is not"),
        (|r| r.event_id = "evt_".to_owned(), "event_id", "is not"),
        (|r| r.event_types = vec!["policy".to_owned()], "event_types[0]", "ListEventTypes"),
        (|r| r.states = vec![1, 99], "states[1]", "99 is not one of its values"),
        (
            |r| (r.start_time, r.end_time) = (Some(LATER), Some(EARLIER)),
            "end_time",
            "must be after start_time",
        ),
    ];
    assert_each_is_refused::<_, ListDeliveries>(&right, wrong);

    let right = ListAttemptsRequest { organization_id: organization_id(), ..Default::default() };
    let wrong: &[Wrong<ListAttemptsRequest>] = &[
        (|r| r.delivery_id = "att_1".to_owned(), "delivery_id", "is not"),
        (|r| r.outcomes = vec![-1], "outcomes[0]", "-1 is not one of its values"),
    ];
    assert_each_is_refused::<_, ListAttempts>(&right, wrong);

    let right = ListEndpointsRequest { organization_id: organization_id(), ..Default::default() };
    let wrong: &[Wrong<ListEndpointsRequest>] = &[
        (|r| r.states = vec![5], "states[0]", "5 is not one of its values"),
        (|r| r.states = vec![0], "states[0]", "must not be unspecified"),
        (|r| r.search = "\0".to_owned(), "search", "NUL"),
    ];
    assert_each_is_refused::<_, ListEndpoints>(&right, wrong);

    let right = ListEventsRequest { organization_id: organization_id(), ..Default::default() };
    let wrong: &[Wrong<ListEventsRequest>] =
        &[(|r| r.organization_id = "a b".to_owned(), "organization_id", "a-z")];
    assert_each_is_refused::<_, ListEvents>(&right, wrong);
}

#[test]
fn statistics_and_watches() {
    let right = GetEndpointStatsRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id().to_string(),
        window: None,
    };
    let wrong: &[Wrong<GetEndpointStatsRequest>] =
        &[(|r| r.window = Some(days(31)), "window", "from 1 hour to 30 days")];
    assert_each_is_refused::<_, GetEndpointStats>(&right, wrong);

    let right = WatchDeliveriesRequest { organization_id: organization_id(), ..Default::default() };
    let wrong: &[Wrong<WatchDeliveriesRequest>] =
        &[(|r| r.resume_token = "7".to_owned(), "resume_token", "send the last resume_token")];
    assert_each_is_refused::<_, WatchDeliveries>(&right, wrong);
}
