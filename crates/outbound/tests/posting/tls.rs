//! Which receivers are trusted, and how others fail.

use keeptrusts_webhooks_outbound::{
    CertificateProblem, OutboundConfig, SendFailure, Sender, TlsProblem,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::{Authority, Identity, self_signed};
use crate::receiver::{HTTP2, Receiver, empty};
use crate::{answer, config_for, failure, sender_for};

async fn receiver(identity: Identity) -> Receiver {
    Receiver::http(identity, HTTP2, async |_| empty(200)).await
}

async fn assert_rejected(authority: &Authority, identity: Identity, problem: CertificateProblem) {
    let receiver = receiver(identity).await;
    assert_eq!(
        failure(&sender_for(authority), &receiver.url()).await,
        SendFailure::CertificateRejected(problem)
    );
}

#[tokio::test]
async fn a_certificate_of_a_configured_root_is_accepted() {
    let authority = Authority::new();
    let receiver = receiver(authority.identity()).await;
    let answer = answer(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_rejected() {
    let trusted = Authority::new();
    let identity = Authority::named("another authority").identity();
    assert_rejected(&trusted, identity, CertificateProblem::UnknownIssuer).await;
}

/// A sender that trusts what is in the file, and not the authority of other tests.
fn sender_trusting(pem: Vec<u8>) -> Sender {
    let config = config_for(&Authority::new());
    Sender::new(OutboundConfig { trusted_roots_pem: vec![pem], ..config }).unwrap()
}

#[tokio::test]
async fn a_self_signed_certificate_with_server_names_is_accepted_if_it_is_configured() {
    let (identity, pem) = self_signed(&["127.0.0.1", "receiver.example"]);
    let receiver = receiver(identity).await;
    assert_eq!(answer(&sender_trusting(pem), &receiver.url()).await.status, 200);
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_not_configured_is_reported_as_such() {
    let (identity, _) = self_signed(&["127.0.0.1"]);
    let receiver = receiver(identity).await;
    let failure = failure(&sender_for(&Authority::new()), &receiver.url()).await;
    assert_eq!(failure, SendFailure::CertificateRejected(CertificateProblem::SelfSigned));
    assert_eq!(
        failure.to_string(),
        "the receiver's certificate was rejected: it is self-signed, and none of those that are \
         trusted (serve one that an authority has issued, or have this one named in --trust-ca)"
    );
}

#[tokio::test]
async fn the_key_of_a_configured_server_cannot_issue_certificates_for_others() {
    let named = Authority::with_server_names(&["receiver.example"]);
    assert_rejected(&named, named.identity(), CertificateProblem::IssuerIsServer).await;
}

#[tokio::test]
async fn a_certificate_of_a_namesake_of_a_trusted_issuer_is_rejected() {
    let (trusted, namesake) = (Authority::new(), Authority::new());
    let identity = namesake.identity();
    assert_rejected(&trusted, identity, CertificateProblem::NotSignedByIssuer).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected() {
    let authority = Authority::new();
    let identity = authority.identity_for("another.example");
    assert_rejected(&authority, identity, CertificateProblem::WrongName).await;
}

#[tokio::test]
async fn an_expired_certificate_is_rejected() {
    let authority = Authority::new();
    let identity = authority.expired_identity();
    assert_rejected(&authority, identity, CertificateProblem::Expired).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_rejected() {
    let authority = Authority::new();
    let identity = authority.identity_of_the_future();
    assert_rejected(&authority, identity, CertificateProblem::NotValidYet).await;
}

#[tokio::test]
async fn a_plain_text_receiver_gets_no_request() {
    let receiver = Receiver::tcp(async |mut stream| {
        let mut first_bytes = [0; 5];
        stream.read_exact(&mut first_bytes).await.unwrap();
        assert_ne!(&first_bytes, b"POST ");
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        // Wait for the sender to hang up, so that the answer is not lost to a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(
        failure(&sender_for(&Authority::new()), &receiver.url()).await,
        SendFailure::TlsFailed(TlsProblem::NotTls)
    );
}

#[tokio::test]
async fn a_connection_closed_during_the_handshake_fails() {
    let receiver = Receiver::tcp(async |mut stream| {
        stream.read_exact(&mut [0]).await.unwrap();
    })
    .await;
    assert_eq!(
        failure(&sender_for(&Authority::new()), &receiver.url()).await,
        SendFailure::TlsFailed(TlsProblem::Closed)
    );
}

#[tokio::test]
async fn a_receiver_that_speaks_neither_http_version_fails() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), &["imap"], async |_| {}).await;
    assert_eq!(
        failure(&sender_for(&authority), &receiver.url()).await,
        SendFailure::TlsFailed(TlsProblem::NoHttp)
    );
}

#[tokio::test]
async fn messages_of_failures_are_for_administrators() {
    let authority = Authority::new();
    let receiver = receiver(Authority::named("another authority").identity()).await;
    let failure = failure(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(
        failure.to_string(),
        "the receiver's certificate was rejected: its issuer is not trusted \
         (serve the whole chain, or trust the issuer with --trust-ca)"
    );
}
