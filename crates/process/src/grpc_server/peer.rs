//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;

use crate::tls::ClientCertificate;

/// The other end of the connection that a request came by. Every request has it among its
/// extensions, with TLS and without, so that layers and handlers can ask [`Peer::of`].
///
/// (tonic's `Request::remote_addr` knows tonic's own kinds of connections only, and is None.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address. None: it is a part of this process, such as the console of `serve`.
    pub address: Option<SocketAddr>,
    /// Its certificate, verified, if clients must have one (`--tls-client-ca`).
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// The peer of a request, by the request's extensions. None only for a request that did not
    /// come through a [`GrpcServer`](super::GrpcServer) or an
    /// [HTTP server](crate::http_server).
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
