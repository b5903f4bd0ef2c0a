//! Handshakes in memory, between a client with a trust store and a server with a certificate.

use std::io;
use std::sync::Arc;

use keeptrusts_webhooks_trust::{CertificateProblem, TrustStore};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ConnectionCommon, ServerConfig, ServerConnection};

use crate::identity::Identity;

/// Presents a certificate even if the key does not belong to it.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A trust store with the certificates of a PEM file only.
pub(crate) fn trust(pem: &str) -> TrustStore {
    let mut trust = TrustStore::empty();
    trust.add_pem("--trust-ca", pem.as_bytes()).expect("the file is right");
    trust
}

/// Runs the handshake with TLS 1.2 and TLS 1.3, which must have the same result.
pub(crate) fn handshake(
    trust: &TrustStore,
    server: &Identity,
    name: &str,
) -> Result<(), CertificateProblem> {
    let [old, new] = [&TLS12, &TLS13].map(|version| {
        let provider = Arc::new(ring::default_provider());
        let key = ring::sign::any_supported_type(&server.key).expect("a key");
        let shown = CertifiedKey::new(server.chain.clone(), key);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("ring knows it")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown(Arc::new(shown))));
        let mut server = ServerConnection::new(Arc::new(config)).expect("a server");
        let config = trust.clone().client_config().expect("a client").with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        loop {
            pass(&mut client, &mut server);
            // The server's reaction to the client's alert does not matter.
            let _ = server.process_new_packets();
            pass(&mut server, &mut client);
            if let Err(error) = client.process_new_packets() {
                let problem = CertificateProblem::from_rustls(&error);
                return Err(problem.unwrap_or_else(|| panic!("not a certificate: {error:?}")));
            }
            if !client.is_handshaking() {
                assert_eq!(client.protocol_version(), Some(version.version));
                return Ok(());
            }
        }
    });
    assert_eq!(old, new);
    new
}

fn pass<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("into memory");
    }
    let mut bytes = bytes.as_slice();
    while to.read_tls(&mut bytes).or_else(full).expect("from memory") > 0 {}
}

/// The buffer takes no more before what is in it is processed; the handshakes here are short.
fn full(error: io::Error) -> io::Result<usize> {
    panic!("{error}")
}
