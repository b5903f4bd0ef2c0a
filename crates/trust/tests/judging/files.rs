//! Errors for files that cannot be used.

use keeptrusts_webhooks_trust::{CertificateProblem, TrustStore, UnusableCertificates};

use crate::handshake::handshake;
use crate::identity::{Authority, like_openssl, params, rsa_key, self_signed};

fn added(pem: &str) -> Result<(), UnusableCertificates> {
    TrustStore::empty().add_pem("--trust-ca", pem.as_bytes())
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    for (file, reason) in [
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "is not valid PEM"),
        ("hello", "has no certificate in PEM form"),
        ("", "has no certificate in PEM form"),
    ] {
        let error = added(file).expect_err("it is refused").to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn a_certificate_that_is_neither_server_nor_authority_is_refused_with_its_number() {
    let authority = Authority::named("private");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let nameless = authority.issue(&params("localhost", &[])).pem();
    let number = 2;
    for (second, expected) in [
        (nonsense, UnusableCertificates::Unreadable { number }),
        (include_str!("data/short-rsa.pem"), UnusableCertificates::UnusableRsaKey { number }),
        (&nameless, UnusableCertificates::NeitherServerNorAuthority { number }),
    ] {
        let refused = added(&format!("{}{second}", authority.pem()));
        assert_eq!(refused, Err(expected));
        let text = expected.to_string();
        assert!(text.contains("number 2"), "{text}");
    }
}

#[test]
fn text_and_other_parts_of_pem_are_ignored() {
    let key = rsa_key().serialize_pem();
    let pem = Authority::named("private").pem();
    assert_eq!(added(&format!("a bundle\n{key}\n{pem}")), Ok(()));
}

#[test]
fn an_empty_trust_store_refuses_every_server() {
    let trust = TrustStore::empty();
    assert!(trust.is_empty());
    let server = Authority::named("private").issue(&params("localhost", &["localhost"]));
    assert_eq!(handshake(&trust, &server, "localhost"), Err(CertificateProblem::UnknownIssuer));
    let server = self_signed(&like_openssl("localhost", &["localhost"]), &rsa_key());
    assert_eq!(handshake(&trust, &server, "localhost"), Err(CertificateProblem::SelfSigned));
}

#[test]
fn the_advice_names_the_flag_and_what_to_do() {
    let text = CertificateProblem::SelfSigned.with_advice("--oidc-ca").to_string();
    assert_eq!(
        text,
        "it is self-signed, and none of those that are trusted (serve one that an authority has \
         issued, or have this one named in --oidc-ca)"
    );
    let text = CertificateProblem::Expired.with_advice("--oidc-ca").to_string();
    assert_eq!(text, "it has expired");
}
