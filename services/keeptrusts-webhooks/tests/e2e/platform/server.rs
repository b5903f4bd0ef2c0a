//! Our binaries as servers.

use std::io::PipeWriter;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_testkit::first_key::{self, FIRST_KEY};
use keeptrusts_webhooks_testkit::ports::free_port;
use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};
use keeptrusts_webhooks_testkit::receiver::Receiver;

use super::PATIENCE;
use super::client::Client;
use super::database::Database;

/// As many retries as in production, within a second.
pub(crate) const QUICK_SCHEDULE: &str = "50ms,100ms,150ms,200ms,250ms";

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct ServerBuilder {
    binary: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    port: u16,
    stderr: Option<Arc<PipeWriter>>,
    script: Option<&'static str>,
}

impl ServerBuilder {
    /// Adds a flag and its value.
    pub(crate) fn flag(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends its logs into a pipe of the test's, so its address is not read from them.
    pub(crate) fn logging_to(mut self, pipe: &Arc<PipeWriter>) -> Self {
        self.stderr = Some(Arc::clone(pipe));
        self
    }

    /// Starts it from a shell that has run `script` before.
    pub(crate) fn after(mut self, script: &'static str) -> Self {
        self.script = Some(script);
        self
    }

    /// Its address, which must be fixed.
    pub(crate) fn fixed_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Trusts the receiver's authority, and allows deliveries to this machine.
    pub(crate) fn delivering_to(self, receiver: &Receiver) -> Self {
        let ca = receiver.ca_file().to_str().expect("the path is UTF-8");
        self.flag("--trust-ca", ca).flag("--allow-network", "127.0.0.0/8")
    }

    /// Retries after these waits, such as `50ms,1s`.
    pub(crate) fn retrying_after(self, schedule: &str) -> Self {
        self.flag("--retry-schedule", schedule)
    }

    /// Retries five times, within a second.
    pub(crate) fn retrying_quickly(self) -> Self {
        self.retrying_after(QUICK_SCHEDULE)
    }

    /// Listens on the same port after a restart, so that clients find it again.
    pub(crate) fn on_a_fixed_port(mut self) -> Self {
        self.port = free_port();
        self
    }

    /// Starts it; it serves when this returns.
    pub(crate) async fn start(self) -> Server {
        let (process, address) = self.launch().await;
        Server { builder: self, process, address }
    }

    /// Starts a process that is not expected to serve.
    pub(crate) fn start_process(&self) -> Process {
        let listen = format!("127.0.0.1:{}", self.port);
        let launch = Launch::binary(self.binary).env(first_key::VARIABLE, FIRST_KEY);
        let launch = launch.args(&self.arguments).arg("--listen").arg(listen);
        let set = |launch: Launch, (name, value): &(String, String)| launch.env(name, value);
        let launch = self.environment.iter().fold(launch, set);
        let launch = match &self.stderr {
            Some(pipe) => launch.stderr(pipe),
            None => launch,
        };
        let launch = match self.script {
            Some(script) => launch.after(script),
            None => launch,
        };
        launch.start()
    }

    async fn launch(&self) -> (Process, SocketAddr) {
        let process = self.start_process();
        let address = process.wait_for_listening(PATIENCE).await;
        (process, address)
    }
}

/// A server that runs, or can be started again.
#[derive(Debug)]
pub(crate) struct Server {
    builder: ServerBuilder,
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// `keeptrusts-webhooks serve`: all services in one process.
    pub(crate) fn all_in_one(database: &Database) -> ServerBuilder {
        let mut builder = Self::service("keeptrusts-webhooks", database);
        builder.arguments.insert(0, "serve".to_owned());
        // Not the default port, which the whole machine shares.
        builder.flag("--console-listen", "127.0.0.1:0")
    }

    /// A service in a process of its own, for example `dispatch-service`.
    pub(crate) fn service(binary: &'static str, database: &Database) -> ServerBuilder {
        ServerBuilder {
            binary,
            arguments: database.flags(),
            environment: Vec::new(),
            port: 0,
            stderr: None,
            script: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// The URL of its console, without a slash at the end.
    pub(crate) async fn console(&self) -> String {
        let line = self.process.wait_for_line(|line| console_url(line).is_some(), PATIENCE).await;
        console_url(&line).expect("the line was chosen for its URL").to_owned()
    }

    /// A client of this server for one organization.
    pub(crate) fn client(&self, organization: &str) -> Client {
        Client::new(organization, self.address, self.address, self.address)
    }

    /// Kills it as `kill -9` does. It can be started again.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Asks it to end, and waits for that. It can be started again.
    pub(crate) async fn stop(&mut self) {
        let status = self.end_by(Signal::Term).await;
        assert!(status.success(), "it ended with {status}");
    }

    /// Sends it a signal that ends it, and waits for that. It can be started again.
    pub(crate) async fn end_by(&mut self, signal: Signal) -> ExitStatus {
        self.process.signal(signal);
        self.process.wait_exit(PATIENCE).await
    }

    /// Waits until it has ended, after it was asked to. Panics after `within`.
    pub(crate) async fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        self.process.wait_exit(within).await
    }

    /// Starts it again with the same flags.
    pub(crate) async fn start_again(&mut self) {
        (self.process, self.address) = self.builder.launch().await;
    }
}

/// The URL in the log line about the console.
pub(crate) fn console_url(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("the console is at ")?;
    // In a line of JSON, a quote ends the message.
    let url = rest.split(|c: char| c.is_whitespace() || c == '"').next()?;
    Some(url.trim_end_matches('/'))
}
