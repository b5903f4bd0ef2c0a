//! Private throw-away Postgres clusters.
//!
//! A cluster lives in a temporary directory, listens on a free port of 127.0.0.1 (and on a
//! Unix socket in its directory), trusts everybody who reaches it, and ends with the test.
//! No cluster that is there is touched.

mod server;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::spawn_blocking;

use self::server::Server;

/// How to make a cluster.
#[derive(Clone, Debug)]
pub struct Builder {
    fsync: bool,
    settings: Vec<(String, String)>,
}

impl Builder {
    /// Whether commits wait for the disk; on by default. Without it a crash of the machine
    /// may lose commits, a crash of Postgres does not, and everything is faster.
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Sets a server parameter, such as `max_connections`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the cluster, starts it and waits until it accepts connections.
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

/// A throw-away Postgres cluster; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    server: Arc<Mutex<Server>>,
}

impl Cluster {
    /// A cluster that is not like [`Cluster::create`]'s.
    pub fn builder() -> Builder {
        Builder { fsync: true, settings: Vec::new() }
    }

    /// Makes and starts a cluster as it would be in production: with fsync.
    pub async fn create() -> Self {
        Self::builder().create().await
    }

    /// A cluster without fsync that all tests of this process share, made when it is first
    /// asked for and removed when the process ends. Each test should make databases of its
    /// own in it, and must not stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        blocking(|| SHARED.get_or_init(|| Self::builder().fsync(false).create_blocking())).await
    }

    /// The URL of a database in this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port of 127.0.0.1, the same over stops and starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> String {
        self.query("postgres", &format!(r#"CREATE DATABASE "{name}""#)).await;
        self.url(name)
    }

    /// Runs SQL with psql and returns the rows as text, a line each, columns separated by
    /// `|`. Panics if the SQL fails.
    pub async fn query(&self, database: &str, sql: &str) -> String {
        let (database, sql) = (database.to_owned(), sql.to_owned());
        let mut psql = self.with_server(move |server| server.query(&database, &sql)).await;
        // Without the lock, so that one query may wait for another.
        blocking(move || server::run(&mut psql)).await
    }

    /// Stops the server: connections are cut, transactions in progress are rolled back.
    pub async fn stop(&self) {
        self.with_server(Server::stop).await;
    }

    /// Stops the server as a crash would: nothing is flushed, the next start recovers from
    /// the write-ahead log.
    pub async fn kill(&self) {
        self.with_server(Server::kill).await;
    }

    /// Starts the server again, on the same data and port, and waits until it accepts
    /// connections.
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

/// Postgres' programs are run and waited for outside the test's runtime, whose other tasks
/// (publishers, for example) must go on meanwhile.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
