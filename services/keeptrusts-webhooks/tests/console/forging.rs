//! Requests that no page of the console has made, and what its answers forbid browsers.

use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::http::{Answer, Client, Method};
use serde_json::json;

use crate::platform::{Backend, Database, Server};
use crate::stage::{ORGANIZATION, Stage};

/// What a page may weigh, with its styles and scripts, as sent.
const PAGE_LIMIT: u64 = 100 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_the_session_was_not_given_changes_nothing() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let console = server.console().await;
    let api = server.client(ORGANIZATION);
    let endpoint = api.create_endpoint("https://hooks.example.com/x", &["policy.block"]).await;
    let before = api.endpoint(&endpoint.id).await;

    let page = format!("{console}/webhooks/{}", endpoint.id);
    let client = Client::new();
    let (cookie, token) = session(&client, &page).await;
    let (_, foreign_token) = session(&client, &page).await;
    assert_ne!(token, foreign_token, "a token is a session's own");
    let delivery = format!("{console}/deliveries/dlv_01KPX3Z9R9Q5C3W6M4T8N2B7A0");
    for url in [
        format!("{page}/disable"),
        format!("{page}/enable"),
        format!("{page}/delete"),
        format!("{page}/edit"),
        format!("{page}/test"),
        format!("{console}/webhooks/new"),
        format!("{delivery}/retry"),
        format!("{delivery}/cancel"),
    ] {
        for (cookie, body) in [
            ("", String::new()),
            ("", format!("csrf={token}")),
            (cookie.as_str(), String::new()),
            (cookie.as_str(), "csrf=".to_owned()),
            (cookie.as_str(), format!("csrf={foreign_token}")),
        ] {
            let answer = post(&client, &url, &[("cookie", cookie)], body.clone()).await;
            assert_eq!(answer.status, 403, "{url} with {cookie:?} and {body:?}");
        }
        // Even a token that was found out is of no use to another site.
        let origin = ("origin", "https://evil.example");
        let site = ("sec-fetch-site", "cross-site");
        let body = format!("csrf={token}");
        let answer = post(&client, &url, &[("cookie", &cookie), origin, site], body).await;
        assert_eq!(answer.status, 403, "{url} from another site");
    }
    assert_eq!(api.endpoint(&endpoint.id).await, before);

    let url = format!("{page}/disable");
    let answer = post(&client, &url, &[("cookie", &cookie)], format!("csrf={token}")).await;
    assert_eq!(answer.status, 303, "the session's own form is taken");
    assert_ne!(api.endpoint(&endpoint.id).await.status, before.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_somebody_elses_for_this_machine_is_refused() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let url = format!("{}/webhooks", server.console().await);
    let host = ("host", "rebound.evil.example");
    let answer = Client::new().send(Method::GET, &url, &[host], "".into()).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(!answer.text().contains("csrf"), "no form is given out");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_inline_scripts_framing_and_guessing_and_keeps_the_cookie_safe() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let console = server.console().await;
    let client = Client::new();
    for path in ["/webhooks", "/webhooks/new", "/events", "/nothing"] {
        let answer = client.get(&format!("{console}{path}")).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        assert!(!policy.contains("unsafe-"), "{path}: {policy}");
        for directive in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(directives.contains(&directive), "{path}: {directive} is not in {policy}");
        }
        let default = directives.iter().find(|it| it.starts_with("default-src"));
        assert!(matches!(default, Some(&"default-src 'none'" | &"default-src 'self'")), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let referrer = answer.header("referrer-policy").unwrap_or_default();
        assert!(matches!(referrer, "no-referrer" | "same-origin"), "{path}: {referrer}");
        let caching = answer.header("cache-control").unwrap_or_default();
        assert!(caching.contains("no-store"), "{path}: {caching:?}");

        if path == "/nothing" {
            continue;
        }
        let cookie = answer.header("set-cookie").expect("a session").to_lowercase();
        assert!(cookie.starts_with("keeptrusts_console="), "{cookie}");
        for attribute in ["httponly", "samesite=lax", "path=/"] {
            assert!(cookie.split("; ").any(|it| it == attribute), "{attribute} is not in {cookie}");
        }
        assert!(!cookie.contains("domain="), "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_all_that_it_loads_is_small() {
    let stage = Stage::set_with_a_good_receiver().await;
    let types = ["policy.block", "policy.violation"];
    let id = stage.endpoint("siem", "/hook", &types).await;
    for _ in 0..60 {
        stage.client.publish("policy.block", r#"{"rule":"pii"}"#).await;
    }
    let event_id = stage.client.publish("policy.violation", r#"{"rule":"pii"}"#).await;
    let delivered = keeptrusts_webhooks_contracts::v1::DeliveryState::Delivered;
    let delivery = stage.client.wait_for_state(&event_id, delivered).await;
    stage.receiver.wait_for(61, crate::platform::PATIENCE).await;
    for path in [
        "/webhooks".to_owned(),
        "/webhooks/new".to_owned(),
        format!("/webhooks/{id}"),
        format!("/webhooks/{id}/edit"),
        format!("/webhooks/{id}/delete"),
        format!("/deliveries/{}", delivery.id),
        "/events".to_owned(),
        format!("/events/{event_id}"),
    ] {
        stage.open(&path).await;
        // What was cached by an earlier page is counted as if it had been sent.
        let script = "const sent = [...performance.getEntriesByType('navigation'),
                ...performance.getEntriesByType('resource')];
            return sent.map((it) => [it.name, Math.max(it.encodedBodySize, it.transferSize)]);";
        let sent = stage.browser.run(script, json!([])).await;
        let sizes = sent.as_array().into_iter().flatten().filter_map(|it| it[1].as_u64());
        let total: u64 = sizes.sum();
        assert!(total > 0, "{path}: {sent}");
        assert!(total < PAGE_LIMIT, "{path} weighs {total} bytes: {sent}");
        let elsewhere = sent.as_array().into_iter().flatten().filter_map(|it| it[0].as_str());
        for url in elsewhere {
            assert!(url.starts_with(&stage.console), "{path} loads {url} from elsewhere");
        }
    }
    stage.browser.see(Role::Heading, "policy.violation").await;
    stage.assert_no_complaints().await;
}

/// A new session's cookie, and the token in a page's form.
async fn session(client: &Client, page: &str) -> (String, String) {
    let answer = client.get(page).await;
    let cookie = answer.header("set-cookie").expect("a session");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let html = answer.text();
    let tag = html.split('<').find(|tag| tag.contains(r#"name="csrf""#)).expect("a form");
    let (_, value) = tag.split_once(r#"value=""#).expect("the token has a value");
    let token = value.split('"').next().unwrap_or_default().to_owned();
    assert!(token.len() >= 32, "{token}");
    (cookie, token)
}

async fn post(client: &Client, url: &str, headers: &[(&str, &str)], body: String) -> Answer {
    let mut all = vec![("content-type", FORM)];
    all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
    client.send(Method::POST, url, &all, body.into()).await
}
