//! OpenMode a database: reaching it, bringing its schema up to date, reading how it was made.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::connector::{Connector, HostCause, HostFailure, NoHost, SessionLimits, address};
use super::errors::ServerError;
use super::pooler::{self, Pooling};
use super::session::{Scope, without_limits};
pub use super::url::InvalidUrl;
use crate::limits::POSTGRES_SHARDS;
use crate::migration_state::{AppliedMigration, MigrationState, migration_state};
use crate::open_mode::OpenMode;

pub(super) static MIGRATIONS: Migrator = sqlx_macros::migrate!("../../migrations/postgres");

/// How long the server may take to accept a connection when the database is opened.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Why a database could not be opened, and what to do about it. Never has the URL's password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one.
    #[error(
        "the database URL is not valid: {0}; it should look like postgres://user:password@host:5432/database"
    )]
    InvalidUrl(#[from] InvalidUrl),
    /// None of several hosts is of use.
    #[error("no host of the database URL can be written to: {0}")]
    NoHost(String),
    /// Something in between gives each transaction another session.
    #[error(
        "a pooler between this process and Postgres at {address} gives each transaction another session, so that neither prepared statements nor settings such as synchronous_commit hold: set pool_mode = session for this database (PgBouncer), or connect to Postgres itself"
    )]
    TransactionPooling {
        /// Host and port, or the socket.
        address: String,
    },
    /// Nothing answers there.
    #[error(
        "cannot reach Postgres at {address}: {reason}; check that it is running and that host and port of the database URL are right"
    )]
    Unreachable {
        /// Host and port, or the socket.
        address: String,
        /// What happened.
        reason: String,
    },
    /// No encrypted connection comes about.
    #[error(
        "cannot make an encrypted connection to Postgres at {address}: {reason}; check sslmode and sslrootcert of the database URL"
    )]
    Tls {
        /// Host and port.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The server does not let the user in.
    #[error(
        "Postgres at {address} does not let user {user} in: {reason}; check user and password of the database URL, and the server's pg_hba.conf"
    )]
    AccessDenied {
        /// Host and port, or the socket.
        address: String,
        /// Who tried.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// The server has no such database.
    #[error(
        "Postgres at {address} has no database {database}: create it with CREATE DATABASE, or correct the database URL"
    )]
    NoDatabase {
        /// Host and port, or the socket.
        address: String,
        /// Its name.
        database: String,
    },
    /// The server cannot take a connection now.
    #[error("Postgres at {address} takes no connection now: {reason}; try again soon")]
    Busy {
        /// Host and port, or the socket.
        address: String,
        /// The server's words.
        reason: String,
    },
    /// The server is a standby, or its sessions begin read-only.
    #[error(
        "Postgres at {address} is read-only: it is a standby, and the database URL must name the primary; or default_transaction_read_only is on, for the server, the database or the user"
    )]
    ReadOnly {
        /// Host and port, or the socket.
        address: String,
    },
    /// The database cannot hold every text.
    #[error("the database's encoding is {0}, it must be UTF8: create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// The user may not make tables.
    #[error(
        "user {user} may not set the database up: {reason}; make the user the database's owner"
    )]
    NotPermitted {
        /// Who tried.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// It has no tables of ours, and none are to be made.
    #[error("the database {database} of Postgres at {address} has no tables of this program")]
    NoTables {
        /// Host and port, or the socket.
        address: String,
        /// Its name.
        database: String,
    },
    /// An older version has made it, and it is not to be changed.
    #[error(
        "the database has migration {found}, this version needs {needed}: start this version's server on it first, which brings its tables up to date"
    )]
    Older {
        /// The last one that was applied.
        found: i64,
        /// The last one that there is.
        needed: i64,
    },
    /// A newer version has been there.
    #[error(
        "the database has migration {found}, this version knows them up to {known}: use the version that made it, or a newer one"
    )]
    Newer {
        /// A migration that is not known here.
        found: i64,
        /// The last one that is.
        known: i64,
    },
    /// A program that was never released has made it.
    #[error(
        "the database {database} of Postgres at {address} was made by an unreleased version of this program, whose tables this version does not take over: create another database, or use the program that made this one"
    )]
    Unreleased {
        /// Host and port, or the socket.
        address: String,
        /// Its name.
        database: String,
    },
    /// Anything else.
    #[error("the database could not be opened: {0}")]
    Failed(String),
}

/// Brings a database up to date. Answers with the number of its shards.
///
/// Any number of processes may do this at once. The migrator takes an advisory lock meanwhile,
/// which a distributed Postgres may not know across its nodes, and which needs a session of its
/// own (a pooler must pool sessions, not transactions): nothing else does, and nothing does once
/// the process has started.
pub(super) async fn prepare(
    connector: &Connector,
    limits: &SessionLimits,
    mode: OpenMode,
) -> Result<u16, OpenError> {
    let connected = connector.connect(limits, CONNECT_LIMIT).await;
    let mut connection = connected.map_err(open_error)?;
    let place = Place { connect_options: connector.preferred() };
    let pooling = pooler::find(&mut connection, connector, limits, CONNECT_LIMIT).await;
    let prepared = match pooling.map_err(open_error)? {
        Pooling::Sessions => set_up_schema(&mut connection, &place, mode).await,
        Pooling::Transactions => Err(OpenError::TransactionPooling { address: place.address() }),
    };
    // The schema stands, or not, whatever becomes of this connection.
    let _ = connection.close().await;
    prepared
}

async fn set_up_schema(
    connection: &mut PgConnection,
    place: &Place<'_>,
    mode: OpenMode,
) -> Result<u16, OpenError> {
    let failed = |error| place.statement_error(error);
    // Other processes may be migrating, and a migration may take long.
    without_limits(connection, Scope::Session).await.map_err(failed)?;
    // The migrator's own statements say each time that what they make is there already.
    let patience = "SET lock_timeout = '10min'; SET idle_in_transaction_session_timeout = 0;
                    SET client_min_messages = warning";
    sqlx::raw_sql(patience).execute(&mut *connection).await.map_err(failed)?;

    let (encoding, fsync): (String, String) =
        sqlx::query_as("SELECT current_setting('server_encoding'), current_setting('fsync')")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    if fsync == "off" {
        tracing::warn!(
            "Postgres runs with fsync = off: a crash of its machine loses events that were acknowledged"
        );
    }

    check_tables(connection, place, mode).await?;
    let count = match mode.migrates() {
        true => {
            let migrated = MIGRATIONS.run_direct(None, connection, false).await;
            migrated.map_err(|error| place.migrate_error(error))?;
            make_shards(connection).await
        }
        false => shard_count(connection).await,
    };
    count.map_err(failed).and_then(|count| {
        let valid = u16::try_from(count).ok().filter(|count| *count > 0);
        valid.ok_or_else(|| OpenError::Failed(format!("it says that it has {count} shards")))
    })
}

/// Refuses a database whose tables are not ours or not to be brought up to date, and one without
/// tables that is not to be made.
async fn check_tables(
    connection: &mut PgConnection,
    place: &Place<'_>,
    mode: OpenMode,
) -> Result<(), OpenError> {
    let failed = |error| place.statement_error(error);
    let has_any = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL
                      AND to_regclass('records') IS NOT NULL";
    let has_any: bool =
        sqlx::query_scalar(has_any).fetch_one(&mut *connection).await.map_err(failed)?;
    if !has_any {
        let (address, database) = (place.address(), place.database());
        return match mode.creates() {
            true => Ok(()),
            false => Err(OpenError::NoTables { address, database }),
        };
    }
    let applied = sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success");
    let applied: Vec<(i64, Vec<u8>)> = applied.fetch_all(connection).await.map_err(failed)?;
    let applied: Vec<_> = applied.into_iter().map(AppliedMigration::from).collect();
    match migration_state(&applied, &MIGRATIONS) {
        MigrationState::Unreleased => Err(place.unreleased()),
        MigrationState::Older(found) if !mode.migrates() => {
            Err(OpenError::Older { found, needed: last_migration() })
        }
        MigrationState::Newer(found) => Err(OpenError::Newer { found, known: last_migration() }),
        MigrationState::Older(_) | MigrationState::Current => Ok(()),
    }
}

fn last_migration() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Makes the shards, unless they have been made: their number is fixed from then on.
async fn make_shards(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query("INSERT INTO database (id, shard_count) VALUES (1, $1) ON CONFLICT DO NOTHING")
        .bind(i32::from(POSTGRES_SHARDS))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO shards (shard)
         SELECT generate_series(0, shard_count - 1) FROM database WHERE id = 1
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut *connection)
    .await?;
    shard_count(connection).await
}

async fn shard_count(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT shard_count FROM database WHERE id = 1").fetch_one(connection).await
}

/// What to make of it that there is no connection.
fn open_error(error: NoHost) -> OpenError {
    if error.0.len() > 1 {
        return OpenError::NoHost(error.to_string());
    }
    let Some(HostFailure { options, cause }) = error.0.into_iter().next() else {
        return OpenError::Failed("no host was tried".to_owned());
    };
    let place = Place { connect_options: &options };
    match cause {
        HostCause::ReadOnly => OpenError::ReadOnly { address: place.address() },
        HostCause::Failed(error) => place.connect_error(error),
        HostCause::Silent(_) => place.unreachable(cause.to_string()),
    }
}

/// Where the database is, for messages.
struct Place<'a> {
    connect_options: &'a PgConnectOptions,
}

impl Place<'_> {
    fn address(&self) -> String {
        address(self.connect_options)
    }

    fn user(&self) -> String {
        self.connect_options.get_username().to_owned()
    }

    fn database(&self) -> String {
        // Postgres' own default is the user's name.
        let database = self.connect_options.get_database();
        database.map_or_else(|| self.user(), str::to_owned)
    }

    fn unreleased(&self) -> OpenError {
        OpenError::Unreleased { address: self.address(), database: self.database() }
    }

    fn unreachable(&self, reason: String) -> OpenError {
        OpenError::Unreachable { address: self.address(), reason }
    }

    fn connect_error(&self, error: sqlx::Error) -> OpenError {
        let address = self.address();
        if let Some(error) = ServerError::of(&error) {
            let reason = error.message;
            return match error.code.as_str() {
                "28P01" | "28000" | "42501" => {
                    OpenError::AccessDenied { address, user: self.user(), reason }
                }
                "3D000" => OpenError::NoDatabase { address, database: self.database() },
                "53300" | "57P03" | "57P01" => OpenError::Busy { address, reason },
                _ => OpenError::Failed(reason),
            };
        }
        match error {
            sqlx::Error::Io(error) => self.unreachable(error.to_string()),
            sqlx::Error::Tls(error) => OpenError::Tls { address, reason: error.to_string() },
            other => OpenError::Failed(other.to_string()),
        }
    }

    fn statement_error(&self, error: sqlx::Error) -> OpenError {
        match ServerError::of(&error) {
            Some(error) if error.code == "42501" => {
                OpenError::NotPermitted { user: self.user(), reason: error.message }
            }
            Some(error) => OpenError::Failed(error.to_string()),
            None => self.connect_error(error),
        }
    }

    fn migrate_error(&self, error: MigrateError) -> OpenError {
        match error {
            MigrateError::VersionMissing(found) => {
                OpenError::Newer { found, known: last_migration() }
            }
            MigrateError::VersionMismatch(_) => self.unreleased(),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                self.statement_error(error)
            }
            other => OpenError::Failed(other.to_string()),
        }
    }
}
