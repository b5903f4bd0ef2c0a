//! Which receivers are trusted, and what happens to the rest.

use keeptrusts_webhooks_outbound::{CertificateProblem, SendFailure, TlsProblem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::{Authority, Identity};
use crate::receiver::{HTTP2, Receiver, empty};
use crate::{answer, failure, sender_for};

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

#[tokio::test]
async fn a_certificate_of_a_namesake_of_a_trusted_issuer_is_rejected() {
    let (trusted, namesake) = (Authority::new(), Authority::new());
    let identity = namesake.identity();
    assert_rejected(&trusted, identity, CertificateProblem::BadSignature).await;
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
        SendFailure::TlsFailed(TlsProblem::NothingInCommon)
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
