//! Forged requests, and the headers that restrict browsers.

use keeptrusts_webhooks_testkit::browser::Role;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http::{Client, Method, Response};
use serde_json::json;

use crate::console::fixture::{ConsoleFixture, FORM, HttpSession, ORGANIZATION};
use crate::platform::{Backend, Database, Server};

/// The limit for a page with its styles and scripts, as sent.
const PAGE_LIMIT: u64 = 100 * 1024;

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
    let path = format!("/webhooks/{}", endpoint.id);
    let session = HttpSession::open(&console, FIRST_KEY).await;
    let (cookie, token) = (session.cookie.clone(), session.form_token(&path).await);
    let foreign_token = HttpSession::open(&console, FIRST_KEY).await.form_token(&path).await;
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
        format!("{console}/sign-in"),
        format!("{console}/sign-in/account"),
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
        // Even a token that has leaked is of no use to another site.
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
    assert_ne!(api.endpoint(&endpoint.id).await.state, before.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_name_for_this_machine_is_refused() {
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
    let nobody = HttpSession::of_nobody(&console).await;
    let admin = HttpSession::open(&console, FIRST_KEY).await;
    let pages = [
        (&nobody, "/sign-in"),
        (&nobody, "/webhooks"),
        (&admin, "/webhooks"),
        (&admin, "/webhooks/new"),
        (&admin, "/events"),
        (&admin, "/nothing"),
    ];
    for (session, path) in pages {
        let answer = session.get(path).await;
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
    }
    let token = nobody.form_token("/sign-in").await;
    let body = format!("csrf={token}&key={FIRST_KEY}&organization={ORGANIZATION}");
    for answer in [Client::new().get(&console).await, nobody.post("/sign-in", body).await] {
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
    let fixture = ConsoleFixture::start_with_good_receiver().await;
    let types = ["policy.block", "policy.violation"];
    let id = fixture.endpoint("siem", "/hook", &types).await;
    for _ in 0..60 {
        fixture.client.publish("policy.block", r#"{"rule":"pii"}"#).await;
    }
    let event_id = fixture.client.publish("policy.violation", r#"{"rule":"pii"}"#).await;
    let delivered = keeptrusts_webhooks_contracts::v1::delivery::State::Delivered;
    let delivery = fixture.client.wait_for_state(&event_id, delivered).await;
    fixture.receiver.wait_for(61, crate::platform::PATIENCE).await;
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
        fixture.open(&path).await;
        // What an earlier page has cached counts as if it had been sent.
        let script = "const sent = [...performance.getEntriesByType('navigation'),
                ...performance.getEntriesByType('resource')];
            return sent.map((it) => [it.name, Math.max(it.encodedBodySize, it.transferSize)]);";
        let sent = fixture.browser.run(script, json!([])).await;
        let sizes = sent.as_array().into_iter().flatten().filter_map(|it| it[1].as_u64());
        let total: u64 = sizes.sum();
        assert!(total > 0, "{path}: {sent}");
        assert!(total < PAGE_LIMIT, "{path} weighs {total} bytes: {sent}");
        let elsewhere = sent.as_array().into_iter().flatten().filter_map(|it| it[0].as_str());
        for url in elsewhere {
            assert!(url.starts_with(&fixture.console), "{path} loads {url} from elsewhere");
        }
    }
    fixture.browser.see(Role::Heading, "policy.violation").await;
    fixture.assert_no_complaints().await;
}

async fn post(client: &Client, url: &str, headers: &[(&str, &str)], body: String) -> Response {
    let mut all = vec![("content-type", FORM)];
    all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
    client.send(Method::POST, url, &all, body.into()).await
}
