//! A webhook receiver: an HTTPS server with scripted answers that keeps the requests.
//!
//! It has its own thread and runtime, so that a test that blocks delays no answer and no arrival time.

mod certificate;
mod raw;
mod request;
mod script;
mod server;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempPath;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::certificate::{Authority, Certificate};
pub use self::raw::RawReceiver;
pub use self::request::ReceivedRequest;
pub use self::script::{Reply, Script};
use self::server::Shared;

#[derive(Default)]
pub struct Builder {
    script: Script,
    authority: Option<Arc<Authority>>,
    certificate: Certificate,
    http1_only: bool,
    port: u16,
}

impl Builder {
    /// The default answers 200 to everything.
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// The issuer of its certificate, for several receivers to share. By default it has its own.
    pub fn authority(mut self, authority: &Arc<Authority>) -> Self {
        self.authority = Some(Arc::clone(authority));
        self
    }

    /// A valid one by default.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = certificate;
        self
    }

    /// Does not offer HTTP/2.
    pub fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// The port of 127.0.0.1; a free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// It accepts connections when this returns.
    pub fn start(self) -> Receiver {
        let authority = self.authority.unwrap_or_else(|| Arc::new(Authority::new()));
        let tls = authority.server_config(self.certificate, self.http1_only);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("could not listen on {address}: {error}"));
        let address = listener.local_addr().expect("a listener has an address");

        let ca_file = authority.write_file();

        let shared = Arc::new(Shared::new(self.script));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || server::serve(listener, tls, shared, stopped)
        });
        Receiver { address, authority, ca_file, shared, stop: Some(stop), thread: Some(thread) }
    }
}

/// A running receiver; it closes its connections and its port when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    authority: Arc<Authority>,
    ca_file: TempPath,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a receiver on a free port of 127.0.0.1, with HTTP/1.1 and HTTP/2 and a valid certificate
    /// for 127.0.0.1 and localhost.
    pub fn start(script: Script) -> Self {
        Self::builder().script(script).start()
    }

    /// Starts a receiver whose certificate comes from an authority other than [`ca_pem`]'s.
    ///
    /// [`ca_pem`]: Receiver::ca_pem
    pub fn with_untrusted_certificate() -> Self {
        Self::builder().certificate(Certificate::Untrusted).start()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The https URL of a path (beginning with `/`), with the address as host.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The authority's certificate, in PEM.
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// A file with [`ca_pem`](Receiver::ca_pem), for `--trust-ca`. It is removed with the receiver.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Replaces the script.
    pub fn set_script(&self, script: Script) {
        self.shared.set_script(script);
    }

    /// The complete requests so far, in order.
    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.shared.requests()
    }

    /// The number of complete requests so far.
    pub fn request_count(&self) -> usize {
        self.shared.request_count()
    }

    /// The number of accepted TCP connections, including those whose TLS handshake failed.
    pub fn connection_count(&self) -> u64 {
        self.shared.connection_count()
    }

    /// The number of failed TLS handshakes, for example because a sender refused the certificate.
    pub fn failed_handshake_count(&self) -> u64 {
        self.shared.failed_handshake_count()
    }

    /// Waits until the requests so far satisfy the predicate, and returns them. Panics if `within`
    /// passes.
    pub async fn wait_until(
        &self,
        satisfied: impl Fn(&[Arc<ReceivedRequest>]) -> bool,
        within: Duration,
    ) -> Vec<Arc<ReceivedRequest>> {
        self.wait_for_change(|| self.shared.requests_if(&satisfied), within).await
    }

    /// Waits for at least `count` requests, and returns all. Panics if `within` passes.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Vec<Arc<ReceivedRequest>> {
        self.wait_until(|requests| requests.len() >= count, within).await
    }

    /// Waits for at least `count` failed TLS handshakes. Panics if `within` passes.
    pub async fn wait_for_failed_handshakes(&self, count: u64, within: Duration) {
        self.wait_for_change(|| (self.failed_handshake_count() >= count).then_some(()), within)
            .await;
    }

    async fn wait_for_change<T>(&self, look: impl Fn() -> Option<T>, within: Duration) -> T {
        let mut changes = self.shared.changes();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look() {
                    return found;
                }
                changes.changed().await.expect("the sender lives as long as the receiver");
            }
        };
        timeout(within, found).await.unwrap_or_else(|_| {
            panic!(
                "{within:?} passed; the receiver got {} requests, {} connections, of which {} \
                 failed in the TLS handshake",
                self.request_count(),
                self.connection_count(),
                self.failed_handshake_count(),
            )
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}
