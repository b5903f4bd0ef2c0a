//! Where the log is kept: flags, and what opening it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::flags::positive_duration;
use clap::Args;
use keeptrusts_webhooks_store::keyring::{Keyring, KeyringError};
use keeptrusts_webhooks_store::postgres::{self, PostgresOptions, PostgresStore};
use keeptrusts_webhooks_store::sqlite::{self, SqliteOptions, SqliteStore};
use keeptrusts_webhooks_store::{Log, Store, StoreError};

/// Which database, and the key that its secrets are sealed with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseFlags {
    /// The folder for what this process keeps in files: the SQLite database and the master key.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "KEEPTRUSTS_WEBHOOKS_DATA_DIR",
        default_value = "keeptrusts-webhooks-data"
    )]
    pub data_dir: PathBuf,

    /// Where the log is kept: postgres://user@host/database, or sqlite:FILE.
    ///
    /// The default is sqlite:webhooks.db in the data folder. A SQLite file belongs to one
    /// process; several processes share a Postgres database.
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,

    /// The file with the key that endpoint secrets are sealed with: 64 hex digits.
    ///
    /// The default is master.key in the data folder, made at the first start. All processes on
    /// one database need the same key. Keep a copy: without it the secrets are lost.
    #[arg(long, value_name = "FILE", env = "KEEPTRUSTS_WEBHOOKS_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// How long bodies are kept: what receivers were sent, and what they answered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct RetentionFlags {
    /// How long the bodies of events and of answers are kept. Records are kept for ever.
    #[arg(
        long,
        value_name = "TIME",
        env = "KEEPTRUSTS_WEBHOOKS_BODY_RETENTION",
        default_value = "30d",
        value_parser = positive_duration
    )]
    pub body_retention: Duration,
}

/// A database that is open.
pub struct Database {
    /// Its log.
    pub log: Arc<Log>,
    /// What its secrets are sealed with.
    pub keyring: Arc<Keyring>,
    /// What it is, for people; never with a password.
    pub description: String,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is of no kind that is known.
    #[error(
        "--database-url must begin with postgres:// or sqlite:, for example postgres://webhooks@localhost/webhooks"
    )]
    UnknownUrl,
    /// Services of their own cannot share a file.
    #[error(
        "a SQLite database belongs to one process, and this service is one of several: give --database-url postgres://…, or run `keeptrusts-webhooks serve`, which is all of them in one process"
    )]
    NeedsPostgres,
    /// SQLite.
    #[error("cannot open the database")]
    Sqlite(#[from] sqlite::OpenError),
    /// Postgres.
    #[error("cannot open the database")]
    Postgres(#[from] postgres::OpenError),
    /// The master key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The log cannot be read.
    #[error("cannot read the log")]
    Log(#[from] StoreError),
}

impl DatabaseFlags {
    /// Opens whatever database the flags name, brings its tables up to date, checks the key.
    pub async fn open(&self) -> Result<Database, DatabaseError> {
        let (store, description) = self.open_store().await?;
        let keyring = self.open_keyring(store.as_ref()).await?;
        let log = Log::start(store).await?;
        Ok(Database { log, keyring: Arc::new(keyring), description })
    }

    /// The same for a service that shares its database with others: Postgres only.
    pub async fn open_shared(&self) -> Result<Database, DatabaseError> {
        match &self.database_url {
            Some(url) if is_postgres(url) => self.open().await,
            Some(url) if !url.starts_with("sqlite:") => Err(DatabaseError::UnknownUrl),
            _ => Err(DatabaseError::NeedsPostgres),
        }
    }

    /// The store alone, without appenders: for administration.
    pub async fn open_store(&self) -> Result<(Arc<dyn Store>, String), DatabaseError> {
        match self.database_url.as_deref() {
            Some(url) if is_postgres(url) => {
                let store = PostgresStore::open(url, PostgresOptions::default()).await?;
                Ok((Arc::new(store), "postgres".to_owned()))
            }
            Some(url) => {
                let path = url.strip_prefix("sqlite:").ok_or(DatabaseError::UnknownUrl)?;
                open_sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).await
            }
            None => open_sqlite(&self.data_dir.join("webhooks.db")).await,
        }
    }

    async fn open_keyring(&self, store: &dyn Store) -> Result<Keyring, DatabaseError> {
        let path = self.master_key_file.clone();
        let path = path.unwrap_or_else(|| self.data_dir.join("master.key"));
        let keyring = Keyring::load_or_create(&path)?;
        let expected = store.claim_master_key(keyring.key_id()).await?;
        if expected != keyring.key_id() {
            let found = keyring.key_id().to_owned();
            return Err(KeyringError::WrongKey { path, found, expected }.into());
        }
        Ok(keyring)
    }
}

async fn open_sqlite(path: &Path) -> Result<(Arc<dyn Store>, String), DatabaseError> {
    let store = SqliteStore::open(path, SqliteOptions::default()).await?;
    Ok((Arc::new(store), format!("sqlite {}", path.display())))
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}
