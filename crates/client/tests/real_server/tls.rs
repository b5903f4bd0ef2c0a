//! TLS: an authority of one's own, and a client's certificate.

use std::time::{Duration, Instant};

use keeptrusts_webhooks_client::{ClientBuilder, Code, v1};
use keeptrusts_webhooks_testkit::receiver::Authority;

use crate::platform::{PATIENCE, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_and_trusts_a_client_by_its_certificate() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (certificate, key) = authority.identity_pem("server");
    let ca = write("ca.pem", authority.pem());
    let flags = [write("server.pem", &certificate), write("server.key", &key)];
    let platform =
        Platform::start(&["--tls-cert", &flags[0], "--tls-key", &flags[1], "--tls-client-ca", &ca])
            .await;

    let (certificate, key) = authority.identity_pem("client");
    let trusting = || platform.builder("https").ca_file(&ca);
    let client = trusting().client_certificate_pem(certificate.clone(), key.clone());
    let client = client.build().expect("a client");
    client.who_am_i(v1::WhoAmIRequest {}).await.expect("both trust each other");

    let other = Authority::new();
    let distrusting = platform.builder("https").ca_pem(other.pem());
    let distrusting = distrusting.client_certificate_pem(certificate, key);
    let distrusting = distrusting.build().expect("a client");
    let start = Instant::now();
    let error = distrusting.who_am_i(v1::WhoAmIRequest {}).await.expect_err("another authority");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.to_string().contains("not trusted: invalid peer certificate"), "{error}");
    assert!(start.elapsed() < PATIENCE / 2, "it is of no use to try until the deadline");

    let shortly = |builder: ClientBuilder| {
        builder.deadline(Duration::from_secs(1)).build().expect("a client")
    };

    // With TLS 1.3 the server refuses after the client's handshake, and hyper does not keep the alert.
    let nobody = shortly(trusting());
    let error = nobody.who_am_i(v1::WhoAmIRequest {}).await.expect_err("without a certificate");
    assert_eq!(error.code(), Code::Unavailable, "{error}");

    let in_clear = shortly(platform.builder("http"));
    let error = in_clear.who_am_i(v1::WhoAmIRequest {}).await.expect_err("not encrypted");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}
