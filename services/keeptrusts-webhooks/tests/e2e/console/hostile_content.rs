//! Names, data and responses that contain markup and scripts.

use keeptrusts_webhooks_console::shown_paths;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::browser::{Role, Size};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Reply, Script};
use serde_json::{Value, json};

use crate::console::access::AccessClient;
use crate::console::channels::create_channel;
use crate::console::fixture::{ConsoleFixture, FAR_AWAY, HttpSession, LOG, ORGANIZATION, STATUS};

const NAME: &str = r#"<script>window.owned = 1</script> & "quotes" 'n' &lt;b&gt;"#;
const OTHER_NAME: &str = r#"<img src="/x" onerror="window.owned = 7"> or <b>bold</b>"#;
const DESCRIPTION: &str = r#"</textarea><img src="/x" onerror="window.owned = 2">&amp;"#;
const DATA: &str = r#"{"html":"</script><script>window.owned = 3</script>","a":"\"'&quot;"}"#;
const ANSWER: &str = r#"<!doctype html><script>window.owned = 4; alert(4)</script><h1>&copy;</h1>"#;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_data_and_answers_are_shown_as_they_are_and_do_nothing() {
    let answer = Reply::status(500)
        .with_header("content-type", "text/html")
        .with_header("x-evil", r#""><script>window.owned = 5</script>"#)
        .with_body(ANSWER);
    let fixture = ConsoleFixture::start(Script::always(answer), FAR_AWAY).await;
    let browser = &fixture.browser;
    let id = create(&fixture, NAME, DESCRIPTION).await;

    fixture.open("/webhooks").await;
    browser.see(Role::Link, NAME).await;
    assert_inert(&fixture, "the list", &[NAME]).await;
    fixture.open(&format!("/webhooks/{id}")).await;
    browser.see(Role::Heading, NAME).await;
    let event_id = fixture.client.publish("policy.block", DATA).await;
    browser.rows_when(LOG, "show the failure", |rows| rows.len() == 1).await;
    assert_inert(&fixture, "the webhook", &[NAME, DESCRIPTION]).await;
    browser.click(Role::Button, "Send Test").await;
    browser.text_when(STATUS, "says so", |text| text.contains("Test failed")).await;
    assert_inert(&fixture, "the outcome of a test", &[NAME]).await;
    browser.click_first("#attempts tr:last-child a").await;
    browser.see(Role::Heading, "Delivery of policy.block").await;
    let data = r#""html":"</script><script>window.owned = 3</script>""#;
    let header = r#""><script>window.owned = 5</script>"#;
    assert_inert(&fixture, "the attempt", &[data, ANSWER, header]).await;

    fixture.open(&format!("/webhooks/{id}/edit")).await;
    assert_eq!(browser.value("Name").await, NAME);
    assert_eq!(browser.value("Description").await, DESCRIPTION);
    assert_inert(&fixture, "the form", &[]).await;
    fixture.open(&format!("/webhooks/{id}/delete")).await;
    browser.see(Role::Heading, &format!("Delete {NAME}?")).await;
    assert_inert(&fixture, "the confirmation", &[NAME]).await;
    fixture.open("/events").await;
    assert_inert(&fixture, "the events", &[&event_id]).await;
    fixture.open(&format!("/events/{event_id}")).await;
    assert_inert(&fixture, "the event", &[data, NAME]).await;
    let query = "%22%3E%3Cscript%3Ewindow.owned%3D6%3C/script%3E";
    for path in ["/webhooks?q=", "/webhooks?status=", "/events?event_type=", "/webhooks?page="] {
        fixture.open(&format!("{path}{query}")).await;
        assert_inert(&fixture, path, &[]).await;
    }
    fixture.assert_no_complaints_but_of_status(&[400, 404]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_that_there_is_makes_markup_of_what_people_wrote() {
    let answer = Reply::status(500).with_header("x-evil", NAME).with_body(ANSWER);
    let fixture = ConsoleFixture::start(Script::always(answer), FAR_AWAY).await;
    let places = HostileResources::fill(&fixture).await;
    let session = HttpSession::open(&fixture.console, FIRST_KEY).await;
    let mut opened = Vec::new();
    for route in shown_paths() {
        // Their updates are made by the templates of the pages that listen to them.
        if route.ends_with("/live") {
            continue;
        }
        let path = places.put_into(route);
        let answer = session.get(&path).await;
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        if (300..400).contains(&answer.status) {
            continue;
        }
        if !kind.starts_with("text/html") {
            assert!(
                kind.starts_with("text/plain") || kind.starts_with("text/csv"),
                "{path}: {kind}"
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
            continue;
        }
        fixture.open(&path).await;
        let seen: &[&str] = match route {
            "/audit" => &[NAME, OTHER_NAME, DESCRIPTION],
            "/keys" | "/keys/{key}/revoke" | "/channels" | "/channels/{channel}" => &[NAME],
            "/webhooks" | "/webhooks/{endpoint}" => &[OTHER_NAME],
            _ => &[],
        };
        assert_inert(&fixture, &path, seen).await;
        opened.push(route);
    }
    assert!(opened.len() > 20, "{opened:?}");
    fixture.assert_no_complaints_but_of_status(&[400, 404]).await;
}

/// One thing of each kind, with hostile names.
struct HostileResources {
    endpoint: String,
    event: String,
    delivery: String,
    replay: String,
    channel: String,
    key: String,
}

impl HostileResources {
    async fn fill(fixture: &ConsoleFixture) -> HostileResources {
        let client = &fixture.client;
        let endpoint = create(fixture, NAME, DESCRIPTION).await;
        let organization_id = ORGANIZATION.to_owned();
        let renamed = v1::UpdateEndpointRequest {
            organization_id: organization_id.clone(),
            endpoint: Some(v1::Endpoint {
                organization_id: organization_id.clone(),
                id: endpoint.clone(),
                display_name: OTHER_NAME.to_owned(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] }),
            ..Default::default()
        };
        client.endpoints().update_endpoint(renamed).await.expect("it is renamed");
        let event = client.publish("policy.block", DATA).await;
        let tried = |delivery: &v1::Delivery| delivery.attempt_count == 1;
        let delivery = client.wait_for_delivery(&event, "was tried", tried).await.id;
        let replay = v1::CreateReplayRequest {
            organization_id: organization_id.clone(),
            replay: Some(v1::Replay {
                endpoint_id: endpoint.clone(),
                scope: v1::replay::Scope::All.into(),
                ..v1::Replay::default()
            }),
            ..Default::default()
        };
        let replay = client.dispatch().create_replay(replay).await.expect("it is replayed");
        let access = AccessClient::new(&fixture.server);
        access.create_key(NAME, v1::Role::Viewer).await;
        let keys = access.list(ORGANIZATION, v1::key::Kind::ApiKey).await;
        let key = keys.into_iter().find(|key| key.display_name == NAME).expect("it was made").id;
        HostileResources {
            endpoint,
            event,
            delivery,
            replay: replay.into_inner().replay.expect("a replay").id,
            channel: create_channel(fixture, NAME).await,
            key,
        }
    }

    /// A route with the ids of these things. A new kind of thing has to be added here.
    fn put_into(&self, route: &str) -> String {
        let path = route
            .replace("{endpoint}", &self.endpoint)
            .replace("{event}", &self.event)
            .replace("{delivery}", &self.delivery)
            .replace("{replay}", &self.replay)
            .replace("{channel}", &self.channel)
            .replace("{key}", &self.key);
        assert!(!path.contains('{'), "nothing hostile is at {route} yet");
        path
    }
}

/// Checks that the texts are shown letter for letter, and that none has become markup.
async fn assert_inert(fixture: &ConsoleFixture, place: &str, seen: &[&str]) {
    let script = "return {
        text: document.body.textContent,
        owned: window.owned ?? null,
        scripts: document.querySelectorAll('script:not([src])').length,
        handlers: document.querySelectorAll('[onerror], [onclick], [onload]').length,
        images: document.querySelectorAll('img[src=\"/x\"]').length,
    };";
    let page = fixture.browser.run(script, json!([])).await;
    let text = page["text"].as_str().expect("text");
    for content in seen {
        assert!(text.contains(content), "{place} does not show {content}: {text}");
    }
    assert_eq!(page["owned"], Value::Null, "{place}");
    for markup in ["scripts", "handlers", "images"] {
        assert_eq!(page[markup], 0, "{markup} in {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_and_values_do_not_break_a_narrow_page() {
    let broken = Reply::status(500).with_body("y".repeat(16 * 1024));
    let fixture = ConsoleFixture::start(Script::always(broken), FAR_AWAY).await;
    let browser = &fixture.browser;
    let name = "n".repeat(100);
    let id = create(&fixture, &name, &"d".repeat(1_000)).await;
    let data = format!(r#"{{"k":"{}"}}"#, "x".repeat(64 * 1024));
    let event_id = fixture.client.publish("policy.block", &data).await;
    let tried = |delivery: &v1::Delivery| delivery.attempt_count == 1;
    let delivery = fixture.client.wait_for_delivery(&event_id, "was tried", tried).await;
    browser.resize(Size::PHONE).await;
    let mut wide = Vec::new();
    for path in [
        "/webhooks".to_owned(),
        format!("/webhooks/{id}"),
        format!("/webhooks/{id}/edit"),
        format!("/webhooks/{id}/delete"),
        format!("/deliveries/{}", delivery.id),
        format!("/events/{event_id}"),
    ] {
        fixture.open(&path).await;
        let script = "return document.documentElement.scrollWidth;";
        let width = browser.run(script, json!([])).await;
        if width.as_u64() > Some(Size::PHONE.width.into()) {
            wide.push((path, width));
        }
    }
    assert_eq!(wide, [], "pages that are wider than the screen");
}

async fn create(fixture: &ConsoleFixture, name: &str, description: &str) -> String {
    let request = v1::CreateEndpointRequest {
        organization_id: ORGANIZATION.to_owned(),
        endpoint: Some(v1::Endpoint {
            display_name: name.to_owned(),
            url: fixture.receiver.url("/hook?q=%22%3E%3Cscript%3E"),
            description: description.to_owned(),
            event_types: vec!["policy.block".to_owned()],
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let answer = fixture.client.endpoints().create_endpoint(request).await;
    answer.expect("it is created").into_inner().endpoint.expect("an endpoint").id
}
