//! Notification channels: all their pages, with and without scripts.

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use keeptrusts_webhooks_testkit::vendors;

use crate::console::fixture::{ConsoleFixture, FAR_AWAY, ORGANIZATION, STATUS};
use crate::platform::{PATIENCE, channel};

const SECRET_PATH: &str = "/services/T0/B0/slacksecret";

fn service(fixture: &ConsoleFixture) -> NotificationServiceClient<AuthorizedChannel> {
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    NotificationServiceClient::new(bearer.on(channel(fixture.server.address())))
}

/// Creates a channel to Slack through the API; returns its id.
pub(crate) async fn create_channel(fixture: &ConsoleFixture, name: &str) -> String {
    let url = fixture.receiver.url(SECRET_PATH);
    let slack = v1::SlackDestination { url, ..Default::default() };
    let channel = v1::Channel {
        display_name: name.to_owned(),
        destination: Some(v1::channel::Destination::Slack(slack)),
        subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
        ..Default::default()
    };
    let organization_id = ORGANIZATION.to_owned();
    let request =
        v1::CreateChannelRequest { organization_id, channel: Some(channel), ..Default::default() };
    let created = service(fixture).create_channel(request).await.expect("it is created");
    created.into_inner().channel.expect("a channel").id
}

async fn channels(fixture: &ConsoleFixture) -> Vec<v1::Channel> {
    let mut client = service(fixture);
    let request =
        v1::ListChannelsRequest { organization_id: ORGANIZATION.to_owned(), ..Default::default() };
    client.list_channels(request).await.expect("listed").into_inner().channels
}

async fn is_accessible(fixture: &ConsoleFixture, page: &str) {
    let violations = fixture.browser.accessibility_violations().await;
    assert!(violations.is_empty(), "{page}: {violations:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_created_tested_seen_failing_edited_and_deleted() {
    let replies = [Reply::status(404), Reply::ok()];
    let fixture = ConsoleFixture::start(Script::sequence(replies), FAR_AWAY).await;
    let browser = &fixture.browser;
    browser.click(Role::Link, "Notification channels").await;
    browser.see(Role::Heading, "No channels yet").await;
    is_accessible(&fixture, "no channels").await;
    browser.click(Role::Button, "Create Channel").await;
    is_accessible(&fixture, "kinds").await;
    browser.click(Role::Button, "Next").await;

    // An error is shown beside its field, and the input is kept.
    browser.fill("Name", "on call").await;
    browser.fill("Webhook URL", "http://hooks.example/").await;
    browser.click(Role::Button, "Create").await;
    let error = browser.text("#url-error").await;
    assert!(error.contains("https"), "{error}");
    assert_eq!(browser.value("Name").await, "on call");
    is_accessible(&fixture, "a form with an error").await;
    browser.fill("Webhook URL", &fixture.receiver.url(SECRET_PATH)).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "on call").await;
    let id = channels(&fixture).await.remove(0).id;

    browser.click(Role::Button, "Send Test").await;
    let failed = |text: &str| text.contains("Test failed: the service answered 404");
    browser.text_when(STATUS, "tells the outcome", failed).await;
    fixture.open(&format!("/channels/{id}")).await;
    let alert = browser.text("main [role=alert]").await;
    assert!(alert.contains("404 Not Found") && alert.contains("since"), "{alert}");
    is_accessible(&fixture, "a failing channel").await;
    browser.click(Role::Button, "Send Test").await;
    let sent = |text: &str| text.contains("Test sent: the service answered 200");
    browser.text_when(STATUS, "tells the outcome", sent).await;
    fixture.open(&format!("/channels/{id}")).await;
    let rows = browser.rows("table[aria-label=History] tbody tr").await;
    assert_eq!((rows.len(), rows[0][2].as_str()), (2, "Sent"));
    for request in fixture.receiver.wait_for(2, PATIENCE).await {
        vendors::check_slack_message(&request.body).expect("Slack takes it");
    }

    browser.click(Role::Link, "Edit").await;
    assert_eq!(browser.value("Webhook URL").await, "", "it is not shown again");
    browser.fill("Name", "on call at night").await;
    browser.tick("Weekly summary", true).await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "on call at night").await;
    let page =
        browser.run("return document.documentElement.outerHTML;", serde_json::json!([])).await;
    assert!(!page.to_string().contains("slacksecret"));
    let edited = channels(&fixture).await.remove(0);
    assert_eq!(edited.subscriptions.len(), 5);

    browser.click(Role::Link, "Delete").await;
    browser.click(Role::Button, "Delete").await;
    browser.see(Role::Heading, "No channels yet").await;
    assert!(channels(&fixture).await.is_empty());
    fixture.assert_no_complaints_but_of_status(&[422]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_every_kind_of_channel_can_be_created() {
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let browser = &fixture.browser;
    browser.disable_scripts().await;
    for (kind, label, value) in [
        ("slack", "Webhook URL", fixture.receiver.url(SECRET_PATH)),
        ("teams", "Webhook URL", fixture.receiver.url("/workflows/1")),
        ("pagerduty", "Routing key", "0123456789abcdef0123456789abcdef".to_owned()),
        ("webhook", "URL", fixture.receiver.url("/hook")),
    ] {
        fixture.open(&format!("/channels/new?kind={kind}")).await;
        browser.fill("Name", kind).await;
        browser.fill(label, &value).await;
        if kind == "webhook" {
            browser.fill("Secret", "correct horse battery staple").await;
        }
        browser.click(Role::Button, "Create").await;
        browser.see(Role::Heading, kind).await;
    }
    browser.click(Role::Button, "Send Test").await;
    let outcome = browser.text(STATUS).await;
    assert!(outcome.contains("Test sent: the service answered 200"), "{outcome}");
    let pager =
        channels(&fixture).await.into_iter().find(|found| found.display_name == "pagerduty");
    fixture.open(&format!("/channels/{}/edit", pager.expect("it is there").id)).await;
    browser.choose("Region of the account", "EU").await;
    browser.click(Role::Button, "Save").await;
    let error = browser.text("#routing_key-error").await;
    assert!(error.starts_with("Routing key must be given again"), "{error}");
    browser.fill("Routing key", "0123456789abcdef0123456789ABCDEF").await;
    browser.click(Role::Button, "Save").await;
    browser.see(Role::Heading, "pagerduty").await;
    // Without a mail server the form says so, and keeps the input.
    fixture.open("/channels/new?kind=email").await;
    browser.fill("Name", "ops").await;
    browser.fill("Recipients", "ops@example.com").await;
    browser.click(Role::Button, "Create").await;
    let alert = browser.text("main [role=alert]").await;
    assert!(alert.contains("--smtp-server"), "{alert}");
    assert_eq!(browser.value("Recipients").await, "ops@example.com");
    assert_eq!(channels(&fixture).await.len(), 4);
}
