//! Certificates without server names are authorities; problems with the certificates that they issued.

use keeptrusts_webhooks_trust::CertificateProblem;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::handshake::{handshake, trust};
use crate::identity::{Authority, Identity, like_openssl, params, rsa_key, self_signed};

fn server() -> CertificateParams {
    params("localhost", &["localhost", "127.0.0.1"])
}

/// The result for a server's certificate that `authority` issued.
fn judged(authority: &Authority, server: &CertificateParams) -> Result<(), CertificateProblem> {
    handshake(&trust(&authority.pem()), &authority.issue(server), "localhost")
}

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted() {
    assert_eq!(judged(&Authority::named("private"), &server()), Ok(()));
}

#[test]
fn a_self_signed_certificate_without_server_names_is_an_authority_however_it_is_marked() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = params("private", &[]);
        params.is_ca = is_ca;
        assert_eq!(judged(&Authority::with(params), &server()), Ok(()));
    }
}

#[test]
fn an_authority_that_has_an_address_for_mail_only_names_no_server() {
    let mut params = like_openssl("private", &[]);
    let mail = "ca@example.com".try_into().expect("ASCII");
    params.subject_alt_names.push(SanType::Rfc822Name(mail));
    assert_eq!(judged(&Authority::with(params), &server()), Ok(()));
}

#[test]
fn an_intermediate_authority_can_be_trusted_without_its_root() {
    let root = Authority::named("root");
    let intermediate = root.intermediate(like_openssl("intermediate", &[]));
    assert_eq!(judged(&intermediate, &server()), Ok(()));
    let of_root = root.issue(&server());
    assert_eq!(
        handshake(&trust(&intermediate.pem()), &of_root, "localhost"),
        Err(CertificateProblem::UnknownIssuer)
    );
}

#[test]
fn an_authority_is_trusted_after_its_validity_as_trust_anchors_are() {
    let mut params = like_openssl("private", &[]);
    params.not_after = date_time_ymd(2020, 1, 1);
    assert_eq!(judged(&Authority::with(params), &server()), Ok(()));
}

#[test]
fn dates_names_and_purposes_have_problems_of_their_own() {
    let authority = Authority::named("private");
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = server();
        change(&mut params);
        judged(&authority, &params).expect_err("it is refused")
    };
    for (problem, expected) in [
        (with(&|it| it.not_after = date_time_ymd(2020, 1, 1)), CertificateProblem::Expired),
        (with(&|it| it.not_before = date_time_ymd(4000, 1, 1)), CertificateProblem::NotValidYet),
        (
            with(&|it| it.subject_alt_names.retain(|name| matches!(name, SanType::IpAddress(_)))),
            CertificateProblem::WrongName,
        ),
        (with(&|it| it.subject_alt_names.clear()), CertificateProblem::NoServerNames),
        (
            with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            CertificateProblem::NotForServers,
        ),
        (
            with(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            CertificateProblem::AuthorityAsServer,
        ),
    ] {
        assert_eq!(problem, expected);
    }
}

#[test]
fn a_problem_of_an_intermediate_is_not_reported_as_the_servers() {
    let root = Authority::named("root");
    let through = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = like_openssl("intermediate", &[]);
        change(&mut params);
        let intermediate = root.intermediate(params);
        let mut server = intermediate.issue(&server());
        server.chain.push(intermediate.der());
        handshake(&trust(&root.pem()), &server, "localhost")
    };
    assert_eq!(through(&|_| {}), Ok(()));
    for (judged, expected) in [
        (
            through(&|it| it.not_after = date_time_ymd(2020, 1, 1)),
            CertificateProblem::IssuerExpired,
        ),
        (
            through(&|it| it.not_before = date_time_ymd(4000, 1, 1)),
            CertificateProblem::IssuerNotValidYet,
        ),
        (through(&|it| it.is_ca = IsCa::NoCa), CertificateProblem::IssuerIsNoAuthority),
        (
            through(&|it| it.name_constraints = Some(only("example.com"))),
            CertificateProblem::NotPermitted,
        ),
        (
            through(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            CertificateProblem::NotForServers,
        ),
    ] {
        assert_eq!(judged, Err(expected));
    }
}

fn only(domain: &str) -> NameConstraints {
    let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
    NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() }
}

#[test]
fn an_authoritys_certificate_presented_by_a_server_has_no_server_names() {
    let params = like_openssl("localhost", &[]);
    let server = self_signed(&params, &KeyPair::generate().expect("a key"));
    let judged = handshake(&trust(&server.pem()), &server, "localhost");
    assert_eq!(judged, Err(CertificateProblem::NoServerNames));
}

#[test]
fn issuers_are_distinguished_by_their_keys() {
    let trusted = Authority::named("private");
    let trust = trust(&trusted.pem());
    let stranger = Authority::named("stranger").issue(&server());
    assert_eq!(handshake(&trust, &stranger, "localhost"), Err(CertificateProblem::UnknownIssuer));
    let namesake = Authority::named("private").issue(&server());
    assert_eq!(
        handshake(&trust, &namesake, "localhost"),
        Err(CertificateProblem::NotSignedByIssuer)
    );
}

#[test]
fn an_issuer_of_the_same_name_with_a_key_of_another_kind_is_reported_as_the_wrong_issuer() {
    let trusted = self_signed(&like_openssl("private", &[]), &rsa_key());
    let namesake = Authority::named("private").issue(&server());
    assert_eq!(
        handshake(&trust(&trusted.pem()), &namesake, "localhost"),
        Err(CertificateProblem::NotSignedByIssuer)
    );
}

#[test]
fn a_chain_with_the_wrong_intermediate_is_not_blamed_on_a_trusted_issuer() {
    let root = Authority::named("root");
    let intermediate = |name| root.intermediate(like_openssl(name, &[]));
    let (right, namesake) = (intermediate("intermediate"), intermediate("intermediate"));
    let mut server = right.issue(&server());
    server.chain.push(namesake.der());
    assert_eq!(
        handshake(&trust(&root.pem()), &server, "localhost"),
        Err(CertificateProblem::BrokenChain)
    );
}

/// `sha1-authority.pem` and what it has issued, with `rsa.key` for all of them: made by
/// `openssl ca`, because rcgen neither signs with SHA-1 nor writes version 1.
fn made_by_openssl(server: &str) -> Result<(), CertificateProblem> {
    let chain = vec![CertificateDer::from_pem_slice(server.as_bytes()).expect("PEM")];
    let key = self_signed(&params("none", &[]), &rsa_key()).key;
    let authority = include_str!("data/sha1-authority.pem");
    handshake(&trust(authority), &Identity { chain, key }, "localhost")
}

#[test]
fn a_certificate_that_is_signed_with_sha_1_is_reported_as_such() {
    let judged = made_by_openssl(include_str!("data/sha1.pem"));
    assert_eq!(judged, Err(CertificateProblem::UnsupportedSignature));
}

#[test]
fn a_certificate_of_version_1_is_reported_as_such() {
    let judged = made_by_openssl(include_str!("data/version-1.pem"));
    assert_eq!(judged, Err(CertificateProblem::OldVersion));
}
