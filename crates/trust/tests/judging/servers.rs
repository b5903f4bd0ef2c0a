//! Certificates with server names are trusted as servers, and not as authorities.

use keeptrusts_webhooks_trust::CertificateProblem;
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};

use crate::handshake::{handshake, trust};
use crate::identity::{Authority, Identity, like_openssl, params, pem, rsa_key, self_signed};

fn localhost() -> Identity {
    self_signed(&like_openssl("localhost", &["localhost", "127.0.0.1"]), &rsa_key())
}

#[test]
fn a_self_signed_certificate_of_openssl_is_trusted_for_its_names_and_addresses() {
    let server = localhost();
    let trust = trust(&server.pem());
    assert_eq!(handshake(&trust, &server, "localhost"), Ok(()));
    assert_eq!(handshake(&trust, &server, "127.0.0.1"), Ok(()));
    for other in ["example.com", "127.0.0.2", "localhost.example.com"] {
        assert_eq!(handshake(&trust, &server, other), Err(CertificateProblem::WrongName));
    }
}

#[test]
fn a_configured_server_is_trusted_however_its_certificate_is_marked() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut params = like_openssl("localhost", &["localhost"]);
        params.is_ca = is_ca;
        let server = self_signed(&params, &KeyPair::generate().expect("a key"));
        assert_eq!(handshake(&trust(&server.pem()), &server, "localhost"), Ok(()));
    }
}

#[test]
fn the_key_of_a_configured_server_cannot_impersonate_another_host() {
    let named = Authority::with(like_openssl("localhost", &["localhost"]));
    let trust = trust(&named.pem());
    let mut forged = named.issue(&params("bank.example", &["bank.example"]));
    let refused = Err(CertificateProblem::IssuerIsServer);
    assert_eq!(handshake(&trust, &forged, "bank.example"), refused);
    // Nor with the issuer in the chain, nor by way of an authority that it has made.
    forged.chain.push(named.der());
    assert_eq!(handshake(&trust, &forged, "bank.example"), refused);
    let below = named.intermediate(like_openssl("below", &[]));
    let mut forged = below.issue(&params("bank.example", &["bank.example"]));
    forged.chain.push(below.der());
    assert_eq!(handshake(&trust, &forged, "bank.example"), refused);
    // Nor if an authority is trusted that has the name of the server.
    let namesake = self_signed(&like_openssl("localhost", &[]), &rsa_key());
    let mut both = trust.clone();
    both.add_pem("--trust-ca", namesake.pem().as_bytes()).expect("an authority");
    assert_eq!(handshake(&both, &forged, "bank.example"), refused);
    // Not even for its own name.
    let again = named.issue(&params("localhost", &["localhost"]));
    assert_eq!(handshake(&trust, &again, "localhost"), refused);
}

#[test]
fn a_configured_certificate_without_its_key_is_refused() {
    let params = like_openssl("localhost", &["localhost"]);
    let key = || KeyPair::generate().expect("a key");
    let stolen_with = self_signed(&params, &key()).key;
    // The signature of the thief is of the same kind as the server's key, or of another one.
    for named in [self_signed(&params, &key()), localhost()] {
        let thief = Identity { chain: named.chain.clone(), key: stolen_with.clone_key() };
        let judged = handshake(&trust(&named.pem()), &thief, "localhost");
        assert_eq!(judged, Err(CertificateProblem::KeyNotProven));
    }
}

#[test]
fn a_certificate_that_only_resembles_a_configured_one_is_refused() {
    let params = like_openssl("localhost", &["localhost"]);
    let named = self_signed(&params, &KeyPair::generate().expect("a key"));
    let double = self_signed(&params, &KeyPair::generate().expect("a key"));
    let refused = Err(CertificateProblem::SelfSigned);
    assert_eq!(handshake(&trust(&named.pem()), &double, "localhost"), refused);
}

#[test]
fn a_configured_server_is_trusted_within_its_validity_only() {
    let mut over = like_openssl("localhost", &["localhost"]);
    over.not_after = date_time_ymd(2020, 1, 1);
    let over = self_signed(&over, &rsa_key());
    let refused = Err(CertificateProblem::Expired);
    assert_eq!(handshake(&trust(&over.pem()), &over, "localhost"), refused);
    let mut future = like_openssl("localhost", &["localhost"]);
    future.not_before = date_time_ymd(4000, 1, 1);
    let future = self_signed(&future, &rsa_key());
    let refused = Err(CertificateProblem::NotValidYet);
    assert_eq!(handshake(&trust(&future.pem()), &future, "localhost"), refused);
}

#[test]
fn a_configured_certificate_for_clients_only_is_refused() {
    let with_usage = |usage: &[ExtendedKeyUsagePurpose]| {
        let mut params = like_openssl("localhost", &["localhost"]);
        params.extended_key_usages = usage.to_vec();
        let server = self_signed(&params, &rsa_key());
        handshake(&trust(&server.pem()), &server, "localhost")
    };
    let (for_client, for_server) =
        (ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth);
    let refused = Err(CertificateProblem::NotForServers);
    assert_eq!(with_usage(std::slice::from_ref(&for_client)), refused);
    assert_eq!(with_usage(&[for_client, for_server]), Ok(()));
}

#[test]
fn a_server_certificate_of_an_authority_can_be_configured_without_the_authority() {
    let authority = Authority::named("private");
    let server = authority.issue(&params("localhost", &["localhost"]));
    let trust = trust(&server.pem());
    assert_eq!(handshake(&trust, &server, "localhost"), Ok(()));
    // It alone, and not what else that authority has issued.
    let other = authority.issue(&params("localhost", &["localhost"]));
    let refused = Err(CertificateProblem::UnknownIssuer);
    assert_eq!(handshake(&trust, &other, "localhost"), refused);
}

#[test]
fn a_self_signed_server_that_is_not_configured_is_reported_as_self_signed() {
    let authority = Authority::named("trusted");
    let trust = trust(&authority.pem());
    let refused = Err(CertificateProblem::SelfSigned);
    assert_eq!(handshake(&trust, &localhost(), "localhost"), refused);
    // However it is marked, and whatever else is wrong with it.
    let mut params = params("localhost", &["localhost"]);
    let server = self_signed(&params, &KeyPair::generate().expect("a key"));
    assert_eq!(handshake(&trust, &server, "localhost"), refused);
    params.not_after = date_time_ymd(2020, 1, 1);
    let server = self_signed(&params, &KeyPair::generate().expect("a key"));
    assert_eq!(handshake(&trust, &server, "example.com"), refused);
}

#[test]
fn a_certificate_with_the_subject_of_its_issuer_is_not_reported_as_self_signed() {
    let trust = trust(&Authority::named("trusted").pem());
    let issuer = Authority::named("localhost");
    let server = issuer.issue(&params("localhost", &["localhost"]));
    assert_eq!(handshake(&trust, &server, "localhost"), Err(CertificateProblem::UnknownIssuer));
}

#[test]
fn a_file_may_hold_servers_and_authorities() {
    let (authority, server) = (Authority::named("private"), localhost());
    let issued = authority.issue(&params("example.com", &["example.com"]));
    let trust = trust(&format!("{}{}", server.pem(), authority.pem()));
    assert_eq!(handshake(&trust, &server, "localhost"), Ok(()));
    assert_eq!(handshake(&trust, &issued, "example.com"), Ok(()));
    assert_eq!(pem(&issued.chain[0]), issued.pem());
}
