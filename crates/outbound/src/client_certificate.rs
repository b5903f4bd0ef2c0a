//! Deliveries have no client certificate. That a receiver has asked for one is worth knowing: what
//! it does then rarely says why. With TLS 1.2 it sends a general alert or hangs up, with TLS 1.3
//! the same after the handshake, and some take the connection and answer with an error.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

tokio::task_local! {
    /// Whether a certificate was asked for in the handshake that this task is at.
    ///
    /// rustls asks the resolver without saying for which connection, and a configuration for each
    /// connection would be without the sessions of the others, which can be resumed only with the
    /// very same resolver.
    static CERTIFICATE_REQUESTED: Cell<bool>;
}

/// Has no certificate to show, and notes that one was asked for.
#[derive(Debug)]
pub(crate) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Outside of `detect_certificate_request` nobody wants to know.
        _ = CERTIFICATE_REQUESTED.try_with(|asked| asked.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Shakes hands. What came of it, and whether the receiver has asked for a certificate: with
/// either version of TLS it does so before the handshake is over (RFC 5246 section 7.4.4, RFC 8446
/// section 4.3.2).
pub(crate) async fn detect_certificate_request<Handshake: Future>(
    handshake: Handshake,
) -> (Handshake::Output, bool) {
    let noted = async {
        let output = handshake.await;
        (output, CERTIFICATE_REQUESTED.with(Cell::get))
    };
    CERTIFICATE_REQUESTED.scope(Cell::new(false), noted).await
}
