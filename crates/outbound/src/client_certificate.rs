//! Detects that a receiver asks for a client certificate, which deliveries do not have.
//!
//! What such a receiver does next rarely says why. With TLS 1.2 it sends a general alert or hangs
//! up, with TLS 1.3 it does the same after the handshake, and some answer with an error.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

tokio::task_local! {
    /// Whether a certificate was requested in the handshake that this task runs.
    ///
    /// rustls does not tell the resolver which connection it asks for. A configuration for each
    /// connection could not resume the sessions of the others: that takes the very same resolver.
    static CERTIFICATE_REQUESTED: Cell<bool>;
}

/// Offers no certificate, and notes that one was requested.
#[derive(Debug)]
pub(crate) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Outside of `detect_certificate_request` there is nothing to set.
        _ = CERTIFICATE_REQUESTED.try_with(|requested| requested.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Runs a handshake, and says whether the receiver requested a certificate. In both versions of TLS
/// the request comes before the handshake ends (RFC 5246 section 7.4.4, RFC 8446 section 4.3.2).
pub(crate) async fn detect_certificate_request<Handshake: Future>(
    handshake: Handshake,
) -> (Handshake::Output, bool) {
    let noted = async {
        let output = handshake.await;
        (output, CERTIFICATE_REQUESTED.with(Cell::get))
    };
    CERTIFICATE_REQUESTED.scope(Cell::new(false), noted).await
}
