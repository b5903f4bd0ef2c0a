//! Invariant 10 for credentials: keys, sessions and web tokens are in the answers that create them,
//! and nowhere else, however they are used and however much is logged.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_testkit::collector::Collector;
use keeptrusts_webhooks_testkit::first_key;
use keeptrusts_webhooks_testkit::http::{self, Client as Browser, Method};
use serde_json::json;
use tonic::metadata::{Ascii, AsciiMetadataKey, MetadataValue};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;

use super::caller::Caller;
use super::credential_search::{Credential, assert_absent};
use super::issuer::{AUDIENCE, Issuer, SigningKey, in_seconds};
use crate::platform::{
    Backend, Database, Server, channel, eventually, on_both_backends, seen_at, watched,
};

/// Unlike other tests' key, it has no digits that occur elsewhere by chance.
const BOOTSTRAP: &str = "kt_b007c0de5eed1a7e93f2d86b4ac1570e8d2f6b9a3c4e71d50f8a6b2c9e3d4f17";

/// The trace of the last call: once it has arrived, all earlier ones have.
const LAST: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

on_both_backends!(invariant_10_credentials_are_only_in_the_answers_that_make_them);

async fn invariant_10_credentials_are_only_in_the_answers_that_make_them(backend: Backend) {
    let database = Database::new(backend).await;
    // Logging does not depend on the database, so each database gets one of the formats.
    let format = match backend {
        Backend::Sqlite => "human",
        Backend::Postgres => "json",
    };
    let collector = Collector::start();
    let issuer = Issuer::start().await;
    let server = Server::all_in_one(&database)
        .env(first_key::VARIABLE, BOOTSTRAP)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .flag("--log-level", "trace")
        .flag("--log-format", format)
        .flag("--otlp-endpoint", &collector.url())
        .flag("--oidc-issuer", &issuer.url())
        .flag("--oidc-audience", AUDIENCE)
        .flag("--failed-logins-per-minute", "100000");
    let (server, metrics) = watched(server).await;
    let mut scenario = Scenario { server, metrics, planted: Vec::new(), answers: Vec::new() };
    scenario.run(&issuer).await;

    let spans = eventually("the last span has come", async || {
        Some(collector.spans()).filter(|_| !collector.trace(LAST).is_empty())
    })
    .await;
    let Scenario { mut server, planted, answers, .. } = scenario;
    assert_absent(&planted, "a span", format!("{spans:#?}").as_bytes());
    for answer in answers {
        assert_absent(&planted, "an answer", answer.as_bytes());
    }
    // Killed, so that what is only in the write-ahead log stays there.
    server.kill().await;
    for (name, content) in database.content().await {
        assert_absent(&planted, &name, &content);
    }
    let logs = server.process().output();
    assert!(logs.contains("TRACE"), "the logs are detailed");
    assert_absent(&planted, "the log", logs.as_bytes());
}

/// Uses credentials, good and bad, and collects the answers.
struct Scenario {
    server: Server,
    metrics: String,
    planted: Vec<Credential>,
    /// Without the answers that create credentials.
    answers: Vec<String>,
}

impl Scenario {
    async fn run(&mut self, issuer: &Issuer) {
        let admin = Caller::with(&self.server, BOOTSTRAP);
        self.plant("the first key", BOOTSTRAP);
        let key = admin.create_key("acme", v1::Role::Admin).await.token;
        self.plant("a key", &key);
        let lost = admin.create_key("acme", v1::Role::Admin).await;
        self.plant("a revoked key", &lost.token);
        let session = self.open_session(&key).await;
        self.plant("a session", &session);
        let ended = self.open_session(&key).await;
        self.plant("an ended session", &ended);
        admin.revoke("acme", &lost.key.expect("a key").id).await;
        for token in [&key, &session, &ended, &lost.token] {
            self.use_correctly(token).await;
        }
        let leaving = Caller::with(&self.server, &ended);
        leaving.access().end_session(v1::EndSessionRequest {}).await.expect("it ends");
        for token in [&lost.token, &ended] {
            let caller = Caller::with(&self.server, token);
            eventually("it is refused", async || caller.who_am_i().await.err()).await;
            self.use_correctly(token).await;
        }
        self.use_web_tokens(issuer).await;
        self.use_incorrectly(&key).await;
        self.put_into_fields(&key, &session).await;
        self.browse(&key, &session).await;

        let (status, metrics) = seen_at(&self.metrics, "/metrics").await;
        assert_eq!(status, 200);
        self.answers.push(metrics);
        let mut last = Request::new(v1::WhoAmIRequest {});
        let traceparent = format!("00-{LAST}-00f067aa0ba902b7-01");
        last.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
        self.answers.push(told(admin.access().who_am_i(last).await));
    }

    fn plant(&mut self, what: &'static str, token: &str) {
        self.planted.push(Credential::new(what, token));
    }

    async fn open_session(&self, token: &str) -> String {
        let mut access = Caller::with(&self.server, token).access();
        let opened = access.create_session(v1::CreateSessionRequest::default()).await;
        opened.expect("a session").into_inner().token
    }

    async fn use_correctly(&mut self, token: &str) {
        self.call_with_header("authorization", &format!("Bearer {token}")).await;
    }

    /// Valid, expired, for others, forged, and cut.
    async fn use_web_tokens(&mut self, issuer: &Issuer) {
        let (key, forger) = (SigningKey::new("k1"), SigningKey::new("k1"));
        issuer.publish(&[&key]);
        let claims = |name: &str, value| {
            let mut claims = issuer.claims("acme", "viewer");
            claims[name] = value;
            claims
        };
        let good = issuer.claims("acme", "viewer");
        for (what, token) in [
            ("a web token", key.sign(&good)),
            ("an expired web token", key.sign(&claims("exp", json!(in_seconds(-120))))),
            ("a web token for others", key.sign(&claims("aud", json!("others")))),
            ("a web token of no role", key.sign(&claims("role", json!("root")))),
            ("a forged web token", forger.sign(&good)),
        ] {
            self.plant(what, &token);
            self.use_correctly(&token).await;
            self.use_correctly(&token[..token.len() - 4]).await;
        }
    }

    /// Mistakes that people make: another scheme, another header, something extra.
    async fn use_incorrectly(&mut self, token: &str) {
        let basic = format!("Basic {}", STANDARD.encode(format!("user:{token}")));
        let values = [
            basic,
            token.to_owned(),
            format!("Token {token}"),
            format!("Bearer  {token}"),
            format!("Bearer {token}0"),
            format!("Bearer {}", &token[..66]),
            format!("Bearer {}", token.to_uppercase()),
            format!("Bearer {token}, Bearer {token}"),
        ];
        for value in &values {
            self.call_with_header("authorization", value).await;
        }
        for header in [
            "proxy-authorization",
            "x-api-key",
            "cookie",
            "forwarded",
            "x-forwarded-for",
            "traceparent",
            "tracestate",
            "x-request-id",
        ] {
            self.call_with_header(header, token).await;
        }
    }

    /// Credentials where an id or a page token belongs.
    async fn put_into_fields(&mut self, key: &str, token: &str) {
        let caller = Caller::with(&self.server, key);
        let (organization_id, token) = ("acme".to_owned(), token.to_owned());
        let revoke = v1::RevokeKeyRequest {
            organization_id: organization_id.clone(),
            key_id: token.clone(),
            revoke_made: false,
        };
        self.answers.push(told(caller.access().revoke_key(revoke).await));
        let list = v1::ListKeysRequest {
            organization_id: organization_id.clone(),
            page_token: token.clone(),
            ..Default::default()
        };
        self.answers.push(told(caller.access().list_keys(list).await));
        let mut endpoints = EndpointServiceClient::new(caller.channel.clone());
        let get = v1::GetEndpointRequest { organization_id, endpoint_id: token };
        self.answers.push(told(endpoints.get_endpoint(get).await));
    }

    /// Calls methods of every service with a header, as programs do that do not know our scheme.
    async fn call_with_header(&mut self, header: &'static str, value: &str) {
        let name = AsciiMetadataKey::from_static(header);
        let value: MetadataValue<Ascii> = value.parse().expect("ASCII");
        let show = move |mut request: Request<()>| {
            request.metadata_mut().insert(name.clone(), value.clone());
            Ok::<_, Status>(request)
        };
        let channel = channel(self.server.address());
        let organization_id = "acme".to_owned();

        let mut access = AccessServiceClient::with_interceptor(channel.clone(), show.clone());
        let list =
            v1::ListKeysRequest { organization_id: organization_id.clone(), ..Default::default() };
        // The caller has no name.
        let nameless = v1::CreateKeyRequest {
            organization_id: organization_id.clone(),
            key: Some(v1::Key { ..v1::Key::default() }),
            ..Default::default()
        };
        self.answers.push(told(access.who_am_i(v1::WhoAmIRequest {}).await));
        self.answers.push(told(access.list_keys(list).await));
        self.answers.push(told(access.create_key(nameless).await));

        let mut audit = AuditServiceClient::with_interceptor(channel.clone(), show.clone());
        let list = v1::ListAuditEntriesRequest {
            organization_id: organization_id.clone(),
            ..Default::default()
        };
        self.answers.push(told(audit.list_audit_entries(list).await));

        let mut endpoints = EndpointServiceClient::with_interceptor(channel.clone(), show.clone());
        let create = v1::CreateEndpointRequest {
            organization_id: organization_id.clone(),
            endpoint: Some(v1::Endpoint {
                display_name: "nowhere".to_owned(),
                url: "https://receiver.example/".to_owned(),
                event_types: vec!["export.failed".to_owned()],
                ..v1::Endpoint::default()
            }),
            ..Default::default()
        };
        self.answers.push(told(endpoints.create_endpoint(create).await));

        let mut ingest = IngestServiceClient::with_interceptor(channel.clone(), show.clone());
        let publish = v1::PublishEventRequest {
            organization_id: organization_id.clone(),
            event_type: "user.invited".to_owned(),
            payload: crate::platform::data_json("{}"),
            ..Default::default()
        };
        self.answers.push(told(ingest.publish_event(publish).await));

        let mut dispatch = DispatchServiceClient::with_interceptor(channel, show);
        let watch = v1::WatchDeliveriesRequest { organization_id, ..Default::default() };
        self.answers.push(told(dispatch.watch_deliveries(watch).await));
    }

    /// Signs in to the console, and sends credentials to it and to the metrics where they do not
    /// belong.
    async fn browse(&mut self, key: &str, session: &str) {
        let console = self.server.console().await;
        let browser = Browser::new();
        let first = browser.get(&format!("{console}/sign-in")).await;
        let cookie = cookie_of(&first).expect("a session of nobody");
        let page = first.text();
        let tag = page.split('<').find(|tag| tag.contains(r#"name="csrf""#)).expect("a form");
        let (_, csrf) = tag.split_once(r#"value=""#).expect("the token has a value");
        let csrf = csrf.split('"').next().unwrap_or_default();
        for typed in [format!("{key}0"), key.to_owned()] {
            let form = format!("csrf={csrf}&key={typed}&organization=acme");
            let headers = [
                ("cookie", cookie.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let url = format!("{console}/sign-in");
            let mut answer = browser.send(Method::POST, &url, &headers, form.into()).await;
            if let Some(cookie) = cookie_of(&answer).filter(|_| answer.status == 303) {
                let (_, opened) = cookie.split_once('=').expect("name and value");
                self.plant("a browser's session", opened);
                answer.headers.retain(|(name, _)| name != "set-cookie");
                self.visit(&browser, &console, &cookie, key).await;
            }
            self.answers.push(format!("{:?} {}", answer.headers, answer.text()));
        }
        let strange = format!("keeptrusts_console={session}");
        self.visit(&browser, &console, &strange, key).await;
        let metrics = self.metrics.clone();
        self.visit(&browser, &metrics, &strange, key).await;
    }

    /// Requests pages with a key where none is expected.
    async fn visit(&mut self, browser: &Browser, site: &str, cookie: &str, key: &str) {
        let bearer = format!("Bearer {key}");
        let headers = [("cookie", cookie), ("authorization", bearer.as_str())];
        for path in ["/webhooks", "/keys", "/audit", "/nothing", "/metrics"] {
            let url = format!("{site}{path}?key={key}");
            let answer = browser.send(Method::GET, &url, &headers, "".into()).await;
            self.answers.push(format!("{:?} {}", answer.headers, answer.text()));
        }
    }
}

/// An answer as text, with its metadata.
pub(crate) fn told<T: Debug>(answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => format!("{status} {status:?} {:?}", status.get_error_details()),
    }
}

fn cookie_of(answer: &http::Response) -> Option<String> {
    let cookie = answer.header("set-cookie")?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}
