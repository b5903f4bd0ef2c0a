//! Configuring a console at an issuer.

use std::process::ExitStatus;

use keeptrusts_webhooks_testkit::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};
use keeptrusts_webhooks_testkit::process::Launch;
use keeptrusts_webhooks_testkit::receiver::Authority;

use super::{SECRET, SignInFixture, press, signs_in};
use crate::console::fixture::HttpSession;
use crate::platform::{Backend, Database, PATIENCE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_as_the_issuer_supports_it() {
    let issuer = Issuer::start("acme", "viewer");
    issuer.require_client_authentication("client_secret_post");
    let fixture = SignInFixture::at(issuer, |serve| serve.env(SECRET, CLIENT_SECRET)).await;
    assert!(signs_in(&fixture.begin("").await.come_back(&fixture.issuer).await), "in the form");

    let issuer = Issuer::start("acme", "viewer");
    issuer.require_client_authentication("client_secret_basic");
    let file = fixture.database.folder().join("client-secret");
    std::fs::write(&file, format!("{CLIENT_SECRET}\n")).expect("written");
    let file = file.to_str().expect("UTF-8");
    let fixture =
        SignInFixture::at(issuer, |serve| serve.flag("--oidc-client-secret-file", file)).await;
    assert!(signs_in(&fixture.begin("").await.come_back(&fixture.issuer).await), "in a header");

    let issuer = Issuer::start("acme", "viewer");
    issuer.use_public_client();
    let fixture = SignInFixture::at(issuer, |serve| serve).await;
    assert!(signs_in(&fixture.begin("").await.come_back(&fixture.issuer).await), "not at all");

    let issuer = Issuer::start("acme", "viewer");
    let fixture = SignInFixture::at(issuer, |serve| serve.env(SECRET, "another")).await;
    let answer = fixture.begin("").await.come_back(&fixture.issuer).await;
    assert_eq!((answer.status, signs_in(&answer)), (502, false), "wrongly");
    let page = answer.text();
    assert!(page.contains("Tell whoever runs the console"), "{page}");
    let logged =
        |line: &str| line.contains("invalid_client") && line.contains("--oidc-client-secret");
    fixture.server.process().wait_for_line(logged, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_with_a_self_signed_certificate_is_trusted_if_that_is_named() {
    let issuer = Issuer::with(Authority::self_signed_server(), "acme", "viewer");
    let fixture = SignInFixture::at(issuer, |serve| serve.env(SECRET, CLIENT_SECRET)).await;
    assert!(signs_in(&fixture.begin("").await.come_back(&fixture.issuer).await));

    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--oidc-issuer", &fixture.issuer.url())
        .flag("--oidc-audience", CLIENT_ID)
        .flag("--oidc-client-id", CLIENT_ID)
        .env(SECRET, CLIENT_SECRET)
        .start()
        .await;
    let nobody = HttpSession::of_nobody(&server.console().await).await;
    assert!(!signs_in(&press(&nobody, "").await));
    let told = |line: &str| line.contains("self-signed") && line.contains("--oidc-ca");
    server.process().wait_for_line(told, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_to_register_and_a_console_without_an_issuer_offers_no_accounts() {
    let fixture = SignInFixture::with_a("viewer").await;
    let redirect_uri = format!("{}/sign-in/callback", fixture.console);
    let is_told = |line: &str| line.contains("redirect URI") && line.contains(&redirect_uri);
    fixture.server.process().wait_for_line(is_told, PATIENCE).await;

    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let nobody = HttpSession::of_nobody(&server.console().await).await;
    let page = nobody.get("/sign-in").await.text();
    assert!(!page.contains("/sign-in/account"), "{page}");
    let token = nobody.form_token("/sign-in").await;
    assert_eq!(nobody.post("/sign-in/account", format!("csrf={token}")).await.status, 404);
    assert_eq!(nobody.get("/sign-in/callback?code=a&state=b").await.status, 404);
}

#[tokio::test]
async fn flags_that_do_not_fit_together_are_refused_with_what_would_be_right() {
    let issuer = ("--oidc-issuer", "https://id.example");
    let audience = ("--oidc-audience", "api");
    let client = ("--oidc-client-id", CLIENT_ID);
    for (flags, words) in [
        (&[client][..], "--oidc-issuer <URL>"),
        (&[("--oidc-client-secret", "x")], "--oidc-client-id <ID>"),
        (&[issuer, audience, client], "which is not an --oidc-audience"),
        (
            &[issuer, audience, client, ("--console-public-url", "http://a.example")],
            "write https://",
        ),
        (
            &[issuer, ("--oidc-audience", CLIENT_ID), client, ("--oidc-client-secret-file", "/no")],
            "cannot read the client secret in /no (--oidc-client-secret-file)",
        ),
        (&[issuer, audience, client, ("--oidc-scope", "a b")], "write scopes separated by commas"),
    ] {
        let (status, said) = serve(flags).await;
        assert!(!status.success(), "{flags:?}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    let mut process = Launch::binary("console").args(["--help"]).env(SECRET, CLIENT_SECRET).start();
    assert!(process.wait_exit(PATIENCE).await.success());
    let help = process.output();
    assert!(help.contains("/sign-in/callback") && !help.contains(CLIENT_SECRET), "{help}");
}

async fn serve(flags: &[(&str, &str)]) -> (ExitStatus, String) {
    let database = Database::new(Backend::Sqlite).await;
    let mut launch = Launch::binary("keeptrusts-webhooks")
        .args(["serve", "--listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(database.folder());
    for (name, value) in flags {
        launch = launch.args([name, value]);
    }
    let mut process = launch.start();
    (process.wait_exit(PATIENCE).await, process.output())
}
