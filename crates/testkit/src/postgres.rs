//! Private, temporary Postgres clusters.
//!
//! A cluster lives in a temporary directory, listens on a free port of 127.0.0.1 (and on a Unix socket
//! in its directory), requires no password, and ends with the test. Other clusters of the machine are
//! not touched.

mod server;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::spawn_blocking;

use self::server::Server;

#[derive(Clone, Debug)]
pub struct Builder {
    fsync: bool,
    settings: Vec<(String, String)>,
}

impl Builder {
    /// Whether commits wait for the disk; on by default. Off is faster. A crash of the machine may then
    /// lose commits, a crash of Postgres does not.
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Sets a server parameter such as `max_connections`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the cluster and waits until it accepts connections.
    pub async fn create(self) -> Cluster {
        blocking(move || self.create_blocking()).await
    }

    fn create_blocking(self) -> Cluster {
        let mut settings = self.settings;
        if !self.fsync {
            settings.insert(0, ("fsync".to_owned(), "off".to_owned()));
            settings.insert(0, ("full_page_writes".to_owned(), "off".to_owned()));
        }
        let server = Server::create(settings);
        Cluster { port: server.port(), server: Arc::new(Mutex::new(server)) }
    }
}

/// A temporary Postgres cluster; it is stopped and removed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    server: Arc<Mutex<Server>>,
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder { fsync: true, settings: Vec::new() }
    }

    /// Starts a cluster with fsync, as in production.
    pub async fn create() -> Self {
        Self::builder().create().await
    }

    /// A cluster without fsync for all tests of this process. It starts with the first call and is removed
    /// when the process ends. Each test should create its own databases, and must not stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        blocking(|| SHARED.get_or_init(|| Self::builder().fsync(false).create_blocking())).await
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// On 127.0.0.1. It survives stops and starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> String {
        self.query("postgres", &format!(r#"CREATE DATABASE "{name}""#)).await;
        self.url(name)
    }

    /// Runs SQL with psql. Returns a line for each row, with columns separated by `|`. Panics if the
    /// SQL fails.
    pub async fn query(&self, database: &str, sql: &str) -> String {
        let (database, sql) = (database.to_owned(), sql.to_owned());
        let mut psql = self.with_server(move |server| server.query(&database, &sql)).await;
        // Without the lock, so that one query may wait for another.
        blocking(move || server::run(&mut psql)).await
    }

    /// Stops the server: connections are cut, open transactions are rolled back.
    pub async fn stop(&self) {
        self.with_server(Server::stop).await;
    }

    /// Stops the server like a crash: nothing is flushed, and the next start recovers from the
    /// write-ahead log.
    pub async fn kill(&self) {
        self.with_server(Server::kill).await;
    }

    /// Starts the server again with the same data and port, and waits until it accepts connections.
    pub async fn start(&self) {
        self.with_server(Server::start).await;
    }

    async fn with_server<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Server) -> T + Send + 'static,
    ) -> T {
        let server = Arc::clone(&self.server);
        blocking(move || act(&mut server.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

/// Runs Postgres's programs outside of the test's runtime, whose other tasks (publishers, for example)
/// must continue.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
