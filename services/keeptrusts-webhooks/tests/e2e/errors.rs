//! How invalid requests are answered over gRPC: with the fields at fault, and without a change. What
//! is wrong with each field is tested in the contracts.

use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_contracts::v1::{
    BatchPublishEventsRequest, Channel, CreateChannelRequest, CreateEndpointRequest,
    DeleteEndpointRequest, Endpoint, ListDeliveriesRequest, NotificationType, PublishEventRequest,
    UpdateChannelRequest, UpdateEndpointRequest, WatchDeliveriesRequest, WebhookDestination,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use prost_types::FieldMask;
use prost_types::value::Kind;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, Server, assert_refused, channel};

async fn start() -> (Server, Client, Database) {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    (server, client, database)
}

/// Checks that the answer names these fields, the first one in its message, too.
#[track_caller]
fn assert_wrong<T: std::fmt::Debug>(answer: Result<T, Status>, fields: &[&str]) {
    let status = answer.expect_err("it is refused");
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD");
    let details = status.get_details_bad_request().expect("field violations").field_violations;
    let named: Vec<_> = details.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, fields, "{status}");
    assert!(status.message().contains(fields[0]), "{status}");
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_all_fields_at_fault() {
    let (_server, client, _database) = start().await;
    let nothing = CreateEndpointRequest::default();
    let fields =
        ["organization_id", "endpoint.display_name", "endpoint.url", "endpoint.event_types"];
    assert_wrong(client.endpoints().create_endpoint(nothing).await, &fields);
    let organization_id = || client.organization();

    let right = client.event("policy.violation", "{}");
    let nothing = PublishEventRequest { organization_id: organization_id(), ..Default::default() };
    assert_wrong(client.ingest().publish_event(nothing).await, &["event_type", "data"]);
    // Deeper than Protocol Buffers permit.
    let leaf = prost_types::Value { kind: Some(Kind::BoolValue(true)) };
    let deep = (0..200).fold(leaf, |value, _| prost_types::Value {
        kind: Some(Kind::ListValue(prost_types::ListValue { values: vec![value] })),
    });
    let data = prost_types::Struct { fields: [("a".to_owned(), deep)].into() };
    let deep = PublishEventRequest { payload: Some(Payload::Data(data)), ..right.clone() };
    assert_wrong(client.ingest().publish_event(deep).await, &["data"]);
    let batch = BatchPublishEventsRequest {
        organization_id: organization_id(),
        requests: vec![right; 1_001],
    };
    assert_wrong(client.ingest().batch_publish_events(batch).await, &["requests"]);

    let list = ListDeliveriesRequest {
        organization_id: organization_id(),
        page_size: -1,
        page_token: "2".to_owned(),
        ..Default::default()
    };
    assert_wrong(client.dispatch().list_deliveries(list).await, &["page_size", "page_token"]);
    let watch = WatchDeliveriesRequest {
        organization_id: organization_id(),
        resume_token: "7".to_owned(),
        ..Default::default()
    };
    assert_wrong(client.dispatch().watch_deliveries(watch).await, &["resume_token"]);
}

#[tokio::test]
async fn an_endpoint_is_not_changed_by_an_invalid_or_stale_request() {
    let (_server, client, _database) = start().await;
    let created = client.create_endpoint("https://example.com/", &["key.revoked"]).await;
    let before = client.endpoint(&created.id).await;
    let right = UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(Endpoint { display_name: "new".to_owned(), ..before.clone() }),
        update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        ..Default::default()
    };
    let update = async |request| client.endpoints().update_endpoint(request).await;
    let nameless = Endpoint { display_name: String::new(), ..before.clone() };
    let invalid = UpdateEndpointRequest { endpoint: Some(nameless), ..right.clone() };
    assert_wrong(update(invalid).await, &["endpoint.display_name"]);
    assert_eq!(client.endpoint(&created.id).await, before);

    // Somebody else changes it first, so what was read is stale.
    update(right.clone()).await.expect("the etag is the current one");
    let late = update(right).await.expect_err("the etag is the one before");
    assert_refused(&late, Code::Aborted, "STALE_ETAG");
    let request = DeleteEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: created.id.clone(),
        etag: before.etag,
        ..Default::default()
    };
    let late = client.endpoints().delete_endpoint(request).await.expect_err("stale as well");
    assert_refused(&late, Code::Aborted, "STALE_ETAG");
    assert!(late.message().contains("get the endpoint again"), "{late}");
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
        display_name: "on call".to_owned(),
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
        let request =
            CreateChannelRequest { organization_id, channel: Some(channel), ..Default::default() };
        channels.clone().create_channel(request).await
    };
    let update = async |channel: Channel| {
        let organization_id = organization_id.clone();
        let request = UpdateChannelRequest {
            organization_id,
            channel: Some(channel),
            update_mask: None,
            ..Default::default()
        };
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
