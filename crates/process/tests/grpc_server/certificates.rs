//! Certificate authorities for tests, with the files that they issue.

use std::path::{Path, PathBuf};

use keeptrusts_webhooks_process::tls::{ServerTlsFlags, ServiceTlsFlags};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A folder with a server's files.
pub(crate) struct Files {
    folder: TempDir,
}

/// A certificate and its key, PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// A self-signed server certificate, as `openssl req -x509` makes it.
    pub(crate) fn self_signed_server() -> Authority {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// The authority's own certificate, used by a server.
    pub(crate) fn own_identity(&self) -> Identity {
        Identity { certificate: self.pem(), key: self.issuer.key().serialize_pem() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a server on the loopback address, or for a client with this name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.issue(name, |_| {})
    }

    pub(crate) fn expired_identity(&self, name: &str) -> Identity {
        self.issue(name, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("valid names");
        let uri = format!("spiffe://keeptrusts.example/{name}");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Files {
    pub(crate) fn new() -> Files {
        Files { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    /// Flags of a server with this certificate.
    pub(crate) fn server(&self, identity: &Identity) -> ServerTlsFlags {
        ServerTlsFlags {
            tls_cert: Some(self.write("server.pem", &identity.certificate)),
            tls_key: Some(self.write("server.key", &identity.key)),
            tls_client_ca: None,
            insecure: false,
        }
    }

    /// Flags of a server that demands certificates of the authority `clients`.
    pub(crate) fn mutual(&self, identity: &Identity, clients: &Authority) -> ServerTlsFlags {
        let ca = self.write("client-ca.pem", &clients.pem());
        ServerTlsFlags { tls_client_ca: Some(ca), ..self.server(identity) }
    }

    /// Flags of a client that trusts an authority.
    pub(crate) fn client(&self, servers: &Authority) -> ServiceTlsFlags {
        let ca = self.write("services-ca.pem", &servers.pem());
        ServiceTlsFlags { services_ca: Some(ca), ..Default::default() }
    }

    /// Flags of a client with a certificate.
    pub(crate) fn client_with(&self, servers: &Authority, own: &Identity) -> ServiceTlsFlags {
        ServiceTlsFlags {
            services_cert: Some(self.write("client.pem", &own.certificate)),
            services_key: Some(self.write("client.key", &own.key)),
            ..self.client(servers)
        }
    }
}

pub(crate) fn display(path: &Path) -> String {
    path.display().to_string()
}
