//! Handshakes that the receiver ends, and the reasons that are reported.

use std::future::Future;
use std::io;
use std::sync::Arc;

use keeptrusts_webhooks_outbound::{Remark, SendFailure, TlsProblem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use tokio_rustls::server::TlsStream;

use crate::certificates::Authority;
use crate::receiver::{Receiver, read_request};
use crate::{failure, post, sender_for};

/// Fatal alerts in clear (RFC 5246 section 7.2), by their numbers.
const HANDSHAKE_FAILURE: u8 = 40;
const BAD_CERTIFICATE: u8 = 42;
const PROTOCOL_VERSION: u8 = 70;
const INSUFFICIENT_SECURITY: u8 = 71;
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;
const CERTIFICATE_REQUIRED: u8 = 116;

fn alert(number: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, number]
}

/// Whether a receiver requests or requires client certificates.
#[derive(Clone, Copy)]
enum ClientCertificates {
    NotAskedFor,
    AskedFor,
    Required,
}

fn config(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    clients: ClientCertificates,
) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match clients {
        ClientCertificates::NotAskedFor => builder.with_no_client_auth(),
        ClientCertificates::AskedFor => {
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        }
        ClientCertificates::Required => {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let identity = authority.identity();
    Arc::new(builder.with_single_cert(identity.chain, identity.key).unwrap())
}

/// Runs the handshake up to the client's answer to the server's messages. With TLS 1.2, what the server
/// sends then is still in the clear.
async fn partial_handshake(stream: &mut TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = ServerConnection::new(config).unwrap();
    let mut buffer = [0; 16 * 1024];
    while !server.wants_write() {
        let size = stream.read(&mut buffer).await?;
        server.read_tls(&mut &buffer[..size])?;
        server.process_new_packets().map_err(io::Error::other)?;
    }
    let mut flight = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut flight)?;
    }
    stream.write_all(&flight).await?;
    let _next_flight = stream.read(&mut buffer).await?;
    Ok(())
}

/// Sends these bytes, and waits for the sender to hang up, so that they are not lost by a reset.
async fn end_with(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// The failure for a receiver that answers the first message with these bytes.
async fn failure_of_answer(bytes: [u8; 7]) -> SendFailure {
    let receiver = Receiver::tcp(move |mut stream| async move {
        stream.read_exact(&mut [0]).await.unwrap();
        end_with(stream, &bytes).await;
    })
    .await;
    failure(&sender_for(&Authority::new()), &receiver.url()).await
}

#[tokio::test]
async fn an_alert_is_reported_as_such() {
    for (number, problem) in [
        (HANDSHAKE_FAILURE, TlsProblem::HandshakeFailure),
        (PROTOCOL_VERSION, TlsProblem::VersionTooOld),
        (INSUFFICIENT_SECURITY, TlsProblem::InsufficientSecurity),
        (INTERNAL_ERROR, TlsProblem::Alert("internal_error")),
        (UNRECOGNIZED_NAME, TlsProblem::UnrecognisedName),
        (CERTIFICATE_REQUIRED, TlsProblem::ClientCertificateRequired),
        // No certificate was requested, so the alert is not about ours.
        (BAD_CERTIFICATE, TlsProblem::Alert("bad_certificate")),
    ] {
        assert_eq!(failure_of_answer(alert(number)).await, SendFailure::TlsFailed(problem));
    }
}

#[tokio::test]
async fn a_general_alert_is_about_the_client_certificate_only_if_one_was_asked_for() {
    let authority = Authority::new();
    for (clients, number, problem) in [
        // OpenSSL and Go, in this order, say this of a missing certificate by TLS 1.2.
        (ClientCertificates::AskedFor, HANDSHAKE_FAILURE, TlsProblem::ClientCertificateRequired),
        (ClientCertificates::AskedFor, BAD_CERTIFICATE, TlsProblem::ClientCertificateRequired),
        (ClientCertificates::AskedFor, INTERNAL_ERROR, TlsProblem::Alert("internal_error")),
        (ClientCertificates::NotAskedFor, HANDSHAKE_FAILURE, TlsProblem::HandshakeFailure),
    ] {
        let config = config(&authority, &TLS12, clients);
        let receiver = Receiver::tcp(move |mut stream| {
            let config = Arc::clone(&config);
            async move {
                partial_handshake(&mut stream, config).await.unwrap();
                end_with(stream, &alert(number)).await;
            }
        })
        .await;
        let failure = failure(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(failure, SendFailure::TlsFailed(problem));
    }
}

#[tokio::test]
async fn hanging_up_is_about_the_client_certificate_only_if_one_was_asked_for() {
    let authority = Authority::new();
    for (clients, problem) in [
        (ClientCertificates::AskedFor, TlsProblem::ClientCertificateRequired),
        (ClientCertificates::NotAskedFor, TlsProblem::Closed),
    ] {
        let config = config(&authority, &TLS12, clients);
        let receiver = Receiver::tcp(move |mut stream| {
            let config = Arc::clone(&config);
            async move { partial_handshake(&mut stream, config).await.unwrap() }
        })
        .await;
        let failure = failure(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(failure, SendFailure::TlsFailed(problem));
    }
}

#[tokio::test]
async fn a_required_client_certificate_is_reported_in_both_versions_of_tls() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let acceptor = TlsAcceptor::from(config(&authority, version, ClientCertificates::Required));
        let receiver = Receiver::tcp(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let error = acceptor.accept(stream).into_fallible().await.unwrap_err();
                // Or the alert would be lost to a reset.
                let (_, mut stream) = error;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        let failure = failure(&sender_for(&authority), &receiver.url()).await;
        assert_eq!(
            failure,
            SendFailure::TlsFailed(TlsProblem::ClientCertificateRequired),
            "{version:?}"
        );
        assert_eq!(
            failure.to_string(),
            "TLS failed: the receiver asked for a client certificate, which deliveries do not \
             have, and ended the connection"
        );
    }
}

/// Completes the handshake without a client certificate, and then calls `serve`.
async fn asking<Serving>(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    clients: ClientCertificates,
    serve: fn(TlsStream<TcpStream>) -> Serving,
) -> Receiver
where
    Serving: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(config(authority, version, clients));
    Receiver::tcp(move |stream| {
        let acceptor = acceptor.clone();
        async move { serve(acceptor.accept(stream).await.unwrap()).await }
    })
    .await
}

async fn hang_up(mut stream: TlsStream<TcpStream>) {
    assert!(read_request(&mut stream).await);
}

#[tokio::test]
async fn a_connection_that_ends_after_a_certificate_request_ended_for_lack_of_one() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        for (clients, expected) in [
            (
                ClientCertificates::AskedFor,
                SendFailure::TlsFailed(TlsProblem::ClientCertificateRequired),
            ),
            (ClientCertificates::NotAskedFor, SendFailure::ConnectionClosed),
        ] {
            let receiver = asking(&authority, version, clients, hang_up).await;
            assert_eq!(failure(&sender_for(&authority), &receiver.url()).await, expected);
        }
    }
}

/// Like some proxies (nginx sends its status 496 as 400): the handshake succeeds, and the answer reports
/// the missing certificate.
#[tokio::test]
async fn an_answer_after_a_certificate_was_asked_for_has_a_remark_unless_it_is_a_success() {
    async fn bad_request(mut stream: TlsStream<TcpStream>) {
        assert!(read_request(&mut stream).await);
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    async fn no_content(mut stream: TlsStream<TcpStream>) {
        assert!(read_request(&mut stream).await);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let authority = Authority::new();
    let (asked, not_asked) = (ClientCertificates::AskedFor, ClientCertificates::NotAskedFor);
    for version in [&TLS12, &TLS13] {
        let remarks =
            async |receiver: Receiver| post(&sender_for(&authority), &receiver.url()).await.remarks;
        let receiver = asking(&authority, version, asked, bad_request).await;
        assert_eq!(remarks(receiver).await, [Remark::AskedForCertificate]);
        let receiver = asking(&authority, version, not_asked, bad_request).await;
        assert_eq!(remarks(receiver).await, []);
        let receiver = asking(&authority, version, asked, no_content).await;
        assert_eq!(remarks(receiver).await, []);
    }
}
