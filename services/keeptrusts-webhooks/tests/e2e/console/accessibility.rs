//! Every page, in both colour schemes, on a desktop and on a phone: accessible, not wider than the
//! screen, and kept as a picture in `target/screenshots`.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::{Browser, ColorScheme, Role, Size};
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Reply, Script};
use serde_json::json;

use crate::console::access::AccessClient;
use crate::console::fixture::{ConsoleFixture, FAR_AWAY, ORGANIZATION, STATUS, sign_in};
use crate::platform::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_fits_its_screen_and_has_no_errors() {
    let mut fixture = ConsoleFixture::start(Script::new(answer), "20ms,40ms").await;
    let mut problems = Vec::new();
    fixture.open("/webhooks").await;
    look(&fixture, "empty", &mut problems).await;
    fixture.open("/keys").await;
    look(&fixture, "keys-empty", &mut problems).await;
    fixture.open("/health").await;
    look(&fixture, "health-quiet", &mut problems).await;
    let scenario = create_scenario(&mut fixture).await;
    for (name, path) in scenario.pages() {
        fixture.open(&path).await;
        fixture.browser.see(Role::Link, "Webhooks").await;
        look(&fixture, name, &mut problems).await;
    }
    fixture.open(&format!("/webhooks/{}", scenario.busy)).await;
    let summary = fixture.browser.text("#summary").await;
    let asked = "answered a delivery with 429 and asked to be left alone until";
    assert!(summary.contains(asked), "{summary}");
    fixture.open("/webhooks").await;
    let rows = fixture.browser.rows("table[aria-label=Endpoints] tbody tr").await;
    let paused = rows.iter().filter(|row| row[2].contains("asked to be left alone until"));
    assert_eq!(paused.map(|row| row[0].as_str()).collect::<Vec<_>>(), ["warehouse-imports"]);
    fixture.browser.click(Role::Button, "Actions for siem-all-events").await;
    look(&fixture, "webhooks-menu", &mut problems).await;
    create(&fixture, &mut problems).await;
    collide(&fixture, &scenario.siem, &mut problems).await;
    preview(&fixture, &scenario.pager, &mut problems).await;
    recover(&fixture, &scenario, &mut problems).await;
    notify(&fixture, &mut problems).await;
    administrate(&fixture, &mut problems).await;
    sign_out_and_in(&fixture, &mut problems).await;
    let complaints = fixture.browser.console_messages().await;
    let on_purpose = ["status of 404", "status of 422", "status of 409", "status of 403"];
    for complaint in complaints {
        if !on_purpose.iter().any(|status| complaint.message.contains(status)) {
            problems.push(format!("console: {complaint:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Checks a page in every way, and takes its pictures.
async fn look(fixture: &ConsoleFixture, name: &str, problems: &mut Vec<String>) {
    look_at(&fixture.browser, name, problems).await;
}

/// The same for a page outside the fixture.
pub(crate) async fn look_at(browser: &Browser, name: &str, problems: &mut Vec<String>) {
    for size in [Size::DESKTOP, Size::PHONE] {
        browser.resize(size).await;
        for colours in [ColorScheme::Light, ColorScheme::Dark] {
            browser.set_color_scheme(colours).await;
            let variant = format!("{name}-{}-{}", colours.name(), size.width);
            let wide = browser.run(OVERFLOW, json!([])).await;
            if wide["width"].as_u64() > Some(size.width.into()) {
                problems.push(format!("{variant} is too wide: {wide:#}"));
            }
            for violation in browser.accessibility_violations().await {
                problems.push(format!("{variant}: {violation:?}"));
            }
            browser.screenshot(&variant).await;
        }
    }
    browser.resize(Size::DESKTOP).await;
    browser.set_color_scheme(ColorScheme::Light).await;
}

/// How wide the page is, and which element reaches farthest to the right.
const OVERFLOW: &str = "
    const reach = (element) => element.getBoundingClientRect().right;
    const all = [...document.querySelectorAll('body *')].filter((it) => reach(it) > innerWidth + 1);
    return {
        width: document.documentElement.scrollWidth,
        elements: all.sort((a, b) => reach(b) - reach(a)).slice(0, 4)
            .map((it) => it.outerHTML.slice(0, 160)),
    };
";

/// How the receivers answer.
fn answer(request: &ReceivedRequest) -> Reply {
    let is_first = request.header("x-keeptrusts-attempt") == Some("1");
    match request.path.as_str() {
        "/pagerduty/enqueue" => Reply::status(503)
            .with_body(r#"{"status":"unavailable","message":"maintenance until 12:00 UTC"}"#),
        "/warehouse/busy" => Reply::status(429).with_header("retry-after", "300"),
        "/services/T0/B0/gone" => Reply::status(404).with_body("no_service"),
        "/slack/escalations" if is_first => Reply::status(500).with_body("try again"),
        path if path.starts_with("/siem") => Reply::ok()
            .with_header("content-type", "application/json")
            .with_body(r#"{"accepted":1,"index":"keeptrusts-2026"}"#),
        _ => Reply::ok(),
    }
}

/// A day of the current week.
fn today() -> String {
    keeptrusts_webhooks_domain::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

struct Scenario {
    siem: String,
    pager: String,
    archive: String,
    busy: String,
    delivered: v1::Delivery,
    failed: v1::Delivery,
    retrying: v1::Delivery,
}

impl Scenario {
    fn pages(&self) -> Vec<(&'static str, String)> {
        vec![
            ("webhooks", "/webhooks".to_owned()),
            ("webhooks-filtered", "/webhooks?q=nobody".to_owned()),
            ("webhook", format!("/webhooks/{}", self.siem)),
            ("webhook-week", format!("/webhooks/{}?window=7d", self.siem)),
            ("webhook-degraded", format!("/webhooks/{}", self.pager)),
            ("webhook-disabled", format!("/webhooks/{}", self.archive)),
            ("webhook-paused", format!("/webhooks/{}", self.busy)),
            ("health", format!("/health?week={}", today())),
            ("edit", format!("/webhooks/{}/edit", self.siem)),
            ("delete", format!("/webhooks/{}/delete", self.siem)),
            ("delivery", format!("/deliveries/{}", self.delivered.id)),
            ("delivery-failed", format!("/deliveries/{}", self.failed.id)),
            ("delivery-first-attempt", format!("/deliveries/{}?attempt=1", self.failed.id)),
            ("delivery-retrying", format!("/deliveries/{}", self.retrying.id)),
            ("events", "/events".to_owned()),
            ("event", format!("/events/{}", self.delivered.event_id)),
            ("audit", "/audit".to_owned()),
            ("audit-filtered", "/audit?action=key.revoked".to_owned()),
            ("sessions", "/keys?kind=sessions".to_owned()),
            ("not-found", "/nothing".to_owned()),
        ]
    }
}

/// Several webhooks in every status, with deliveries.
async fn create_scenario(fixture: &mut ConsoleFixture) -> Scenario {
    let everything =
        crate::console::fixture::CATALOGUE.map(|(_, event_types)| event_types).concat();
    let archive = fixture.endpoint("audit-archive", "/archive", &["key.rotated"]).await;
    let siem = fixture.endpoint("siem-all-events", "/siem/ingest?tenant=eu-1", &everything).await;
    let escalations = ["escalation.created", "escalation.resolved"];
    fixture.endpoint("slack-escalations", "/slack/escalations", &escalations).await;
    let pager =
        fixture.endpoint("pagerduty-critical", "/pagerduty/enqueue", &["policy.block"]).await;
    let busy =
        fixture.endpoint("warehouse-imports", "/warehouse/busy", &["export.completed"]).await;
    for (number, event_type) in everything.iter().cycle().take(40).enumerate() {
        let data = format!(
            r#"{{"id":"case-{number}","actor":{{"email":"kim@example.com"}},"tags":["eu","pii"]}}"#
        );
        fixture.client.publish(event_type, &data).await;
    }
    let data = r#"{"policy":"no-pii","model":"gpt-x","matches":[{"kind":"iban","at":17}]}"#;
    let delivered = fixture.client.publish("policy.violation", data).await;
    let failed = fixture.client.publish("policy.block", data).await;
    let delivered = ended(fixture, &delivered, &siem).await;
    let failed = ended(fixture, &failed, &pager).await;
    fixture.client.wait_for_status(&pager, v1::endpoint::State::Degraded).await;
    let request = v1::DisableEndpointRequest {
        organization_id: ORGANIZATION.to_owned(),
        endpoint_id: archive.clone(),
        reason: "moving to another region until Friday".to_owned(),
    };
    fixture.client.endpoints().disable_endpoint(request).await.expect("it is disabled");

    fixture.reschedule(FAR_AWAY).await;
    let retrying = fixture.client.publish("policy.block", data).await;
    let retrying = delivery_to(fixture, &retrying, &pager, |it| it.attempt_count == 1).await;
    Scenario { siem, pager, archive, busy, delivered, failed, retrying }
}

async fn ended(fixture: &ConsoleFixture, event_id: &str, endpoint_id: &str) -> v1::Delivery {
    delivery_to(fixture, event_id, endpoint_id, |delivery| {
        matches!(delivery.state(), v1::delivery::State::Delivered | v1::delivery::State::Failed)
    })
    .await
}

async fn delivery_to(
    fixture: &ConsoleFixture,
    event_id: &str,
    endpoint_id: &str,
    satisfied: impl Fn(&v1::Delivery) -> bool,
) -> v1::Delivery {
    eventually(&format!("{event_id} has been sent to {endpoint_id}"), async || {
        let deliveries = fixture.client.deliveries_of(event_id).await;
        deliveries.into_iter().find(|it| it.endpoint_id == endpoint_id && satisfied(it))
    })
    .await
}

/// The pages of the wizard.
async fn create(fixture: &ConsoleFixture, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    fixture.open("/webhooks/new").await;
    look(fixture, "create", problems).await;
    browser.fill("URL", "http://hooks.example.com/keeptrusts").await;
    browser.click(Role::Button, "Next").await;
    browser.text("#url-error").await;
    look(fixture, "create-refused", problems).await;
    browser.fill("Name", "data-warehouse").await;
    browser.fill("URL", &fixture.receiver.url("/warehouse")).await;
    browser.click(Role::Button, "Next").await;
    browser.see(Role::Checkbox, "policy.violation").await;
    look(fixture, "create-event-types", problems).await;
    browser.tick("Export", true).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "data-warehouse is ready").await;
    look(fixture, "created", problems).await;
    browser.click(Role::Link, "Go to the webhook").await;
    browser.click(Role::Button, "Send Test").await;
    browser.text_when(STATUS, "tells it", |text| text.contains("Test delivered")).await;
    look(fixture, "tested", problems).await;
}

/// The formats of payloads, with an event in one of them.
async fn preview(fixture: &ConsoleFixture, id: &str, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    fixture.open(&format!("/webhooks/{id}/edit")).await;
    browser.choose("Payload format", "Slack: a message for an incoming webhook").await;
    browser.run("document.querySelector('form details').open = true;", json!([])).await;
    browser.click(Role::Button, "Preview").await;
    browser.see(Role::Heading, "What is sent of policy.block").await;
    look(fixture, "edit-preview", problems).await;
}

/// The pages of replays: counted, and done.
async fn recover(fixture: &ConsoleFixture, scenario: &Scenario, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    fixture.open(&format!("/webhooks/{}/replay?scope=failed", scenario.pager)).await;
    look(fixture, "replay-count", problems).await;
    browser.click(Role::Button, "Replay").await;
    browser.text_when("#replay", "is done", |text| text.contains("Done")).await;
    look(fixture, "replay", problems).await;
    fixture.open(&format!("/webhooks/{}", scenario.pager)).await;
    look(fixture, "webhook-replayed", problems).await;
}

/// The pages of notification channels.
async fn notify(fixture: &ConsoleFixture, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    fixture.open("/channels").await;
    look(fixture, "channels-empty", problems).await;
    browser.click(Role::Button, "Create Channel").await;
    look(fixture, "create-channel-kind", problems).await;
    for kind in ["slack", "pagerduty", "email"] {
        fixture.open(&format!("/channels/new?kind={kind}")).await;
        look(fixture, &format!("create-channel-{kind}"), problems).await;
    }
    fixture.open("/channels/new?kind=slack").await;
    browser.fill("Name", "#webhooks-on-call").await;
    let gone = fixture.receiver.url("/services/T0/B0/gone");
    browser.fill("Webhook URL", &gone).await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "#webhooks-on-call").await;
    browser.click(Role::Button, "Send Test").await;
    browser.text_when(STATUS, "tells the outcome", |text| text.contains("Test failed")).await;
    browser.run("location.reload();", json!([])).await;
    browser.see(Role::Heading, "#webhooks-on-call").await;
    look(fixture, "channel-failing", problems).await;
    fixture.open("/channels").await;
    look(fixture, "channels", problems).await;
}

/// The pages of keys.
async fn administrate(fixture: &ConsoleFixture, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    let access = AccessClient::new(&fixture.server);
    access.create_key("gateway-eu-1", v1::Role::Publisher).await;
    access.create_key("kim, from the security team", v1::Role::Viewer).await;
    fixture.open("/keys/new").await;
    look(fixture, "create-key", problems).await;
    browser.click(Role::Button, "Create").await;
    browser.text("#display_name-error").await;
    look(fixture, "create-key-refused", problems).await;
    browser.fill("Name", "export-service").await;
    browser.click(Role::Button, "Create").await;
    browser.see(Role::Heading, "export-service is ready").await;
    look(fixture, "key-created", problems).await;
    browser.click(Role::Link, "Go to the keys").await;
    browser.click(Role::Link, "Revoke export-service").await;
    browser.see(Role::Heading, "Revoke export-service?").await;
    look(fixture, "revoke-key", problems).await;
    browser.click(Role::Button, "Revoke").await;
    browser.see(Role::Heading, "Keys").await;
    look(fixture, "keys", problems).await;
}

/// The sign-in page, and what the others see who sign in.
async fn sign_out_and_in(fixture: &ConsoleFixture, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    browser.click(Role::Button, "Sign out").await;
    browser.see(Role::Heading, "Sign in").await;
    look(fixture, "sign-in", problems).await;
    browser.fill("Key", "kt_of-somebody-else").await;
    browser.click(Role::Button, "Sign in").await;
    browser.text("#key-error").await;
    look(fixture, "sign-in-refused", problems).await;
    let access = AccessClient::new(&fixture.server);
    let viewer = access.create_key("auditor", v1::Role::Viewer).await;
    sign_in(browser, &fixture.console, &viewer).await;
    look(fixture, "webhooks-viewer", problems).await;
    fixture.open("/webhooks/new").await;
    look(fixture, "not-allowed", problems).await;
    browser.click(Role::Button, "Sign out").await;
    let publisher = access.create_key("gateway", v1::Role::Publisher).await;
    sign_in(browser, &fixture.console, &publisher).await;
    look(fixture, "nothing-here", problems).await;
}

/// The form of an endpoint that somebody else has changed meanwhile.
async fn collide(fixture: &ConsoleFixture, id: &str, problems: &mut Vec<String>) {
    let browser = &fixture.browser;
    fixture.open(&format!("/webhooks/{id}/edit")).await;
    let request = v1::UpdateEndpointRequest {
        organization_id: ORGANIZATION.to_owned(),
        endpoint: Some(v1::Endpoint {
            id: id.to_owned(),
            description: "changed by somebody else".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    fixture.client.endpoints().update_endpoint(request).await.expect("it is updated");
    browser.fill("Name", "siem").await;
    browser.click(Role::Button, "Save").await;
    browser.text_when("[role=alert]", "says so", |text| !text.is_empty()).await;
    look(fixture, "edit-conflict", problems).await;
}
