//! Opens the database that the flags name: SQLite or Postgres.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_store::postgres::{self, MIN_CONNECTIONS, PostgresOptions, PostgresStore};
use keeptrusts_webhooks_store::sqlite::{self, SqliteOptions, SqliteStore};
use keeptrusts_webhooks_store::vault::keyring::{Keyring, KeyringError, MasterKeySource};
use keeptrusts_webhooks_store::{Log, OpenMode, Store, StoreError};

use crate::flags::{positive_duration, whole_number};

/// The only data folder that is created if it is missing.
const DEFAULT_DATA_DIR: &str = "keeptrusts-webhooks-data";

/// The database, and the keys that its secrets are sealed with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseFlags {
    /// The folder for what this process keeps in files: the SQLite database and the master key.
    ///
    /// The default one is made at the first start. Another one must exist, so that a mistyped
    /// path is not taken for a new database.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,

    /// Where the log is kept: postgres://user@host/database, or sqlite:FILE.
    ///
    /// The default is sqlite:webhooks.db in the data folder. A SQLite file is made if it is
    /// missing, in a folder that exists. It belongs to one process; several processes share a
    /// Postgres database.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// How many connections to Postgres this process may have, at least 5. They are made when they
    /// are needed.
    ///
    /// Two are for telling other processes of events and hearing of theirs, two for the leases of
    /// shards (in a process that dispatches), the others half for writing and half for reading.
    /// The server's max_connections must allow for all processes.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = PostgresOptions::default().connections,
        value_parser = whole_number::<u32>(u64::from(MIN_CONNECTIONS)..=1_000)
    )]
    pub database_connections: u32,

    /// How long Postgres may take for a statement, from 1s to 1h; keep it below --lease-ttl.
    ///
    /// It is also how long the server lets a process of ours hold locks that has stopped in the
    /// middle of a transaction, or whose machine is gone. A connection that was cut without a word
    /// is given up after this time and a second. `log rebuild` has statements that take longer: it
    /// gives up about twice this time after the server has last answered anything on another
    /// connection. A server that is stopped cannot be told from a slow one if it goes on to answer
    /// others.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = statement_timeout)]
    pub database_timeout: Duration,

    /// The file with the master keys, under which the keys of endpoint secrets are encrypted: 64
    /// hex digits a line, the current one first. The others are still read with.
    ///
    /// The default is master.key in the data folder, made at the first start of a new database,
    /// mode 0600. All
    /// processes on one database need the same keys. Keep a copy: without it the secrets are
    /// lost. `keeptrusts-webhooks rotate-master-key` puts a new one in the first's place; SIGHUP
    /// makes a process read the file again. Instead of a file, the environment variable
    /// KEEPTRUSTS_WEBHOOKS_MASTER_KEY may hold the keys, separated by commas.
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// How long bodies are kept: what receivers were sent, and what they answered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct RetentionFlags {
    /// How long the bodies of events and of answers are kept. Records are kept for ever.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = positive_duration)]
    pub body_retention: Duration,
}

/// An open database.
pub struct Database {
    pub log: Arc<Log>,
    /// Seals and opens secrets.
    pub keyring: Arc<Keyring>,
    /// For people. Contains no password.
    pub description: String,
    /// How long a statement may take. A lost connection is noticed at most a second later.
    /// None: SQLite, which has no connection.
    pub statement_timeout: Option<Duration>,
}

/// A database for administration. Only the keys of secrets and the bodies may be changed: the log
/// belongs to the server that may be running.
pub struct AdministrationAccess {
    pub store: Arc<dyn Store>,
    /// For people. Contains no password.
    pub description: String,
    /// The process that has the SQLite database open. None: no other process has, or the database
    /// is on Postgres.
    pub running_server: Option<RunningServer>,
}

/// A process that has a SQLite database open.
#[derive(Debug, Clone)]
pub struct RunningServer {
    /// As the process describes itself.
    pub description: String,
    /// None: not known for certain.
    pub process_id: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(
        "--database-url must begin with postgres:// or sqlite:, for example postgres://webhooks@localhost/webhooks"
    )]
    UnknownUrl,
    #[error(
        "--database-url names no file: write the file's path behind sqlite:, for example sqlite:/var/lib/keeptrusts-webhooks/webhooks.db"
    )]
    NoSqliteFile,
    #[error(
        "--database-url names a SQLite database in memory, which would keep nothing: write the path of a file behind sqlite:, for example sqlite:/var/lib/keeptrusts-webhooks/webhooks.db"
    )]
    SqliteInMemory,
    #[error(
        "--database-url has {what}, which is not supported for SQLite: write the file's path behind sqlite:, and nothing else"
    )]
    SqliteUrl { what: &'static str },
    /// `flag` names the folder, or something in it.
    #[error("the folder {} that {flag} names does not exist: make it, or correct {flag}", folder.display())]
    NoFolder { folder: PathBuf, flag: &'static str },
    #[error("the keys of --master-key-file cannot be used")]
    MasterKeyFile(#[source] KeyringError),
    #[error(
        "a SQLite database belongs to one process, and this service is one of several: give --database-url postgres://…, or run `keeptrusts-webhooks serve`, which is all of them in one process"
    )]
    NeedsPostgres,
    #[error(
        "there is no database of this program at {place}: correct {flag}; only a server makes a new one"
    )]
    Missing {
        /// The file, or the database and its server.
        place: String,
        flag: &'static str,
    },
    #[error("cannot open the database")]
    Sqlite(#[from] sqlite::OpenError),
    #[error("cannot open the database")]
    Postgres(#[from] postgres::OpenError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("cannot read the log")]
    Log(#[from] StoreError),
}

impl DatabaseFlags {
    /// Opens the database, migrates its tables, and checks the master keys. Malformed keys are
    /// refused before anything is created.
    pub async fn open(&self) -> Result<Database, DatabaseError> {
        let source = self.checked_master_key_source()?;
        let (store, description) = self.open_store(OpenMode::Create).await?;
        let is_remote = self.database_url.as_deref().is_some_and(is_postgres);
        let statement_timeout = is_remote.then_some(self.database_timeout);
        match start(&store, source).await {
            Ok((log, keyring)) => Ok(Database { log, keyring, description, statement_timeout }),
            Err(error) => {
                // Otherwise the next start would find a database that was not closed.
                store.close().await;
                Err(self.naming_the_key_file(error))
            }
        }
    }

    /// The source of the master keys, which exist there or can be created.
    fn checked_master_key_source(&self) -> Result<MasterKeySource, DatabaseError> {
        let source = self.master_key_source()?;
        if let MasterKeySource::File(path) = &source {
            match &self.master_key_file {
                Some(_) => check_folder_of(path, "--master-key-file")?,
                None => self.check_data_dir()?,
            }
        }
        source.check().map_err(|error| self.naming_the_key_file(error.into()))?;
        Ok(source)
    }

    /// Names --master-key-file in an error, if the flag was given.
    pub fn naming_the_key_file(&self, error: DatabaseError) -> DatabaseError {
        match (error, &self.master_key_file) {
            (DatabaseError::Keyring(error), Some(_)) if error.is_about_the_keys_place() => {
                DatabaseError::MasterKeyFile(error)
            }
            (error, _) => error,
        }
    }

    fn check_data_dir(&self) -> Result<(), DatabaseError> {
        match self.data_dir == Path::new(DEFAULT_DATA_DIR) {
            true => Ok(()),
            false => check_folder(&self.data_dir, "--data-dir"),
        }
    }

    /// Like [`open`](Self::open), for a service that shares its database with other processes:
    /// Postgres only.
    pub async fn open_shared(&self) -> Result<Database, DatabaseError> {
        match &self.database_url {
            Some(url) if is_postgres(url) => self.open().await,
            Some(url) if !url.starts_with("sqlite:") => Err(DatabaseError::UnknownUrl),
            _ => Err(DatabaseError::NeedsPostgres),
        }
    }

    /// Opens the store without a log, for administration.
    pub async fn open_store(
        &self,
        mode: OpenMode,
    ) -> Result<(Arc<dyn Store>, String), DatabaseError> {
        let flag = if self.database_url.is_some() { "--database-url" } else { "--data-dir" };
        self.try_to_open_store(mode).await.map_err(|error| error.naming(flag))
    }

    async fn try_to_open_store(
        &self,
        mode: OpenMode,
    ) -> Result<(Arc<dyn Store>, String), DatabaseError> {
        match self.database_url.as_deref() {
            Some(url) if is_postgres(url) => {
                let options = PostgresOptions {
                    connections: self.database_connections,
                    statement_timeout: self.database_timeout,
                    ..PostgresOptions::default()
                };
                let store = PostgresStore::open_as(mode, url, options).await?;
                Ok((Arc::new(store), "postgres".to_owned()))
            }
            Some(url) => {
                let path = sqlite_path(url)?;
                check_folder_of(path, "--database-url")?;
                open_sqlite(mode, path).await
            }
            None => {
                self.check_data_dir()?;
                open_sqlite(mode, &self.data_dir.join("webhooks.db")).await
            }
        }
    }

    /// Opens an existing database for administration, also if it is a SQLite database that another
    /// process has open.
    pub async fn open_for_administration(&self) -> Result<AdministrationAccess, DatabaseError> {
        match self.open_store(OpenMode::Existing).await {
            Ok((store, description)) => {
                Ok(AdministrationAccess { store, description, running_server: None })
            }
            Err(DatabaseError::Sqlite(sqlite::OpenError::InUse { path, holder, process_id })) => {
                let store =
                    SqliteStore::open_for_administration(&path, SqliteOptions::default()).await?;
                Ok(AdministrationAccess {
                    store: Arc::new(store),
                    description: format!("sqlite {}", path.display()),
                    running_server: Some(RunningServer { description: holder, process_id }),
                })
            }
            Err(error) => Err(error),
        }
    }
}

async fn start(
    store: &Arc<dyn Store>,
    source: MasterKeySource,
) -> Result<(Arc<Log>, Arc<Keyring>), DatabaseError> {
    let keyring = Keyring::start(Arc::clone(store), source).await?;
    let log = Log::start(Arc::clone(store)).await?;
    Ok((log, Arc::new(keyring)))
}

impl DatabaseError {
    /// Names the flag in an error about a missing database.
    fn naming(self, flag: &'static str) -> DatabaseError {
        let place = match self {
            DatabaseError::Sqlite(sqlite::OpenError::Missing { path }) => {
                path.display().to_string()
            }
            DatabaseError::Postgres(postgres::OpenError::NoTables { address, database }) => {
                format!("{address} in the database {database}")
            }
            other => return other,
        };
        DatabaseError::Missing { place, flag }
    }
}

async fn open_sqlite(
    mode: OpenMode,
    path: &Path,
) -> Result<(Arc<dyn Store>, String), DatabaseError> {
    let store = SqliteStore::open_as(mode, path, SqliteOptions::default()).await?;
    Ok((Arc::new(store), format!("sqlite {}", path.display())))
}

fn sqlite_path(url: &str) -> Result<&Path, DatabaseError> {
    let path = url.strip_prefix("sqlite:").ok_or(DatabaseError::UnknownUrl)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(DatabaseError::NoSqliteFile);
    }
    if path.contains(":memory:") || path.contains("mode=memory") {
        return Err(DatabaseError::SqliteInMemory);
    }
    if path.starts_with("file:") {
        return Err(DatabaseError::SqliteUrl { what: "a URI (file:)" });
    }
    if path.contains(['?', '#']) {
        return Err(DatabaseError::SqliteUrl { what: "parameters (? or #)" });
    }
    Ok(Path::new(path))
}

fn check_folder_of(file: &Path, flag: &'static str) -> Result<(), DatabaseError> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => check_folder(folder, flag),
        None => Ok(()),
    }
}

/// Checks only that the folder exists. Other errors appear when a file in it is opened.
fn check_folder(folder: &Path, flag: &'static str) -> Result<(), DatabaseError> {
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatabaseError::NoFolder { folder: folder.to_owned(), flag })
        }
        _ => Ok(()),
    }
}

fn statement_timeout(text: &str) -> Result<Duration, String> {
    let time = positive_duration(text)?;
    // The server gets a multiple of it in milliseconds, as a 32-bit number.
    match (Duration::from_secs(1)..=Duration::from_secs(60 * 60)).contains(&time) {
        true => Ok(time),
        false => Err("must be from 1s to 1h".to_owned()),
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_timeout_fits_the_servers_number() {
        for (text, time) in [("1s", 1), ("1h", 3_600)] {
            assert_eq!(statement_timeout(text), Ok(Duration::from_secs(time)));
        }
        for text in ["999ms", "61m", "600000h"] {
            assert_eq!(statement_timeout(text), Err("must be from 1s to 1h".to_owned()), "{text}");
        }
    }

    #[test]
    fn a_sqlite_url_contains_only_a_path() {
        for (url, path) in [
            ("sqlite:webhooks.db", "webhooks.db"),
            ("sqlite://webhooks.db", "webhooks.db"),
            ("sqlite:///var/lib/webhooks.db", "/var/lib/webhooks.db"),
            ("sqlite:/var/lib/webhooks.db", "/var/lib/webhooks.db"),
        ] {
            assert_eq!(sqlite_path(url).expect("a path"), Path::new(path), "{url}");
        }
        for url in ["sqlite::memory:", "sqlite://:memory:", "sqlite:file::memory:?cache=shared"] {
            let refused = sqlite_path(url);
            assert!(matches!(refused, Err(DatabaseError::SqliteInMemory)), "{url}: {refused:?}");
        }
        for url in ["sqlite:file:webhooks.db", "sqlite:webhooks.db?mode=rwc", "sqlite:a.db#b"] {
            let refused = sqlite_path(url);
            assert!(matches!(refused, Err(DatabaseError::SqliteUrl { .. })), "{url}: {refused:?}");
        }
        for url in ["sqlite:", "sqlite://"] {
            assert!(matches!(sqlite_path(url), Err(DatabaseError::NoSqliteFile)), "{url}");
        }
    }
}
