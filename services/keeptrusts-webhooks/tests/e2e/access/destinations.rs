//! Invariant 10 for credentials of other services: the URLs and keys of notification channels, and
//! the routing keys of endpoints, go where they belong and are nowhere else, although receivers
//! echo them and everything is logged.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_testkit::collector::Collector;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use super::caller::Caller;
use super::credential_leaks::told;
use super::credential_search::{Credential, assert_absent};
use crate::platform::{Backend, Database, Server, eventually, on_both_backends, seen_at, watched};

const SLACK: &str = "/services/T0/B0/xW3kQ9pVbN7mRt2LyZc5HdJg";
const TEAMS: &str = "/workflows/1?sig=uF8sYq4GvKe1TnXo6BwRzPjM";
const CHANNELS_ROUTING_KEY: &str = "Rk5vTz8QmWc2YhLp7NxBf4GdJs9KuEa3";
const ENDPOINTS_ROUTING_KEY: &str = "Zq6HrVn3XtPw9CkMb5LyDf8GsJe2TuQa";
const SIGNING_KEY: &str = "Vy2NqKt7RfWx4HmPb9JzLc6GdSe3QuTa";

on_both_backends!(invariant_10_secrets_of_channels_and_formats_are_only_where_they_belong);

async fn invariant_10_secrets_of_channels_and_formats_are_only_where_they_belong(backend: Backend) {
    // It echoes what it was sent.
    let receiver = Receiver::start(Script::new(|request| {
        let echo = format!("{} {}", request.path, String::from_utf8_lossy(&request.body));
        Reply::status(202).with_header("x-echo", &request.path).with_body(echo)
    }));
    let database = Database::new(backend).await;
    let collector = Collector::start();
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--log-level", "trace")
        .flag("--otlp-endpoint", &collector.url());
    let (mut server, metrics) = watched(server).await;
    let mut answers = use_everything(&server, &receiver).await;
    let (status, seen) = seen_at(&metrics, "/metrics").await;
    assert_eq!(status, 200);
    answers.push(seen);

    let used: Vec<_> = receiver.requests().iter().map(|it| it.path.clone()).collect();
    let bodies: String = receiver
        .requests()
        .iter()
        .map(|it| String::from_utf8_lossy(&it.body).into_owned())
        .collect();
    assert!([SLACK, TEAMS].iter().all(|path| used.iter().any(|used| used == path)), "{used:?}");
    assert!([CHANNELS_ROUTING_KEY, ENDPOINTS_ROUTING_KEY].iter().all(|key| bodies.contains(key)));

    let planted = [
        Credential::secret("the Slack URL", SLACK.rsplit('/').next().expect("a part")),
        Credential::secret("the Teams URL", TEAMS.rsplit('=').next().expect("a part")),
        Credential::secret("the channel's routing key", CHANNELS_ROUTING_KEY),
        Credential::secret("the endpoint's routing key", ENDPOINTS_ROUTING_KEY),
        Credential::secret("the channel's signing key", SIGNING_KEY),
    ];
    for answer in &answers {
        assert_absent(&planted, "an answer", answer.as_bytes());
    }
    eventually("spans have come", async || (!collector.spans().is_empty()).then_some(())).await;
    // The last spans are exported when the process ends.
    server.stop().await;
    assert_absent(&planted, "a span", format!("{:#?}", collector.spans()).as_bytes());
    for (name, content) in database.content().await {
        assert_absent(&planted, &name, &content);
    }
    let logs = server.process().output();
    assert!(logs.contains("TRACE"), "the logs are detailed");
    assert_absent(&planted, "the log", logs.as_bytes());
}

/// Creates channels and an endpoint, uses them, and returns all answers about them.
async fn use_everything(server: &Server, receiver: &Receiver) -> Vec<String> {
    let caller = Caller::with(server, FIRST_KEY);
    let client = server.client("acme");
    let organization_id = || "acme".to_owned();
    let mut channels = NotificationServiceClient::new(caller.channel.clone());
    let mut answers = Vec::new();

    let slack = |path: &str| {
        let url = receiver.url(path);
        Destination::Slack(v1::SlackDestination { url, ..Default::default() })
    };
    let destinations = [
        slack(SLACK),
        Destination::Teams(v1::TeamsDestination { url: receiver.url(TEAMS), ..Default::default() }),
        Destination::Pagerduty(v1::PagerDutyDestination {
            routing_key: CHANNELS_ROUTING_KEY.to_owned(),
            url: receiver.url("/v2/enqueue"),
            ..Default::default()
        }),
        Destination::Webhook(v1::WebhookDestination {
            url: receiver.url("/hook"),
            secret: SIGNING_KEY.to_owned(),
        }),
    ];
    let channel = |destination| v1::Channel {
        display_name: "on call".to_owned(),
        destination: Some(destination),
        subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
        ..Default::default()
    };
    for destination in destinations {
        let request = v1::CreateChannelRequest {
            organization_id: organization_id(),
            channel: Some(channel(destination)),
            ..Default::default()
        };
        let created = channels.create_channel(request).await;
        let id = created.as_ref().expect("created").get_ref().channel.clone().expect("one").id;
        answers.push(told(created));
        let (organization_id, channel_id) = (organization_id(), id);
        let test = v1::TestChannelRequest {
            organization_id: organization_id.clone(),
            channel_id: channel_id.clone(),
            ..Default::default()
        };
        answers.push(told(channels.test_channel(test).await));
        let get = v1::GetChannelRequest { organization_id, channel_id };
        answers.push(told(channels.get_channel(get).await));
    }
    // What is refused is not quoted.
    let wrong = receiver.url(SLACK).replace("https", "http");
    let wrong = v1::CreateChannelRequest {
        organization_id: organization_id(),
        channel: Some(channel(Destination::Slack(v1::SlackDestination {
            url: wrong,
            ..Default::default()
        }))),
        ..Default::default()
    };
    answers.push(told(channels.create_channel(wrong).await));
    let list = v1::ListChannelsRequest { organization_id: organization_id(), ..Default::default() };
    answers.push(told(channels.list_channels(list).await));
    let list =
        v1::ListNotificationsRequest { organization_id: organization_id(), ..Default::default() };
    answers.push(told(channels.list_notifications(list).await));

    let create = v1::CreateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(v1::Endpoint {
            display_name: "pager".to_owned(),
            url: receiver.url("/v2/enqueue"),
            event_types: vec!["policy.block".to_owned()],
            payload_format: v1::PayloadFormat::Pagerduty.into(),
            routing_key: ENDPOINTS_ROUTING_KEY.to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    answers.push(told(client.endpoints().create_endpoint(create).await));
    let event_id = client.publish("policy.block", "{}").await;
    let delivered = client.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
    let sent = &delivered.attempts[0].request_body;
    assert!(sent.contains(&"*".repeat(32)), "the key is masked, not left out: {sent}");
    answers.push(format!("{delivered:?}"));
    let list =
        v1::ListAuditEntriesRequest { organization_id: organization_id(), ..Default::default() };
    let trail = AuditServiceClient::new(caller.channel.clone()).list_audit_entries(list).await;
    answers.push(told(trail));
    answers
}
