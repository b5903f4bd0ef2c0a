//! How a client is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::client::Shared;
use crate::credential::{Credential, KeyError};
use crate::{Client, RetryPolicy};

/// A call without an answer of its own waits for this long.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// While a call is under way: a peer that is gone without a word is found out after both together.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Smaller than what routers and firewalls forget idle connections after.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

const AGENT: &str = concat!("keeptrusts-webhooks-client-rust/", env!("CARGO_PKG_VERSION"));

/// Makes a [`Client`]. [`Client::builder`] and [`Client::builder_from_env`] begin one.
#[must_use]
pub struct ClientBuilder {
    address: String,
    key: Key,
    trust: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    may_send_key_in_clear: bool,
    deadline: Option<Duration>,
    connect_timeout: Duration,
    keep_alive: Option<Duration>,
    retry: RetryPolicy,
    agent: Option<String>,
}

enum Key {
    None,
    Text(Zeroizing<String>),
    File(PathBuf),
}

/// Certificates or a key.
enum Pem {
    Bytes(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is none.
    #[error("the address {address:?} cannot be used: {problem}")]
    Address {
        /// The given address.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key would go over the network in clear.
    #[error(
        "the API key would go to {address} unencrypted: use https://, or allow it with \
         allow_plaintext()"
    )]
    Plaintext {
        /// The given address.
        address: String,
    },
    /// There is no key, or it cannot be used.
    #[error("{0}")]
    Key(String),
    /// A file of certificates cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// TLS cannot be set up so.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The text for the user agent is no value of a header.
    #[error("the user agent {0:?} is no value of a header")]
    UserAgent(String),
    /// There is no tokio runtime, in which the client's connection lives.
    #[error("a client is made within a tokio runtime")]
    NoRuntime,
}

impl From<KeyError> for BuildError {
    fn from(error: KeyError) -> Self {
        BuildError::Key(error.to_string())
    }
}

impl ClientBuilder {
    pub(crate) fn new(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            address: address.into(),
            key: Key::None,
            trust: None,
            identity: None,
            server_name: None,
            may_send_key_in_clear: false,
            deadline: Some(DEADLINE),
            connect_timeout: CONNECT_TIMEOUT,
            keep_alive: Some(KEEP_ALIVE_INTERVAL),
            retry: RetryPolicy::default(),
            agent: None,
        }
    }

    /// The environment decides; an empty variable is not given.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> ClientBuilder {
        let given = |name: &str| {
            variable(&format!("KEEPTRUSTS_WEBHOOKS_{name}")).filter(|value| !value.is_empty())
        };
        let mut builder = ClientBuilder::new(given("ADDRESS").unwrap_or_default());
        if let Some(path) = given("API_KEY_FILE") {
            builder = builder.api_key_file(path);
        }
        if let Some(key) = given("API_KEY") {
            builder = builder.api_key(key);
        }
        if let Some(path) = given("CA_FILE") {
            builder = builder.ca_file(path);
        }
        let (certificate, key) = (given("CLIENT_CERT_FILE"), given("CLIENT_KEY_FILE"));
        if certificate.is_some() || key.is_some() {
            // One without the other is no file that can be read.
            let path = |given: Option<String>| given.unwrap_or_default();
            builder = builder.client_certificate_files(path(certificate), path(key));
        }
        builder
    }

    /// The API key, or a web token, that calls carry.
    pub fn api_key(mut self, key: impl Into<String>) -> ClientBuilder {
        self.key = Key::Text(Zeroizing::new(key.into()));
        self
    }

    /// The file that has the API key. It is read again every 5 seconds while calls are made, and when the
    /// server refuses the key, so that a key can be replaced under a running process.
    pub fn api_key_file(mut self, path: impl Into<PathBuf>) -> ClientBuilder {
        self.key = Key::File(path.into());
        self
    }

    /// Trusts servers whose certificates these authorities issued (PEM), instead of the system's
    /// authorities. A server's own certificate does not do if it is marked as an authority (`CA:TRUE`), as
    /// `openssl req -x509` does by default.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> ClientBuilder {
        self.trust = Some(Pem::Bytes(Zeroizing::new(pem.into())));
        self
    }

    /// The same from a file.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> ClientBuilder {
        self.trust = Some(Pem::File(path.into()));
        self
    }

    /// Presents this certificate to the server (mutual TLS); both as PEM, the certificate with its
    /// intermediates.
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> ClientBuilder {
        let pem = |bytes| Pem::Bytes(Zeroizing::new(bytes));
        self.identity = Some((pem(certificate.into()), pem(key.into())));
        self
    }

    /// The same from files.
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> ClientBuilder {
        self.identity = Some((Pem::File(certificate.into()), Pem::File(key.into())));
        self
    }

    /// The name that the server's certificate must have. Default: the address's host.
    pub fn server_name(mut self, name: impl Into<String>) -> ClientBuilder {
        self.server_name = Some(name.into());
        self
    }

    /// Sends the key unencrypted to another machine, for networks that encrypt themselves (a mesh, a VPN).
    /// Without this, an `http://` address with a key must be on this machine.
    pub fn allow_plaintext(mut self) -> ClientBuilder {
        self.may_send_key_in_clear = true;
        self
    }

    /// How long a call may take, with all its retries. Default: 30 seconds. None: for ever. It does not
    /// hold for streams. See [`Client::with_deadline`] for single calls.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> ClientBuilder {
        self.deadline = deadline.into();
        self
    }

    /// How long a connection may take to be made. Default: 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// How often the server is asked whether it is still there while a call or a stream is under way
    /// (HTTP/2 PING). Default: every 20 seconds. None: never.
    pub fn keep_alive(mut self, interval: impl Into<Option<Duration>>) -> ClientBuilder {
        self.keep_alive = interval.into();
        self
    }

    /// How calls are retried.
    pub fn retry(mut self, policy: RetryPolicy) -> ClientBuilder {
        self.retry = policy;
        self
    }

    /// What the server's logs call this client, for example `billing/1.4`. The library's own name follows.
    pub fn user_agent(mut self, agent: impl Into<String>) -> ClientBuilder {
        self.agent = Some(agent.into());
        self
    }

    /// Makes the client. It connects at its first call, and again whenever the connection was lost.
    ///
    /// # Errors
    ///
    /// What cannot work is refused here; whether the server is there shows at the first call.
    pub fn build(self) -> Result<Client, BuildError> {
        // The connection's task is spawned at once.
        tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let address = Address::parse(&self.address)
            .map_err(|problem| BuildError::Address { address: self.address.clone(), problem })?;
        let credential = match self.key {
            Key::None => Credential::None,
            Key::Text(key) => Credential::of_key(&key)?,
            Key::File(path) => Credential::of_file(path)?,
        };
        let goes_in_clear = !address.is_tls && !address.is_loopback;
        if goes_in_clear && !self.may_send_key_in_clear && !matches!(credential, Credential::None) {
            return Err(BuildError::Plaintext { address: self.address });
        }

        let agent = match self.agent {
            Some(agent) => format!("{agent} {AGENT}"),
            None => AGENT.to_owned(),
        };
        let mut endpoint = Endpoint::from(address.uri.clone())
            .user_agent(agent.clone())
            .map_err(|_| BuildError::UserAgent(agent))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if let Some(interval) = self.keep_alive {
            endpoint = endpoint.http2_keep_alive_interval(interval);
        }
        if address.is_tls {
            let tls = tls(self.trust, self.identity, self.server_name)?;
            endpoint = endpoint.tls_config(tls).map_err(|error| {
                let source = std::error::Error::source(&error);
                BuildError::Tls(source.map_or_else(|| error.to_string(), ToString::to_string))
            })?;
        } else if self.trust.is_some() || self.identity.is_some() {
            let why = "the address begins with http://, so that certificates are of no use";
            return Err(BuildError::Tls(why.to_owned()));
        }
        let shared = Shared { channel: endpoint.connect_lazy(), credential, retry: self.retry };
        Ok(Client::new(Arc::new(shared), self.deadline))
    }
}

fn tls(
    trust: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
) -> Result<ClientTlsConfig, BuildError> {
    let mut tls = ClientTlsConfig::new();
    tls = match trust {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(&*pem.certificates()?)),
        None => tls.with_native_roots(),
    };
    if let Some((certificate, key)) = identity {
        // The key first: that one of them is not given says more than what is wrong with the other.
        let key = key.private_key()?;
        tls = tls.identity(Identity::from_pem(&*certificate.certificates()?, &*key));
    }
    if let Some(name) = server_name {
        tls = tls.domain_name(name);
    }
    Ok(tls)
}

impl Pem {
    /// The content, in which there is a certificate. TLS would say nothing of one without, and trust nobody.
    fn certificates(self) -> Result<Zeroizing<Vec<u8>>, BuildError> {
        let name = self.name();
        let content = self.read()?;
        let mut found = CertificateDer::pem_slice_iter(&content).peekable();
        if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
            let why = format!("{name} has no certificate that can be read (PEM)");
            return Err(BuildError::Tls(why));
        }
        Ok(content)
    }

    fn private_key(self) -> Result<Zeroizing<Vec<u8>>, BuildError> {
        let name = self.name();
        let content = self.read()?;
        if PrivateKeyDer::from_pem_slice(&content).is_err() {
            let why = format!("{name} has no private key that can be read (PEM, not encrypted)");
            return Err(BuildError::Tls(why));
        }
        Ok(content)
    }

    fn name(&self) -> String {
        match self {
            Pem::Bytes(_) => "the given text".to_owned(),
            Pem::File(path) => path.display().to_string(),
        }
    }

    fn read(self) -> Result<Zeroizing<Vec<u8>>, BuildError> {
        match self {
            Pem::Bytes(bytes) => Ok(bytes),
            Pem::File(path) => read(&path),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, BuildError> {
    if path.as_os_str().is_empty() {
        let why = "a client certificate and its key belong together, and one of them is not given";
        return Err(BuildError::Tls(why.to_owned()));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) => Err(BuildError::File { path: path.to_owned(), error }),
    }
}

/// Without the key.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("address", &self.address)
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: &str = "http://webhooks.example.com:50051";

    #[tokio::test]
    async fn a_key_leaves_the_machine_only_encrypted_unless_that_is_allowed() {
        let build = |address: &str| Client::builder(address).api_key("kt_1");
        let error = build(FAR).build().expect_err("refused");
        assert!(matches!(error, BuildError::Plaintext { .. }), "{error}");
        assert!(!error.to_string().contains("kt_1"));
        build(FAR).allow_plaintext().build().expect("allowed");
        build("http://127.0.0.1:50051").build().expect("on this machine");
        build("https://webhooks.example.com").build().expect("encrypted");
        Client::builder(FAR).build().expect("without a key");
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_with_what_to_do() {
        let error = |builder: ClientBuilder| builder.build().expect_err("refused").to_string();
        let text = error(Client::builder("webhooks.example.com"));
        assert!(text.contains("https://"), "{text}");
        let text = error(Client::builder(FAR).api_key_file("/nowhere/key"));
        assert!(text.contains("/nowhere/key"), "{text}");
        let text = error(Client::builder("https://a.example").ca_file("/nowhere/ca.pem"));
        assert!(text.contains("/nowhere/ca.pem"), "{text}");
        let text = error(Client::builder("https://a.example").client_certificate_pem("", ""));
        assert!(text.contains("TLS"), "{text}");
        let text = error(Client::builder("http://localhost").ca_pem(""));
        assert!(text.contains("http://"), "{text}");
        let text = error(Client::builder("http://localhost").user_agent("a\nb"));
        assert!(text.contains("user agent"), "{text}");
    }

    #[tokio::test]
    async fn a_file_without_what_it_should_have_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("written");
            path
        };
        let garbage = "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n";
        let authority = keeptrusts_webhooks_testkit::receiver::Authority::new();
        let (certificate, key) = authority.identity_pem("client");
        let (certificate, key) = (file("client.pem", &certificate), file("client.key", &key));
        let to = || Client::builder("https://a.example");
        let files = [file("empty.pem", ""), key.clone(), file("garbage.pem", garbage)];
        for path in &files {
            for builder in [to().ca_file(path), to().client_certificate_files(path, &key)] {
                let error = builder.build().expect_err("no certificate").to_string();
                let named = format!("{} has no certificate", path.display());
                assert!(error.contains(&named), "{error}");
            }
        }
        let half = to().client_certificate_files(&certificate, &certificate);
        let error = half.build().expect_err("no key").to_string();
        assert!(error.contains("client.pem has no private key"), "{error}");
        let missing = to().client_certificate_files(&certificate, "");
        let error = missing.build().expect_err("no key").to_string();
        assert!(error.contains("belong together"), "{error}");
        to().ca_file(&certificate)
            .client_certificate_files(certificate, key)
            .build()
            .expect("all is there");
    }

    #[test]
    fn without_a_runtime_there_is_an_error_and_no_panic() {
        let error = Client::builder("http://127.0.0.1:1").build().expect_err("refused");
        assert!(matches!(error, BuildError::NoRuntime));
    }

    #[tokio::test]
    async fn the_environment_gives_address_and_key_and_an_empty_variable_nothing() {
        let builder = |variables: &[(&str, &str)]| {
            let variables: Vec<_> = variables
                .iter()
                .map(|(name, value)| (format!("KEEPTRUSTS_WEBHOOKS_{name}"), (*value).to_owned()))
                .collect();
            ClientBuilder::from_variables(move |wanted| {
                let mut found = variables.iter().filter(|(name, _)| name == wanted);
                found.next().map(|(_, value)| value.clone())
            })
        };
        let given = builder(&[("ADDRESS", FAR), ("API_KEY", "kt_1"), ("CA_FILE", "")]);
        assert!(!format!("{given:?}").contains("kt_1"));
        assert!(matches!(given.build(), Err(BuildError::Plaintext { .. })));
        let file = builder(&[("ADDRESS", FAR), ("API_KEY_FILE", "/nowhere")]);
        assert!(matches!(file.build(), Err(BuildError::Key(_))));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let half = builder(&[("ADDRESS", "https://a.example"), ("CLIENT_CERT_FILE", file)]);
        let error = half.build().expect_err("half of it").to_string();
        assert!(error.contains("belong together"), "{error}");
        assert!(matches!(builder(&[]).build(), Err(BuildError::Address { .. })));
    }
}
