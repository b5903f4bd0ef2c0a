//! A request that breaks a rule is INVALID_ARGUMENT, names the field at fault, says what would be
//! right, and changes nothing.

use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_contracts::v1::{
    Channel, CreateChannelRequest, CreateEndpointRequest, DeleteEndpointRequest, Endpoint,
    GetEndpointStatsRequest, ListAttemptsRequest, ListDeliveriesRequest, ListEndpointsRequest,
    ListEventsRequest, NotificationType, PublishEventRequest, PublishEventsRequest,
    RotateSecretRequest, UpdateChannelRequest, UpdateEndpointRequest, WatchDeliveriesRequest,
    WebhookDestination,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, Server, assert_refused, channel, data_json};

/// A change to a valid request, the field that the error must name, and a part of its text.
type Wrong<R> = (fn(&mut R), &'static str, &'static str);

/// Sends each invalid request, and checks its error.
async fn assert_each_is_refused<R: Clone, A>(
    right: R,
    wrong: &[Wrong<R>],
    ask: impl AsyncFn(R) -> Result<A, Status>,
) {
    for (change, field, words) in wrong {
        let mut request = right.clone();
        change(&mut request);
        let Err(status) = ask(request).await else { panic!("{field} ({words}) was accepted") };
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD");
        let details = status.get_details_bad_request().expect("field violations");
        let [violation] = details.field_violations.as_slice() else {
            panic!("one field is at fault: {details:?}")
        };
        assert_eq!(&violation.field, field, "{status}");
        assert!(violation.description.contains(words), "{:?}", violation.description);
        assert!(status.message().starts_with(&format!("correct the field {field} (")), "{status}");
    }
}

async fn start() -> (Server, Client, Database) {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    (server, client, database)
}

fn with_json(request: &mut PublishEventRequest, json: &str) {
    request.payload = data_json(json);
}

const KIB: usize = 1_024;
const LATER: prost_types::Timestamp = prost_types::Timestamp { seconds: 2, nanos: 0 };
const EARLIER: prost_types::Timestamp = prost_types::Timestamp { seconds: 1, nanos: 0 };

#[tokio::test]
async fn an_endpoint_that_breaks_a_rule_is_not_created() {
    let (_server, client, _database) = start().await;
    let right = CreateEndpointRequest {
        organization_id: client.organization(),
        name: "siem".to_owned(),
        url: "https://example.com/hooks".to_owned(),
        event_types: vec!["policy.violation".to_owned()],
        ..Default::default()
    };
    let long_url = |bytes: usize| format!("https://example.com/{}", "x".repeat(bytes - 20));
    let accepted = CreateEndpointRequest {
        name: "é".repeat(100),
        url: long_url(2_048),
        description: "é".repeat(1_000),
        secret: "x".repeat(256),
        ..right.clone()
    };
    client.endpoints().create_endpoint(accepted).await.expect("the limits are within the rules");
    let wrong: &[Wrong<CreateEndpointRequest>] = &[
        (|r| r.organization_id.clear(), "organization_id", "required"),
        (|r| r.organization_id = "Acme".to_owned(), "organization_id", "a-z"),
        (|r| r.organization_id = "a".repeat(65), "organization_id", "64"),
        (|r| r.name.clear(), "name", "is required"),
        (|r| r.name = "é".repeat(101), "name", "is 101 characters; it may be at most 100"),
        (|r| r.name = "a\nb".to_owned(), "name", "control characters"),
        (|r| r.description = "x".repeat(1_001), "description", "at most 1000"),
        (|r| r.url.clear(), "url", "is required"),
        (|r| r.url = "example.com".to_owned(), "url", "write https://host/path"),
        (|r| r.url = "http://example.com/".to_owned(), "url", "must begin with https://"),
        (|r| r.url = "ftp://example.com/".to_owned(), "url", "it must be https"),
        (|r| r.url = "https:///hooks".to_owned(), "url", "has no host"),
        (|r| r.url = "https://me:secret@example.com/".to_owned(), "url", "user name or password"),
        (|r| r.url = format!("https://h/{}", "x".repeat(2_039)), "url", "is 2049 bytes"),
        (|r| r.event_types.clear(), "event_types", "at least one"),
        (
            |r| r.event_types.push("policy.violated".to_owned()),
            "event_types[1]",
            "is not an event type (see ListEventTypes)",
        ),
        (|r| r.event_types.push("webhook.test".to_owned()), "event_types[1]", "subscribed"),
        (|r| r.secret = "x".repeat(15), "secret", "is 15 bytes; it must be 16 to 256"),
        (|r| r.secret = "x".repeat(257), "secret", "is 257 bytes; it must be 16 to 256"),
        (|r| r.secret = "whsec_correct-horse-battery".to_owned(), "secret", "24 to 64 bytes"),
        (|r| r.secret = format!("whsk_{}", "A".repeat(44)), "secret", "give whsec_ and the base64"),
        (|r| r.secret = " correct horse battery".to_owned(), "secret", "ends with a blank"),
        (|r| r.secret = "correct horse battery\n".to_owned(), "secret", "a line break (U+000A)"),
    ];
    let create = async |request| client.endpoints().create_endpoint(request).await;
    assert_each_is_refused(right, wrong, create).await;

    let everything = create(CreateEndpointRequest::default()).await.expect_err("all is missing");
    let details = everything.get_details_bad_request().expect("field violations");
    let fields: Vec<_> = details.field_violations.into_iter().map(|wrong| wrong.field).collect();
    assert_eq!(fields, ["organization_id", "name", "url", "event_types"], "told in one go");
}

#[tokio::test]
async fn an_endpoint_is_not_changed_by_a_wrong_request() {
    let (_server, client, _database) = start().await;
    let created = client.create_endpoint("https://example.com/", &["key.revoked"]).await;
    let before = client.endpoint(&created.id).await;
    let right = UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(Endpoint { name: "new".to_owned(), ..before.clone() }),
        update_mask: Some(FieldMask { paths: vec!["name".to_owned()] }),
        secret: String::new(),
        routing_key: String::new(),
    };
    let wrong: &[Wrong<UpdateEndpointRequest>] = &[
        (|r| r.endpoint = None, "endpoint", ""),
        (|r| changed(r).id.clear(), "endpoint.id", "is required"),
        (|r| changed(r).id = "evt_1".to_owned(), "endpoint.id", "is not"),
        (|r| changed(r).name.clear(), "endpoint.name", "is required"),
        (|r| mask(r, "status"), "update_mask.paths[1]", "cannot be updated"),
        (|r| mask(r, "secret"), "secret", "RotateSecret"),
        (
            |r| {
                mask(r, "secret");
                r.secret = "\u{FEFF}correct horse battery".to_owned();
            },
            "secret",
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
    let update = async |request| client.endpoints().update_endpoint(request).await;
    assert_each_is_refused(right.clone(), wrong, update).await;
    assert_eq!(client.endpoint(&created.id).await, before);

    let wrong: &[Wrong<RotateSecretRequest>] = &[
        (|r| r.secret = "short".to_owned(), "secret", "is 5 bytes"),
        (|r| r.secret = "correct horse\0battery".to_owned(), "secret", "character (U+0000)"),
        (|r| r.secret = format!("whpk_{}", "A".repeat(44)), "secret", "public key"),
        (|r| r.overlap = Some(days(31)), "overlap", "from 0 to 30 days"),
    ];
    let rotate = RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: created.id.clone(),
        ..Default::default()
    };
    let ask = async |request| client.endpoints().rotate_secret(request).await;
    assert_each_is_refused(rotate, wrong, ask).await;

    // Somebody else changes it first, so what was read is stale.
    update(right.clone()).await.expect("the etag is the current one");
    let late = update(right).await.expect_err("the etag is the one before");
    assert_refused(&late, Code::Aborted, "STALE_ETAG");
    let request = DeleteEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: created.id.clone(),
        etag: before.etag,
    };
    let late = client.endpoints().delete_endpoint(request).await.expect_err("stale as well");
    assert_refused(&late, Code::Aborted, "STALE_ETAG");
    assert!(late.message().contains("get the endpoint again"), "{late}");
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

#[tokio::test]
async fn a_channel_may_name_only_endpoints_of_its_own_organization() {
    let (server, client, _database) = start().await;
    let own = client.create_endpoint("https://example.com/", &["key.revoked"]).await.id;
    let gone = client.create_endpoint("https://example.com/gone", &["key.revoked"]).await.id;
    let others = server.client("other");
    let foreign = others.create_endpoint("https://example.com/", &["key.revoked"]).await.id;
    let nobodys = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    let channels = NotificationServiceClient::new(bearer.on(channel(server.address())));
    let right = Channel {
        name: "on call".to_owned(),
        destination: Some(Destination::Webhook(WebhookDestination {
            url: "https://example.com/".to_owned(),
            secret: "correct horse battery".to_owned(),
        })),
        subscriptions: vec![NotificationType::EndpointDegraded.into()],
        endpoint_ids: vec![own.clone(), gone.clone(), own.clone()],
        ..Default::default()
    };
    let organization_id = client.organization();
    let create = async |channel: Channel| {
        let organization_id = organization_id.clone();
        let request = CreateChannelRequest { organization_id, channel: Some(channel) };
        channels.clone().create_channel(request).await
    };
    let update = async |channel: Channel| {
        let organization_id = organization_id.clone();
        let request =
            UpdateChannelRequest { organization_id, channel: Some(channel), update_mask: None };
        channels.clone().update_channel(request).await
    };
    let created = create(right.clone()).await.expect("both are there").into_inner();
    let created = created.channel.expect("a channel");
    assert_eq!(created.endpoint_ids, [own.clone(), gone.clone()]);
    let request = DeleteEndpointRequest {
        organization_id: organization_id.clone(),
        endpoint_id: gone.clone(),
        ..Default::default()
    };
    client.endpoints().delete_endpoint(request).await.expect("deleted");
    let kept = Channel { id: created.id.clone(), ..right.clone() };
    update(kept.clone()).await.expect("what was deleted since need not be taken out");

    for (wrong, place) in [(&foreign, 1), (&nobodys, 0), (&gone, 0)] {
        let mut endpoint_ids = vec![own.clone()];
        endpoint_ids.insert(place, wrong.clone());
        let refused = create(Channel { endpoint_ids: endpoint_ids.clone(), ..right.clone() }).await;
        assert_no_endpoint(&refused.expect_err("created"), place, wrong);
        if *wrong != gone {
            let refused = update(Channel { endpoint_ids, ..kept.clone() }).await;
            assert_no_endpoint(&refused.expect_err("updated"), place, wrong);
        }
    }
}

/// The text is the same, whoever else has the endpoint.
#[track_caller]
fn assert_no_endpoint(status: &Status, place: usize, id: &str) {
    assert_refused(status, Code::InvalidArgument, "INVALID_FIELD");
    let details = status.get_details_bad_request().expect("field violations");
    let [violation] = details.field_violations.as_slice() else { panic!("{details:?}") };
    assert_eq!(violation.field, format!("channel.endpoint_ids[{place}]"));
    let description =
        format!("{id} is no endpoint of the organization; deleted ones are none either");
    assert_eq!(violation.description, description);
}

#[tokio::test]
async fn an_event_that_breaks_a_rule_is_not_accepted() {
    let (_server, client, _database) = start().await;
    let right = client.event("policy.violation", "{}");
    let full = format!(r#"{{"x":"{}"}}"#, "x".repeat(256 * KIB - 8));
    client.publish("policy.violation", &full).await;
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
    let publish = async |request| client.ingest().publish_event(request).await;
    assert_each_is_refused(right.clone(), wrong, publish).await;

    let keyed = PublishEventRequest { idempotency_key: "k".to_owned(), ..right.clone() };
    publish(keyed.clone()).await.expect("accepted");
    let other = PublishEventRequest { payload: data_json(r#"{"other":true}"#), ..keyed };
    let refusal = publish(other).await.expect_err("the key stands for another event");
    assert_refused(&refusal, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");

    let batch =
        PublishEventsRequest { organization_id: client.organization(), events: vec![right] };
    let wrong: &[Wrong<PublishEventsRequest>] = &[
        (|r| r.organization_id.clear(), "organization_id", "required"),
        (|r| r.events.clear(), "events", "has 0 events; it must have 1 to 1000"),
        (|r| r.events = vec![r.events[0].clone(); 1_001], "events", "has more than 1000 entries"),
    ];
    let publish = async |request| client.ingest().publish_events(request).await;
    assert_each_is_refused(batch, wrong, publish).await;
}

#[tokio::test]
async fn a_list_is_not_read_by_a_wrong_filter() {
    let (_server, client, _database) = start().await;
    let organization_id = client.organization();
    let right =
        ListDeliveriesRequest { organization_id: organization_id.clone(), ..Default::default() };
    let wrong: &[Wrong<ListDeliveriesRequest>] = &[
        (|r| r.page_size = -1, "page_size", "must not be negative"),
        (|r| r.page_token = "2".to_owned(), "page_token", "send next_page_token as it was"),
        (|r| r.endpoint_id = "dlv_1".to_owned(), "endpoint_id", "is not"),
        (|r| r.event_id = "evt_".to_owned(), "event_id", "is not"),
        (|r| r.event_type = "policy".to_owned(), "event_type", "ListEventTypes"),
        (|r| r.state = 99, "state", "99 is not one of its values"),
        (
            |r| (r.start_time, r.end_time) = (Some(LATER), Some(EARLIER)),
            "end_time",
            "must be after start_time",
        ),
    ];
    let list = async |request| client.dispatch().list_deliveries(request).await;
    assert_each_is_refused(right, wrong, list).await;

    let right =
        ListAttemptsRequest { organization_id: organization_id.clone(), ..Default::default() };
    let wrong: &[Wrong<ListAttemptsRequest>] = &[
        (|r| r.delivery_id = "att_1".to_owned(), "delivery_id", "is not"),
        (|r| r.outcome = -1, "outcome", "-1 is not one of its values"),
    ];
    let list = async |request| client.dispatch().list_attempts(request).await;
    assert_each_is_refused(right, wrong, list).await;

    let right =
        ListEndpointsRequest { organization_id: organization_id.clone(), ..Default::default() };
    let wrong: &[Wrong<ListEndpointsRequest>] = &[
        (|r| r.status = 4, "status", "4 is not one of its values"),
        (|r| r.search = "\0".to_owned(), "search", "NUL"),
    ];
    let list = async |request| client.endpoints().list_endpoints(request).await;
    assert_each_is_refused(right, wrong, list).await;

    let right = ListEventsRequest { organization_id, ..Default::default() };
    let wrong: &[Wrong<ListEventsRequest>] =
        &[(|r| r.organization_id = "a b".to_owned(), "organization_id", "a-z")];
    let list = async |request| client.ingest().list_events(request).await;
    assert_each_is_refused(right, wrong, list).await;

    let stats = GetEndpointStatsRequest {
        organization_id: client.organization(),
        endpoint_id: "ep_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        window: None,
    };
    let wrong: &[Wrong<GetEndpointStatsRequest>] =
        &[(|r| r.window = Some(days(31)), "window", "from 1 hour to 30 days")];
    let ask = async |request| client.dispatch().get_endpoint_stats(request).await;
    assert_each_is_refused(stats, wrong, ask).await;

    let watch =
        WatchDeliveriesRequest { organization_id: client.organization(), ..Default::default() };
    let wrong: &[Wrong<WatchDeliveriesRequest>] =
        &[(|r| r.resume_token = "7".to_owned(), "resume_token", "send the last resume_token")];
    let ask = async |request| client.dispatch().watch_deliveries(request).await;
    assert_each_is_refused(watch, wrong, ask).await;
}
