//! The client of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;

use crate::tls::ClientCertificate;

/// The client of the connection that a request came over. Every request has it among its
/// extensions, with TLS and without: see [`Peer::of`].
///
/// tonic's `Request::remote_addr` is always None here: it knows only tonic's own connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// None: the client is part of this process, such as the console of `serve`.
    pub address: Option<SocketAddr>,
    /// The verified certificate, if clients must have one (`--tls-client-ca`).
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// Looks in a request's extensions. None only for requests that did not come through a
    /// [`GrpcServer`](super::GrpcServer) or an [HTTP server](crate::http_server).
    pub fn of(extensions: &Extensions) -> Option<&Peer> {
        extensions.get()
    }
}

/// For logs: `192.0.2.7:40404`, `192.0.2.7:40404 (CN=ingest)` or `this process`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("this process")?,
        }
        match &self.certificate {
            Some(certificate) => write!(f, " ({})", certificate.subject),
            None => Ok(()),
        }
    }
}
