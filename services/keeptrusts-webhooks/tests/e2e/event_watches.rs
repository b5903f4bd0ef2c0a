//! WatchEvents: events as an endpoint would get them, without an endpoint.

use std::time::Duration;

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::access::caller::{Caller, client as client_with};
use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, on_both_backends,
};

on_both_backends!(
    events_are_watched_in_a_format_and_resumed_without_a_gap,
    a_key_that_is_revoked_ends_its_watch,
);

async fn watch(
    client: &Client,
    request: v1::WatchEventsRequest,
) -> Result<Streaming<v1::WatchEventsResponse>, Status> {
    let organization_id = client.organization();
    let request = v1::WatchEventsRequest { organization_id, ..request };
    Ok(client.dispatch().watch_events(request).await?.into_inner())
}

async fn next(events: &mut Streaming<v1::WatchEventsResponse>) -> v1::WatchEventsResponse {
    let next = timeout(PATIENCE, next_shown(events)).await.expect("in time");
    next.expect("it goes on").expect("it goes on")
}

fn id(watched: &v1::WatchEventsResponse) -> &str {
    watched.event.as_ref().map_or("", |event| &event.id)
}

async fn events_are_watched_in_a_format_and_resumed_without_a_gap(backend: Backend) {
    /// More than are read at once.
    const MISSED: usize = 1_200;
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let mut unseen = watch(&client, Default::default()).await.expect("it begins");
    let begun = unseen.message().await.expect("it goes on").expect("a token, at once");
    assert!(begun.event.is_none() && !begun.resume_token.is_empty(), "{begun:?}");
    drop(unseen);
    let mut own = watch(&client, Default::default()).await.expect("it begins");
    let only = v1::WatchEventsRequest {
        event_types: vec!["config.updated".to_owned()],
        payload_format: v1::PayloadFormat::Slack.into(),
        ..Default::default()
    };
    let mut slack = watch(&client, only.clone()).await.expect("it begins");
    let others = server.client("globex");
    others.publish("config.updated", "{}").await;
    let deployed = client.publish("config.deployed", r#"{"n":1}"#).await;
    let updated = client.publish("config.updated", r#"{"n":2}"#).await;

    // The bytes of our own format, and all types.
    let first = next(&mut own).await;
    assert_eq!((id(&first), first.content_type.as_str()), (deployed.as_str(), "application/json"));
    assert!(first.body.ends_with(r#""data":{"n":1}}"#) && first.error.is_empty(), "{first:?}");
    let get = v1::GetEventRequest {
        organization_id: client.organization(),
        event_id: deployed.clone(),
        ..Default::default()
    };
    let stored = client.ingest().get_event(get).await.expect("it is there").into_inner();
    let stored = stored.event.expect("an event");
    assert_eq!(first.body, stored.body);
    let without_body = v1::Event { body: String::new(), ..stored };
    assert_eq!(first.event, Some(without_body));
    assert_eq!(id(&next(&mut own).await), updated);

    // A watch that had shown nothing when it ended resumes where it began.
    let begun = v1::WatchEventsRequest { resume_token: begun.resume_token, ..Default::default() };
    let mut resumed = watch(&client, begun.clone()).await.expect("it begins");
    assert_eq!(id(&next(&mut resumed).await), deployed);
    let refused = watch(&others, begun).await.expect_err("the token is acme's");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");

    let told = next(&mut slack).await;
    assert_eq!(id(&told), updated, "only its type, and only its organization's");
    assert!(told.body.contains("\"blocks\""), "{}", told.body);

    // A test makes no event here, and watching makes no delivery.
    let endpoint = client.create_endpoint(&receiver.url("/"), &["user.invited"]).await;
    let test = v1::SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id,
        ..Default::default()
    };
    client.dispatch().send_test(test).await.expect("it is sent");
    assert!(client.deliveries_of(&updated).await.is_empty());

    // A client that was away misses nothing, however much it was.
    drop((own, slack));
    let mut missed = Vec::new();
    while missed.len() < MISSED {
        let requests = vec![client.event("config.updated", r#"{"n":3}"#); 600];
        let request =
            v1::BatchPublishEventsRequest { organization_id: client.organization(), requests };
        let batch = client.ingest().batch_publish_events(request).await.expect("accepted");
        missed.extend(batch.into_inner().results.into_iter().map(|result| match result.result {
            Some(v1::batch_publish_events_response::result::Result::Response(it)) => it.event_id,
            other => panic!("{other:?}"),
        }));
    }
    let again = v1::WatchEventsRequest { resume_token: told.resume_token.clone(), ..only };
    let mut slack = watch(&client, again.clone()).await.expect("it begins");
    for event_id in &missed {
        assert_eq!(id(&next(&mut slack).await), event_id);
    }
    let now = client.publish("config.updated", "{}").await;
    assert_eq!(id(&next(&mut slack).await), now, "and goes on with what comes now");
    let refused = watch(&others, again).await.expect_err("the token is acme's");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_tried_first_and_an_event_that_it_fails_for_says_why() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let custom = |template: &str| v1::WatchEventsRequest {
        payload_format: v1::PayloadFormat::Custom.into(),
        payload_template: template.to_owned(),
        ..Default::default()
    };
    let key = v1::WatchEventsRequest {
        payload_format: v1::PayloadFormat::Pagerduty.into(),
        ..Default::default()
    };
    for (request, field) in [
        (custom(""), "payload_template"),
        (custom("{{ unclosed"), "payload_template"),
        (custom("no JSON"), "payload_template"),
        (v1::WatchEventsRequest { payload_format: 99, ..Default::default() }, "payload_format"),
        (
            v1::WatchEventsRequest { payload_template: "{}".to_owned(), ..key.clone() },
            "payload_template",
        ),
        (
            v1::WatchEventsRequest { event_types: vec!["no.such".to_owned()], ..key.clone() },
            "event_types[0]",
        ),
    ] {
        let refused = watch(&client, request).await.expect_err(field);
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        let fields = refused.get_details_bad_request().expect("fields").field_violations;
        assert_eq!(fields[0].field, field);
    }

    let template = r#"{"n": {% if data.boom %}boom{% else %}{{ data.n|default(0) }}{% endif %}}"#;
    let mut events = watch(&client, custom(template)).await.expect("it begins");
    let mut masked = watch(&client, key).await.expect("it begins");
    client.publish("policy.violation", r#"{"boom":true}"#).await;
    client.publish("policy.violation", r#"{"n":7}"#).await;
    let failed = next(&mut events).await;
    assert!(failed.body.is_empty() && failed.content_type.is_empty(), "{failed:?}");
    assert!(failed.error.contains("JSON"), "{}", failed.error);
    let good = next(&mut events).await;
    assert_eq!((good.body.as_str(), good.error.as_str()), (r#"{"n": 7}"#, ""));
    let shown = next(&mut masked).await;
    assert!(shown.body.contains(&"*".repeat(32)), "{}", shown.body);
}

async fn a_key_that_is_revoked_ends_its_watch(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let made = first.create_key("acme", v1::Role::Viewer).await;
    let viewer = client_with(&server, "acme", &made.token);
    let mut events = watch(&viewer, Default::default()).await.expect("viewers may");
    first.revoke("acme", &made.key.expect("a key").id).await;
    let ended = timeout(Duration::from_secs(10), next_shown(&mut events)).await.expect("in time");
    assert_refused(&ended.expect_err("with a status"), Code::Unauthenticated, "UNAUTHENTICATED");
}
