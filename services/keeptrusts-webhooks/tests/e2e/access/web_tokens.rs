//! JSON Web Tokens of the issuer, and of others.

use std::collections::BTreeSet;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::{Instant, timeout};
use tonic::Code;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::caller::{Caller, client};
use super::issuer::{AUDIENCE, Issuer, SigningKey, in_seconds, signing_input};
use crate::platform::{Backend, Database, PATIENCE, Server, assert_refused, eventually};

async fn serving(issuer: &Issuer, database: &Database) -> Server {
    Server::all_in_one(database)
        .flag("--oidc-issuer", &issuer.url())
        .flag("--oidc-audience", AUDIENCE)
        .flag("--failed-logins-per-minute", "100000")
        .flag("--log-level", "debug")
        .start()
        .await
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// The logged reason for each refused token.
fn refusals(server: &Server) -> Vec<String> {
    let output = server.process().output();
    let told = output.lines().filter(|line| line.contains("DEBUG"));
    told.filter(|line| line.contains("refused a token")).map(str::to_owned).collect()
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_issuer_gives_name_organization_and_role() {
    let (issuer, key) = (Issuer::start().await, SigningKey::new("k1"));
    issuer.publish(&[&key]);
    let database = Database::new(Backend::Sqlite).await;
    let server = serving(&issuer, &database).await;

    let token = key.sign(&issuer.claims("acme", "viewer"));
    let caller = Caller::with(&server, &token);
    let told = caller.who_am_i().await.expect("it is valid");
    assert_eq!(told.actor, "oidc:user-7");
    assert_eq!((told.display_name.as_str(), told.role()), ("ann@acme.example", v1::Role::Viewer));
    assert_eq!((told.organization_id.as_str(), told.session), ("acme", false));
    assert!(told.expire_time.is_some());

    let viewer = client(&server, "acme", &token);
    let list = |organization: &str| v1::ListEndpointsRequest {
        organization_id: organization.to_owned(),
        ..Default::default()
    };
    assert!(viewer.endpoints().list_endpoints(list("acme")).await.is_ok());
    let refused = viewer.endpoints().list_endpoints(list("globex")).await.expect_err("not its own");
    assert_refused(&refused, Code::NotFound, "ORGANIZATION_NOT_FOUND");
    let delete = v1::DeleteEndpointRequest::default();
    let refused = viewer.endpoints().delete_endpoint(delete).await.expect_err("a viewer");
    assert_refused(&refused, Code::PermissionDenied, "PERMISSION_DENIED");

    let everywhere = key.sign(&issuer.claims("*", "admin"));
    let told = Caller::with(&server, &everywhere).who_am_i().await.expect("it is valid");
    assert_eq!(told.organization_id, "*");
    let several = with(issuer.claims("acme", ""), "aud", json!(["other", AUDIENCE]));
    let several = with(several, "role", json!(["offline_access", "admin"]));
    assert!(Caller::with(&server, &key.sign(&several)).who_am_i().await.is_ok());

    let organizations = json!({"acme": {"id": "1"}, "globex": {"id": "2"}});
    let both = with(issuer.claims("", "viewer"), "organization", organizations);
    let both = Caller::with(&server, &key.sign(&both));
    let told = both.who_am_i().await.expect("it is valid");
    assert_eq!(
        (told.organization_id.as_str(), told.organization_ids),
        ("", vec!["acme".to_owned(), "globex".to_owned()])
    );
    let open = |id: &str| v1::CreateSessionRequest {
        organization_id: id.to_owned(),
        expiration: None,
        ..Default::default()
    };
    let refused = both.access().create_session(open("")).await.expect_err("for which?");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let refused = both.access().create_session(open("initech")).await.expect_err("not among them");
    assert_refused(&refused, Code::NotFound, "ORGANIZATION_NOT_FOUND");
    let opened = both.access().create_session(open("globex")).await.expect("a session");
    let told = Caller::with(&server, &opened.into_inner().token).who_am_i().await.expect("valid");
    assert_eq!((told.organization_id.as_str(), told.organization_ids.len()), ("globex", 0));

    let both = client(
        &server,
        "acme",
        &key.sign(&with(issuer.claims("", "viewer"), "organization", json!(["acme", "globex"]))),
    );
    for organization in ["acme", "globex"] {
        assert!(both.endpoints().list_endpoints(list(organization)).await.is_ok());
    }
    let refused = both.endpoints().list_endpoints(list("initech")).await.expect_err("no other");
    assert_refused(&refused, Code::NotFound, "ORGANIZATION_NOT_FOUND");
    // Clocks may differ.
    for claims in [
        with(issuer.claims("acme", "viewer"), "exp", json!(in_seconds(-15))),
        with(issuer.claims("acme", "viewer"), "nbf", json!(in_seconds(15))),
    ] {
        assert!(Caller::with(&server, &key.sign(&claims)).who_am_i().await.is_ok(), "{claims}");
    }

    let opened = caller
        .access()
        .create_session(v1::CreateSessionRequest::default())
        .await
        .expect("a session")
        .into_inner();
    let told = Caller::with(&server, &opened.token).who_am_i().await.expect("it is valid");
    assert_eq!((told.organization_id.as_str(), told.session), ("acme", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_others_and_invalid_tokens_are_refused() {
    let (issuer, key, forger) =
        (Issuer::start().await, SigningKey::new("k1"), SigningKey::new("k1"));
    issuer.publish(&[&key]);
    let database = Database::new(Backend::Sqlite).await;
    let server = serving(&issuer, &database).await;
    let good = || issuer.claims("acme", "admin");
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});

    let valid = key.sign(&good());
    let (signed, signature) = valid.rsplit_once('.').expect("three parts");
    let (head, _) = signed.split_once('.').expect("three parts");
    let other_claims = with(good(), "organization", json!("globex"));
    let tampered = signing_input(&header("ES256", "k1"), &other_claims);
    let hmac_input = signing_input(&header("HS256", "k1"), &good());
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key.public_bytes()).expect("any length");
    hmac.update(hmac_input.as_bytes());
    let hmac = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
    let (over, to_come) = (in_seconds(-120), in_seconds(600));
    let is_over = format!("its claim `exp` is {over}, wanted is a time to come");
    let is_to_come = format!("its claim `nbf` is {to_come}, wanted is a time past");
    let forgeries = [
        (
            "no algorithm",
            r#"its algorithm (alg) is "none""#,
            format!("{}.", signing_input(&header("none", "k1"), &good())),
        ),
        ("no algorithm, kept signature", r#"its algorithm (alg) is "None""#, {
            format!("{}.{signature}", signing_input(&header("None", "k1"), &good()))
        }),
        (
            "the public key as a secret",
            r#"its algorithm (alg) is "HS256""#,
            format!("{hmac_input}.{hmac}"),
        ),
        (
            "another's signature",
            r#"its signature is not by the issuer's key "k1""#,
            forger.sign(&good()),
        ),
        ("a key that is sent along", r#"its key id (kid) is "k9""#, {
            let mut header = header("ES256", "k9");
            header["jwk"] = forger.jwk();
            forger.sign_with(&header, &good())
        }),
        (
            "an unknown key",
            r#"its key id (kid) is "k9", wanted is one of the issuer's keys for ES256: "k1""#,
            key.sign_with(&header("ES256", "k9"), &good()),
        ),
        (
            "another algorithm",
            "keys for RS256: there is none",
            key.sign_with(&header("RS256", "k1"), &good()),
        ),
        ("other claims", "its signature is not by", format!("{tampered}.{signature}")),
        ("no signature", "its signature is not by", format!("{signed}.")),
        ("a cut signature", "it is not a JSON Web Token", format!("{signed}.{}", &signature[..10])),
        ("no claims", "its signature is not by", format!("{head}..{signature}")),
        (
            "another audience",
            r#"its claim `aud` is "somebody-else", wanted is one of ["keeptrusts-webhooks"]"#,
            key.sign(&with(good(), "aud", json!("somebody-else"))),
        ),
        ("no audience", "its claim `aud` is missing", key.sign(&without(good(), "aud"))),
        (
            "another issuer",
            r#"its claim `iss` is "https://evil.example", wanted is "http://127.0.0.1:"#,
            key.sign(&with(good(), "iss", json!("https://evil.example"))),
        ),
        ("no issuer", "its claim `iss` is missing", key.sign(&without(good(), "iss"))),
        ("expired", is_over.as_str(), key.sign(&with(good(), "exp", json!(over)))),
        ("no end", "its claim `exp` is missing", key.sign(&without(good(), "exp"))),
        (
            "an end that is a text",
            r#"its claim `exp` is "9999999999""#,
            key.sign(&with(good(), "exp", json!("9999999999"))),
        ),
        ("not yet valid", is_to_come.as_str(), key.sign(&with(good(), "nbf", json!(to_come)))),
        (
            "a beginning that is a text",
            r#"its claim `nbf` is "x""#,
            key.sign(&with(good(), "nbf", json!("x"))),
        ),
        ("no subject", "its claim `sub` is missing", key.sign(&without(good(), "sub"))),
        ("extensions that must be understood", "it demands extensions (crit)", {
            let mut header = header("ES256", "k1");
            header["crit"] = json!(["b64"]);
            key.sign_with(&header, &good())
        }),
    ];
    let mut words = BTreeSet::new();
    for (what, why, token) in &forgeries {
        let told_before = refusals(&server).len();
        let answer = Caller::with(&server, token).who_am_i().await;
        let refused = answer.expect_err(what);
        assert_eq!(refused.code(), Code::Unauthenticated, "{what}: {refused}");
        words.insert(refused.message().to_owned());
        let told = eventually("the operator is told", async || {
            refusals(&server).get(told_before).cloned()
        });
        let told = told.await;
        assert!(told.contains(why), "{what}: {told}");
    }
    assert_eq!(words.len(), 1, "who sends them learns nothing");
    for (what, claims) in [
        ("no organization", without(good(), "organization")),
        ("a wrong organization", with(good(), "organization", json!("A B"))),
        ("no role", without(good(), "role")),
        ("an unknown role", with(good(), "role", json!("root"))),
        ("two roles", with(good(), "role", json!(["viewer", "publisher"]))),
    ] {
        let answer = Caller::with(&server, &key.sign(&claims)).who_am_i().await;
        assert_refused(&answer.expect_err(what), Code::PermissionDenied, "PERMISSION_DENIED");
    }
    assert!(Caller::with(&server, &valid).who_am_i().await.is_ok(), "the good one still is");
    assert!(issuer.fetches() <= 2, "forgeries do not make us ask again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_web_token_and_not_before_clocks_agree_on_that() {
    let (issuer, key) = (Issuer::start().await, SigningKey::new("k1"));
    issuer.publish(&[&key]);
    let database = Database::new(Backend::Sqlite).await;
    let server = serving(&issuer, &database).await;
    // Clocks may differ by 30 s.
    let token = key.sign(&with(issuer.claims("acme", "viewer"), "exp", json!(in_seconds(-24))));
    let viewer = client(&server, "acme", &token);
    let watch =
        v1::WatchDeliveriesRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let changes = viewer.dispatch().watch_deliveries(watch).await.expect("it is accepted");
    let mut changes = changes.into_inner();
    let begun = Instant::now();
    let ended = timeout(PATIENCE, next_shown(&mut changes)).await.expect("it ends in time");
    assert_refused(&ended.expect_err("with a status"), Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// With Keycloak's claims. Claims that the flags do not name mean nothing.
#[tokio::test(flavor = "multi_thread")]
async fn flags_name_the_claims_and_the_roles() {
    let (issuer, key) = (Issuer::start().await, SigningKey::new("k1"));
    issuer.publish(&[&key]);
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--oidc-issuer", &issuer.url())
        .flag("--oidc-audience", AUDIENCE)
        .flag("--oidc-organization-claim", "tenant.id")
        .flag("--oidc-role-claim", "realm_access.roles")
        .flag("--oidc-role-map", "Webhooks.Read=viewer,Webhooks.Write=publisher")
        .start()
        .await;
    let claims = |roles: Value| {
        let claims = issuer.claims("globex", "admin");
        let claims = with(claims, "tenant", json!({"id": "acme"}));
        with(claims, "realm_access", json!({ "roles": roles }))
    };
    let told = Caller::with(&server, &key.sign(&claims(json!(["offline", "Webhooks.Read"]))));
    let told = told.who_am_i().await.expect("it is valid");
    assert_eq!((told.organization_id.as_str(), told.role()), ("acme", v1::Role::Viewer));

    for roles in [json!(["admin"]), json!(["Webhooks.Read", "Webhooks.Write"])] {
        let caller = Caller::with(&server, &key.sign(&claims(roles)));
        let refused = caller.who_am_i().await.expect_err("no role, or one too many");
        assert_refused(&refused, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let expired = key.sign(&with(claims(json!("Webhooks.Read")), "exp", json!(in_seconds(-120))));
    Caller::with(&server, &expired).who_am_i().await.expect_err("its time is over");
    // Without --log-level debug the operator sees one of each kind.
    for (kind, words) in [
        ("role_unknown", "realm_access.roles"),
        ("role_several", "publisher and viewer"),
        ("exp", "its claim `exp` is "),
    ] {
        let is_told = |line: &str| {
            line.contains(" INFO ")
                && line.contains("refused a token")
                && line.contains(&format!("kind=\"{kind}\""))
                && line.contains(words)
        };
        server.process().wait_for_line(is_told, PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_a_file_are_read_and_a_platform_without_an_issuer_accepts_no_token() {
    let (issuer, key) = (Issuer::start().await, SigningKey::new("k1"));
    let database = Database::new(Backend::Sqlite).await;
    let file = database.folder().join("keys.json");
    std::fs::write(&file, json!({"keys": [key.jwk()]}).to_string()).expect("written");
    let mut server = Server::all_in_one(&database)
        .flag("--oidc-jwks-file", file.to_str().expect("UTF-8"))
        .flag("--oidc-audience", AUDIENCE)
        .start()
        .await;
    let token = key.sign(&issuer.claims("acme", "viewer"));
    assert!(Caller::with(&server, &token).who_am_i().await.is_ok());
    server.stop().await;

    let server = Server::all_in_one(&database).start().await;
    let refused = Caller::with(&server, &token).who_am_i().await.expect_err("no issuer");
    assert_refused(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
}
