//! The all-in-one process, which can be killed and started again.

use std::net::SocketAddr;
use std::time::Duration;

use keeptrusts_webhooks_client::{Client, ClientBuilder};
use keeptrusts_webhooks_testkit::first_key::{FIRST_KEY, VARIABLE};
use keeptrusts_webhooks_testkit::ports::free_port;
use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};
use tempfile::TempDir;

/// How long a test waits for what should happen soon. The machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Platform {
    launch: Launch,
    process: Process,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Platform {
    /// Starts one on a port that it keeps, with these flags.
    pub(crate) async fn start(flags: &[&str]) -> Platform {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = format!("127.0.0.1:{}", free_port());
        let launch = Launch::binary("keeptrusts-webhooks")
            .env(VARIABLE, FIRST_KEY)
            .args(["serve", "--listen", &listen, "--console-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .args(flags);
        let process = launch.start();
        let address = process.wait_for_listening(PATIENCE).await;
        Platform { launch, process, address, _folder: folder }
    }

    pub(crate) fn client(&self) -> Client {
        self.builder("http").build().expect("a client")
    }

    /// A client of the scheme, with the first key.
    pub(crate) fn builder(&self, scheme: &str) -> ClientBuilder {
        let address = format!("{scheme}://localhost:{}", self.address.port());
        Client::builder(address).api_key(FIRST_KEY).deadline(PATIENCE)
    }

    /// `kill -9`, and a new process on the same data.
    pub(crate) async fn kill_and_start(&mut self) {
        self.process.kill().await;
        self.start_again().await;
    }

    /// SIGTERM, and a new process on the same data.
    pub(crate) async fn stop_and_start(&mut self) {
        self.process.signal(Signal::Term);
        self.process.wait_exit(PATIENCE).await;
        self.start_again().await;
    }

    async fn start_again(&mut self) {
        self.process = self.launch.start();
        self.process.wait_for_listening(PATIENCE).await;
    }
}
