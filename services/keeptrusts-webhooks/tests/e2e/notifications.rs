//! Notification channels: each kind of service gets its own format, a failing channel is shown as
//! failing, and secrets are never shown again.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_contracts::v1::{NotificationType, channel, delivery, notification};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::mail::{Behaviour, MailServer, ReceivedMail};
use keeptrusts_webhooks_testkit::receiver::{Authority, ReceivedRequest, Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::{vendors, verify};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, ServerBuilder, channel, eventually,
    on_both_backends,
};

on_both_backends! {
    mail_limits_hold_across_processes_and_restarts,
}

const ROUTING_KEY: &str = "abcdef0123456789abcdef0123456789";
const SIGNING_KEY: &str = "correct horse battery staple";
const EVERYTHING: [NotificationType; 4] = [
    NotificationType::DeliveryExhausted,
    NotificationType::EndpointDegraded,
    NotificationType::EndpointRecovered,
    NotificationType::EndpointDisabled,
];

struct NotificationFixture {
    /// Endpoints and channels, distinguished by their paths.
    receiver: Receiver,
    mail: MailServer,
    database: Database,
    server: Server,
    client: Client,
    channels: NotificationServiceClient<AuthorizedChannel>,
}

impl NotificationFixture {
    async fn with(
        backend: Backend,
        script: Script,
        behaviour: Behaviour,
        flags: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> NotificationFixture {
        Self::trusting(Authority::new(), backend, script, behaviour, flags).await
    }

    /// The same with servers of this authority.
    async fn trusting(
        authority: Authority,
        backend: Backend,
        script: Script,
        behaviour: Behaviour,
        flags: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> NotificationFixture {
        let authority = Arc::new(authority);
        let receiver = Receiver::builder().script(script).authority(&authority).start();
        let mail = MailServer::start(&authority, behaviour).await;
        let database = Database::new(backend).await;
        let builder = Server::all_in_one(&database)
            .delivering_to(&receiver)
            .flag("--retry-schedule", "never")
            .flag("--smtp-server", &mail.address().to_string())
            .flag("--smtp-from", "webhooks@example.com")
            .flag("--smtp-ca", receiver.ca_file().to_str().expect("UTF-8"));
        let server = flags(builder).start().await;
        let bearer = Bearer::new(FIRST_KEY).expect("a token");
        let channels = NotificationServiceClient::new(bearer.on(channel(server.address())));
        let client = server.client("acme");
        NotificationFixture { receiver, mail, database, server, client, channels }
    }

    async fn create(&self, name: &str, destination: Destination) -> v1::Channel {
        let request = v1::CreateChannelRequest {
            organization_id: self.client.organization(),
            channel: Some(v1::Channel {
                display_name: name.to_owned(),
                destination: Some(destination),
                subscriptions: EVERYTHING.map(Into::into).to_vec(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let created = self.channels.clone().create_channel(request).await;
        created.expect("the channel is created").into_inner().channel.expect("a channel")
    }

    async fn test(&self, id: &str) -> v1::Notification {
        self.try_test(&self.channels, id).await.expect("it has an outcome")
    }

    /// The same through another process, or at another time.
    async fn try_test(
        &self,
        channels: &NotificationServiceClient<AuthorizedChannel>,
        id: &str,
    ) -> Result<v1::Notification, tonic::Status> {
        let request = v1::TestChannelRequest {
            organization_id: self.client.organization(),
            channel_id: id.to_owned(),
            ..Default::default()
        };
        let answer = channels.clone().test_channel(request).await?;
        Ok(answer.into_inner().notification.expect("a notification"))
    }

    /// Waits until exactly so many requests have come to a path.
    async fn wait_for_requests(&self, path: &str, count: usize) {
        let arrived = |requests: &[Arc<ReceivedRequest>]| {
            requests.iter().filter(|request| request.path == path).count() >= count
        };
        self.receiver.wait_until(arrived, PATIENCE).await;
        assert_eq!(self.came_to(path).len(), count, "{path}");
    }

    async fn look(&self, id: &str) -> v1::Channel {
        let request = v1::GetChannelRequest {
            organization_id: self.client.organization(),
            channel_id: id.to_owned(),
        };
        let answer = self.channels.clone().get_channel(request).await.expect("it is there");
        answer.into_inner().channel.expect("a channel")
    }

    async fn notifications(&self, channel_id: &str) -> Vec<v1::Notification> {
        let request = v1::ListNotificationsRequest {
            organization_id: self.client.organization(),
            channel_ids: vec![channel_id.to_owned()],
            ..Default::default()
        };
        let answer = self.channels.clone().list_notifications(request).await.expect("listed");
        answer.into_inner().notifications
    }

    /// The requests that have come to a path so far.
    fn came_to(&self, path: &str) -> Vec<Arc<ReceivedRequest>> {
        let requests = self.receiver.requests().into_iter();
        requests.filter(|request| request.path == path).collect()
    }
}

fn slack(fixture: &NotificationFixture, path: &str) -> Destination {
    let url = fixture.receiver.url(path);
    Destination::Slack(v1::SlackDestination { url, ..Default::default() })
}

fn webhook(fixture: &NotificationFixture, path: &str) -> Destination {
    let (url, secret) = (fixture.receiver.url(path), SIGNING_KEY.to_owned());
    Destination::Webhook(v1::WebhookDestination { url, secret })
}

fn email(recipients: &[&str]) -> Destination {
    let recipients = recipients.iter().map(|text| (*text).to_owned()).collect();
    Destination::Email(v1::EmailDestination { recipients })
}

/// An endpoint that fails, then works, then is gone; everything else works.
fn story() -> Script {
    let endpoint = [Reply::status(500), Reply::ok(), Reply::status(410)];
    let ok = || Script::always(Reply::ok());
    Script::by_path([
        ("/endpoint", Script::sequence(endpoint)),
        ("/services/T0/B0/slacksecret", ok()),
        ("/workflows/1?sig=teamssecret", Script::always(Reply::status(202))),
        ("/v2/enqueue", Script::always(Reply::status(202))),
        ("/hook", ok()),
    ])
}

const SLACK: &str = "/services/T0/B0/slacksecret";
const TEAMS: &str = "/workflows/1?sig=teamssecret";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_channel_gets_every_notification_in_its_own_format() {
    let fixture =
        NotificationFixture::with(Backend::Sqlite, story(), Behaviour::default(), |builder| {
            builder
        })
        .await;
    let kinds = [
        ("slack", slack(&fixture, SLACK)),
        (
            "teams",
            Destination::Teams(v1::TeamsDestination {
                url: fixture.receiver.url(TEAMS),
                ..Default::default()
            }),
        ),
        (
            "pagerduty",
            Destination::Pagerduty(v1::PagerDutyDestination {
                routing_key: ROUTING_KEY.to_owned(),
                url: fixture.receiver.url("/v2/enqueue"),
                ..Default::default()
            }),
        ),
        ("webhook", webhook(&fixture, "/hook")),
        ("email", email(&["ann@example.com", "bob@example.com"])),
    ];
    for (name, destination) in kinds {
        let created = fixture.create(name, destination).await;
        let test = fixture.test(&created.id).await;
        assert_eq!(test.state(), notification::State::Sent, "{name}: {}", test.error);
        assert_eq!(test.r#type(), NotificationType::Test);
    }

    let endpoint = fixture.receiver.url("/endpoint");
    let endpoint = fixture.client.create_endpoint(&endpoint, &["policy.block"]).await;
    // A test; exhausted and degraded; recovered; disabled. The second exhausted delivery waits for
    // its hour, but opens an incident at once, because the first incident is over. A test is over
    // at once.
    let steps = [
        (delivery::State::Failed, 3, 4),
        (delivery::State::Delivered, 4, 5),
        (delivery::State::Failed, 5, 7),
    ];
    for (state, told, incidents) in steps {
        let event = fixture.client.publish("policy.block", "{}").await;
        fixture.client.wait_for_state(&event, state).await;
        for path in [SLACK, TEAMS, "/hook"] {
            fixture.wait_for_requests(path, told).await;
        }
        fixture.wait_for_requests("/v2/enqueue", incidents).await;
        fixture.mail.wait_for(told, PATIENCE).await;
    }
    // Whoever enables it need not be notified; a service with an open incident must be.
    let request = v1::EnableEndpointRequest {
        organization_id: fixture.client.organization(),
        endpoint_id: endpoint.id,
    };
    fixture.client.endpoints().enable_endpoint(request).await.expect("it is there");
    fixture.wait_for_requests("/v2/enqueue", 8).await;
    for path in [SLACK, TEAMS, "/hook"] {
        fixture.wait_for_requests(path, 5).await;
    }
    check_each_format(&fixture, &fixture.mail.mails());
}

fn check_each_format(fixture: &NotificationFixture, mails: &[ReceivedMail]) {
    for request in fixture.came_to(SLACK) {
        vendors::check_slack_message(&request.body).expect("Slack takes it");
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    for request in fixture.came_to(TEAMS) {
        vendors::check_teams_message(&request.body).expect("Teams takes it");
    }
    let mut actions = Vec::new();
    for request in fixture.came_to("/v2/enqueue") {
        vendors::check_pager_duty_event(&request.body, ROUTING_KEY).expect("PagerDuty takes it");
        let event: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        actions.push((text(&event["payload"]["class"]), text(&event["event_action"])));
    }
    actions.sort();
    let expected = [
        ("delivery_exhausted", "trigger"),
        ("delivery_exhausted", "trigger"),
        ("endpoint_degraded", "trigger"),
        ("endpoint_disabled", "trigger"),
        ("endpoint_recovered", "resolve"),
        ("incident_resolved", "resolve"),
        ("test", "resolve"),
        ("test", "trigger"),
    ];
    let actions: Vec<_> =
        actions.iter().map(|(class, action)| (class.as_str(), action.as_str())).collect();
    assert_eq!(actions, expected);
    let hooks = fixture.came_to("/hook");
    verify::assert_signed(SIGNING_KEY, &hooks);
    for hook in &hooks {
        let body: serde_json::Value = serde_json::from_slice(&hook.body).expect("JSON");
        assert_eq!(hook.header("x-keeptrusts-event"), body["event"].as_str());
        let (whole, exact) = (body["timestamp"].as_str(), hook.header("x-keeptrusts-event-time"));
        let (whole, exact) = (whole.expect("a time"), exact.expect("the exact time"));
        assert_eq!((whole.len(), exact.len()), (20, 27), "{whole}, {exact}");
        assert!(exact.starts_with(whole.trim_end_matches('Z')), "{whole}, {exact}");
    }
    let mut ids: Vec<_> = mails.iter().filter_map(|mail| mail.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), mails.len(), "each mail is one of its own");
    for mail in mails {
        assert!(mail.is_encrypted, "STARTTLS");
        assert_eq!(mail.to, ["ann@example.com", "bob@example.com"]);
        assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
        assert_eq!(
            mail.header("From").as_deref(),
            Some("\"Keeptrusts Webhooks\" <webhooks@example.com>")
        );
        assert!(mail.header("Subject").expect("a subject").starts_with("[Keeptrusts Webhooks] "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_channel_is_shown_as_failing_until_a_notification_gets_through() {
    let script = Script::sequence([Reply::status(404), Reply::ok()]);
    let fixture =
        NotificationFixture::with(Backend::Sqlite, script, Behaviour::default(), |builder| builder)
            .await;
    let id = fixture.create("slack", slack(&fixture, SLACK)).await.id;
    let test = fixture.test(&id).await;
    assert_eq!(test.state(), notification::State::Failed);
    assert_eq!((test.status_code, test.attempt_count), (404, 1));
    assert_eq!(test.error, "the service answered 404 Not Found");
    let failing = fixture.look(&id).await;
    assert_eq!(failing.state(), channel::State::Failing);
    assert_eq!(failing.state_reason, test.error);
    assert!(failing.state_time.is_some());
    assert_eq!(fixture.test(&id).await.state(), notification::State::Sent);
    let active = fixture.look(&id).await;
    assert_eq!((active.state(), active.state_reason.as_str()), (channel::State::Active, ""));
    let history = fixture.notifications(&id).await;
    let states: Vec<_> = history.iter().map(v1::Notification::state).collect();
    assert_eq!(states, [notification::State::Sent, notification::State::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_with_encryption_and_authentication() {
    let behaviour = Behaviour {
        credentials: Some(("webhooks".to_owned(), "open sesame".to_owned())),
        ..Behaviour::default()
    };
    let ok = || Script::always(Reply::ok());
    let fixture = NotificationFixture::with(Backend::Sqlite, ok(), behaviour, |builder| {
        builder
            .flag("--smtp-username", "webhooks")
            .env("KEEPTRUSTS_WEBHOOKS_SMTP_PASSWORD", "open sesame")
    })
    .await;
    let right = fixture.create("ops", email(&["ops@example.com"])).await;
    assert_eq!(fixture.test(&right.id).await.state(), notification::State::Sent);
    let mail = fixture.mail.mails().pop().expect("it came");
    assert_eq!((mail.user.as_deref(), mail.is_encrypted), (Some("webhooks"), true));
    let refused = fixture.create("nobody", email(&["refused@example.com"])).await;
    let test = fixture.test(&refused.id).await;
    assert_eq!((test.state(), test.status_code), (notification::State::Failed, 550));
    // The text of the operator's mail server is for the operator.
    assert!(test.error.starts_with("the mail server refuses a recipient"), "{}", test.error);
    let shown = format!("{test:?} {:?}", fixture.look(&refused.id).await);
    assert!(!shown.contains("no such mailbox"), "{shown}");
    let log = fixture.server.process().output();
    assert!(log.contains("no such mailbox"), "{log}");

    // A server that does not offer STARTTLS gets neither the password nor a mail.
    let behaviour = Behaviour { without_starttls: true, ..Behaviour::default() };
    let fixture =
        NotificationFixture::with(Backend::Sqlite, ok(), behaviour, |builder| builder).await;
    let id = fixture.create("ops", email(&["ops@example.com"])).await.id;
    assert_eq!(fixture.test(&id).await.state(), notification::State::Failed);
    assert!(fixture.mail.mails().is_empty());
}

async fn mail_limits_hold_across_processes_and_restarts(backend: Backend) {
    const STRANGERS: usize = 20;
    let ok = Script::always(Reply::ok());
    let mut fixture =
        NotificationFixture::with(backend, ok, Behaviour::default(), |builder| builder).await;
    let strangers: Vec<_> =
        (0..STRANGERS).map(|number| format!("stranger-{number}@example.com")).collect();
    let strangers: Vec<_> = strangers.iter().map(String::as_str).collect();
    let id = fixture.create("spam", email(&strangers)).await.id;
    // On Postgres another process may be asked as well.
    let other = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => {
            let builder = Server::all_in_one(&fixture.database)
                .delivering_to(&fixture.receiver)
                .flag("--smtp-server", &fixture.mail.address().to_string())
                .flag("--smtp-from", "webhooks@example.com")
                .flag("--smtp-ca", fixture.receiver.ca_file().to_str().expect("UTF-8"));
            Some(builder.start().await)
        }
    };
    let client = |server: &Server| {
        let bearer = Bearer::new(FIRST_KEY).expect("a token");
        NotificationServiceClient::new(bearer.on(channel(server.address())))
    };
    let clients: Vec<_> =
        [Some(&fixture.server), other.as_ref()].into_iter().flatten().map(client).collect();
    let mut asked = JoinSet::new();
    for number in 0..75 {
        let mut client = clients[number % clients.len()].clone();
        let request = v1::TestChannelRequest {
            organization_id: fixture.client.organization(),
            channel_id: id.clone(),
            ..Default::default()
        };
        asked.spawn(async move { client.test_channel(request).await });
    }
    let answers = asked.join_all().await;
    // 100 recipients in a minute.
    assert_eq!(fixture.mail.mails().len(), 5);
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 70);
    for status in &refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let info = status.get_details_error_info().expect("a reason");
        assert_eq!(info.reason, "MAIL_LIMIT_EXCEEDED");
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(retry.is_some_and(|delay| !delay.is_zero() && delay.as_secs() <= 60), "{retry:?}");
    }
    fixture.server.kill().await;
    fixture.server.start_again().await;
    let refused = fixture.try_test(&client(&fixture.server), &id).await.expect_err("not yet");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(fixture.mail.mails().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_and_a_mail_server_with_self_signed_certificates_are_trusted_if_these_are_named()
{
    let own = Authority::self_signed_server();
    let script = Script::always(Reply::ok());
    let fixture = NotificationFixture::trusting(
        own,
        Backend::Sqlite,
        script,
        Behaviour::default(),
        |builder| builder,
    )
    .await;
    for destination in [email(&["ops@example.com"]), webhook(&fixture, "/ops")] {
        let id = fixture.create("ops", destination).await.id;
        let test = fixture.test(&id).await;
        assert_eq!(test.state(), notification::State::Sent, "{}", test.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mail_server_no_email_channel_is_created() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    let mut channels = NotificationServiceClient::new(bearer.on(channel(server.address())));
    let request = v1::CreateChannelRequest {
        organization_id: "acme".to_owned(),
        channel: Some(v1::Channel {
            display_name: "ops".to_owned(),
            destination: Some(email(&["ops@example.com"])),
            subscriptions: vec![NotificationType::EndpointDegraded.into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = channels.create_channel(request).await.expect_err("it sends no mail");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--smtp-server"), "{}", refused.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_channels_are_never_shown_again() {
    let ok = Script::always(Reply::status(503));
    let fixture =
        NotificationFixture::with(Backend::Sqlite, ok, Behaviour::default(), |builder| builder)
            .await;
    let slack = fixture.create("slack", slack(&fixture, SLACK)).await;
    let hook = fixture.create("hook", webhook(&fixture, "/hook")).await;
    let pager = Destination::Pagerduty(v1::PagerDutyDestination {
        routing_key: ROUTING_KEY.to_owned(),
        url: fixture.receiver.url("/v2/enqueue"),
        ..Default::default()
    });
    let pager = fixture.create("pager", pager).await;
    let mut answers = String::new();
    for channel in [&slack, &hook, &pager] {
        let failed = fixture.test(&channel.id).await;
        let looked = fixture.look(&channel.id).await;
        let told = fixture.notifications(&channel.id).await;
        answers += &format!("{:?} {channel:?} {failed:?} {looked:?} {told:?}", channel.destination);
        // The generated Debug hides secrets; the bytes do not.
        answers += &String::from_utf8_lossy(&prost::Message::encode_to_vec(&looked));
    }
    let logs = fixture.server.process().output();
    for secret in ["slacksecret", SIGNING_KEY, ROUTING_KEY] {
        assert!(!answers.contains(secret), "{secret} is answered");
        assert!(!logs.contains(secret), "{secret} is logged");
        for entry in std::fs::read_dir(fixture.database.folder()).expect("the folder") {
            let bytes = std::fs::read(entry.expect("an entry").path()).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in the database");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_updated_channel_keeps_its_secret_and_a_deleted_one_its_history() {
    let ok = Script::always(Reply::ok());
    let fixture =
        NotificationFixture::with(Backend::Sqlite, ok, Behaviour::default(), |builder| builder)
            .await;
    let created = fixture.create("hook", webhook(&fixture, "/hook")).await;
    let moved = Destination::Webhook(v1::WebhookDestination {
        url: fixture.receiver.url("/moved"),
        secret: String::new(),
    });
    let update = |etag: &str| v1::UpdateChannelRequest {
        organization_id: fixture.client.organization(),
        channel: Some(v1::Channel {
            id: created.id.clone(),
            destination: Some(moved.clone()),
            etag: etag.to_owned(),
            ..Default::default()
        }),
        update_mask: None,
        ..Default::default()
    };
    let mut channels = fixture.channels.clone();
    let updated = channels.update_channel(update(&created.etag)).await.expect("it is current");
    let updated = updated.into_inner().channel.expect("a channel");
    assert_eq!((updated.display_name.as_str(), updated.etag != created.etag), ("hook", true));
    let stale = channels.update_channel(update(&created.etag)).await.expect_err("it is stale");
    assert_eq!(stale.code(), Code::Aborted);
    assert_eq!(fixture.test(&created.id).await.state(), notification::State::Sent);
    verify::assert_signed(SIGNING_KEY, &fixture.came_to("/moved"));

    let delete = v1::DeleteChannelRequest {
        organization_id: fixture.client.organization(),
        channel_id: created.id.clone(),
        etag: String::new(),
        ..Default::default()
    };
    channels.delete_channel(delete).await.expect("it is there");
    eventually("the history stays", async || {
        Some(fixture.notifications(&created.id).await).filter(|told| told.len() == 1)
    })
    .await;
}
