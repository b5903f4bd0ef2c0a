//! A credential that is sent along, such as PagerDuty's routing key, goes only to the server that
//! it was given for, whoever changes the URL.

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_contracts::v1::{self, NotificationType, PayloadFormat};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Reply, Script};
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, assert_refused, channel};

const KEY: &str = "abcdef0123456789abcdef0123456789";
const OTHER_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Checks that the routing key is required, in this field.
#[track_caller]
fn assert_asked_for<T>(answer: Result<T, Status>, field: &str) {
    let Err(status) = answer else { panic!("the key goes to another server") };
    assert_refused(&status, Code::FailedPrecondition, "CREDENTIAL_REQUIRED");
    let details = status.get_details_bad_request().expect("the field").field_violations;
    let fields: Vec<_> = details.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, [field], "{status}");
    assert!(details[0].description.contains("must be given again"), "{status}");
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    (!paths.is_empty()).then_some(FieldMask { paths })
}

fn has(request: &ReceivedRequest, key: &str) -> bool {
    String::from_utf8_lossy(&request.body).contains(key)
}

async fn update_endpoint(
    client: &Client,
    endpoint: v1::Endpoint,
    routing_key: &str,
    paths: &[&str],
) -> Result<v1::Endpoint, Status> {
    let request = v1::UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint { routing_key: routing_key.to_owned(), ..endpoint }),
        update_mask: mask(paths),
        ..Default::default()
    };
    let updated = client.endpoints().update_endpoint(request).await?;
    Ok(updated.into_inner().endpoint.expect("an endpoint"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoints_routing_key_is_given_anew_for_another_server() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint {
            display_name: "alerts".to_owned(),
            url: receiver.url("/v2/enqueue"),
            event_types: vec!["policy.violation".to_owned()],
            payload_format: PayloadFormat::Pagerduty.into(),
            routing_key: KEY.to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let created = client.endpoints().create_endpoint(request).await.expect("created");
    let id = created.into_inner().endpoint.expect("an endpoint").id;
    let disable = v1::DisableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: id.clone(),
        reason: String::new(),
    };
    client.endpoints().disable_endpoint(disable).await.expect("disabled");
    let before = client.endpoint(&id).await;
    let at = |url: &str| v1::Endpoint { url: url.to_owned(), ..before.clone() };
    let elsewhere = at("https://evil.example/v2/enqueue");
    let again =
        v1::Endpoint { payload_format: PayloadFormat::Pagerduty.into(), ..elsewhere.clone() };
    for (endpoint, paths) in [
        (&elsewhere, &["url"][..]),
        (&elsewhere, &["*"]),
        (&elsewhere, &[]),
        (&again, &["url", "payload_format"]),
    ] {
        let refused = update_endpoint(&client, endpoint.clone(), "", paths).await;
        assert_asked_for(refused, "endpoint.routing_key");
    }
    assert_eq!(client.endpoint(&id).await, before, "nothing was changed");

    let moved = at(&receiver.url("/other/path"));
    let moved = update_endpoint(&client, moved, "", &["url"]).await.expect("the same server");
    let enable = v1::EnableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: id.clone(),
    };
    client.endpoints().enable_endpoint(enable).await.expect("enabled");
    client.publish("policy.violation", "{}").await;
    let received = receiver.wait_for(1, PATIENCE).await;
    assert!(received[0].path == "/other/path" && has(&received[0], KEY), "its key stays");

    let elsewhere = v1::Endpoint { etag: moved.etag, ..elsewhere };
    let paths = ["url", "routing_key"];
    let given = update_endpoint(&client, elsewhere, OTHER_KEY, &paths).await.expect("a new key");
    assert_eq!(given.url, "https://evil.example/v2/enqueue");
    // Another format has no key; returning to the first one requires a key.
    let ours = v1::Endpoint {
        url: receiver.url("/ours"),
        payload_format: PayloadFormat::Keeptrusts.into(),
        ..given
    };
    let paths = ["url", "payload_format"];
    let ours = update_endpoint(&client, ours, "", &paths).await.expect("no key is sent");
    assert!(!ours.has_routing_key);
}

type Channels = NotificationServiceClient<AuthorizedChannel>;

async fn update_channel(
    channels: &Channels,
    id: &str,
    destination: Destination,
    paths: &[&str],
) -> Result<v1::Channel, Status> {
    let request = v1::UpdateChannelRequest {
        organization_id: "acme".to_owned(),
        channel: Some(v1::Channel {
            id: id.to_owned(),
            destination: Some(destination),
            ..Default::default()
        }),
        update_mask: mask(paths),
        ..Default::default()
    };
    let answer = channels.clone().update_channel(request).await?;
    Ok(answer.into_inner().channel.expect("a channel"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_routing_key_is_given_anew_for_another_server() {
    let receiver = Receiver::start(Script::always(Reply::status(202)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    let channels = NotificationServiceClient::new(bearer.on(channel(server.address())));
    let pager = |url: &str, key: &str, region: v1::PagerDutyRegion| {
        let (url, routing_key) = (url.to_owned(), key.to_owned());
        Destination::Pagerduty(v1::PagerDutyDestination { url, routing_key, region: region.into() })
    };
    let us = v1::PagerDutyRegion::Us;
    let request = v1::CreateChannelRequest {
        organization_id: "acme".to_owned(),
        channel: Some(v1::Channel {
            display_name: "on call".to_owned(),
            destination: Some(pager(&receiver.url("/v2/enqueue"), KEY, us)),
            subscriptions: vec![NotificationType::EndpointDegraded.into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let created = channels.clone().create_channel(request).await.expect("created");
    let id = created.into_inner().channel.expect("a channel").id;
    for elsewhere in [
        pager("https://evil.example/v2/enqueue", "", us),
        // The addresses of PagerDuty's regions are different servers as well.
        pager("", "", us),
        pager("", "", v1::PagerDutyRegion::Eu),
    ] {
        for paths in [&["pagerduty"][..], &[]] {
            let refused = update_channel(&channels, &id, elsewhere.clone(), paths).await;
            assert_asked_for(refused, "channel.pagerduty.routing_key");
        }
    }
    let moved = pager(&receiver.url("/other/path"), "", us);
    update_channel(&channels, &id, moved, &["pagerduty"]).await.expect("the same server");
    let test = v1::TestChannelRequest {
        organization_id: "acme".to_owned(),
        channel_id: id.clone(),
        ..Default::default()
    };
    channels.clone().test_channel(test).await.expect("tested");
    for request in receiver.wait_for(1, PATIENCE).await {
        assert!(request.path == "/other/path" && has(&request, KEY), "its key stays");
    }
    let given = pager("", OTHER_KEY, v1::PagerDutyRegion::Eu);
    update_channel(&channels, &id, given, &["pagerduty"]).await.expect("a new key");
}

#[tokio::test]
async fn a_request_that_repeats_a_credential_changes_nothing() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let wanted = v1::Endpoint {
        display_name: "alerts".to_owned(),
        url: receiver.url("/v2/enqueue"),
        event_types: vec!["policy.violation".to_owned()],
        payload_format: PayloadFormat::Pagerduty.into(),
        routing_key: KEY.to_owned(),
        secret: "correct horse battery".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(wanted.clone()),
        ..Default::default()
    };
    let created = client.endpoints().create_endpoint(request).await.expect("created");
    let id = created.into_inner().endpoint.expect("an endpoint").id;
    // A rotation whose overlap goes on.
    let rotate = v1::RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: id.clone(),
        secret: "staple battery horse".to_owned(),
        overlap: None,
        ..Default::default()
    };
    client.endpoints().rotate_secret(rotate).await.expect("rotated");
    let before = client.endpoint(&id).await;
    assert!(before.previous_secret_expire_time.is_some());
    let wanted =
        v1::Endpoint { id: id.clone(), secret: "staple battery horse".to_owned(), ..wanted };
    for paths in [&[][..], &["*", "secret", "routing_key"], &["secret"]] {
        let same = update_endpoint(&client, wanted.clone(), KEY, paths).await.expect("accepted");
        assert_eq!(same, before, "{paths:?}");
    }
    let other = v1::Endpoint { secret: "another secret of ours".to_owned(), ..wanted };
    let changed = update_endpoint(&client, other, KEY, &["secret"]).await.expect("accepted");
    assert!(changed.etag != before.etag && changed.previous_secret_expire_time.is_none());
}

#[tokio::test]
async fn a_channel_that_is_sent_again_is_not_changed() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    let channels = NotificationServiceClient::new(bearer.on(channel(server.address())));
    let slack = |url: &str| {
        let (url, address) = (url.to_owned(), String::new());
        Destination::Slack(v1::SlackDestination { url, address })
    };
    let webhook = |secret: &str| {
        let (url, secret) = ("https://hooks.example/".to_owned(), secret.to_owned());
        Destination::Webhook(v1::WebhookDestination { url, secret })
    };
    let secret_url = "https://hooks.slack.example/services/T/B/x";
    for (path, destination, other) in [
        ("slack", slack(secret_url), slack("https://hooks.slack.example/services/T/B/y")),
        ("webhook", webhook("correct horse battery"), webhook("staple battery horse")),
    ] {
        let request = v1::CreateChannelRequest {
            organization_id: "acme".to_owned(),
            channel: Some(v1::Channel {
                display_name: "on call".to_owned(),
                destination: Some(destination.clone()),
                subscriptions: vec![NotificationType::EndpointDegraded.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        let created = channels.clone().create_channel(request).await.expect("created");
        let created = created.into_inner().channel.expect("a channel");
        let again = update_channel(&channels, &created.id, destination, &[path]).await;
        assert_eq!(again.expect("accepted"), created, "with its secret");
        let request = v1::UpdateChannelRequest {
            organization_id: "acme".to_owned(),
            channel: Some(created.clone()),
            update_mask: None,
            ..Default::default()
        };
        let read = channels.clone().update_channel(request).await.expect("accepted").into_inner();
        assert_eq!(read.channel.as_ref(), Some(&created), "as it was read");
        let changed = update_channel(&channels, &created.id, other, &[path]).await;
        assert_ne!(changed.expect("accepted").etag, created.etag);
    }
}
