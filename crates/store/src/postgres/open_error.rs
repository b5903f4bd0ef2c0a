//! Why a database could not be opened, and what to do about it.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::connect_error::{ConnectError, HostCause, HostFailure, address};
use super::migrations::last_migration;
use super::server_error::ServerError;
use super::url::InvalidUrl;

/// Why a database could not be opened, and what to do about it. It never contains the URL's
/// password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the database URL is not valid: {0}; it should look like postgres://user:password@host:5432/database"
    )]
    InvalidUrl(#[from] InvalidUrl),
    /// None of several hosts can be written to.
    #[error("no host of the database URL can be written to: {0}")]
    NoHost(String),
    /// A pooler gives each transaction another session.
    #[error(
        "a pooler between this process and Postgres at {address} gives each transaction another session, so that neither prepared statements nor settings such as synchronous_commit hold: set pool_mode = session for this database (PgBouncer), or connect to Postgres itself"
    )]
    TransactionPooling {
        /// Host and port, or the socket.
        address: String,
    },
    #[error(
        "cannot reach Postgres at {address}: {reason}; check that it is running and that host and port of the database URL are right"
    )]
    Unreachable {
        /// Host and port, or the socket.
        address: String,
        reason: String,
    },
    /// No encrypted connection could be made.
    #[error(
        "cannot make an encrypted connection to Postgres at {address}: {reason}; check sslmode and sslrootcert of the database URL"
    )]
    Tls {
        /// Host and port.
        address: String,
        reason: String,
    },
    /// The server refuses the user or the password.
    #[error(
        "Postgres at {address} does not let user {user} in: {reason}; check user and password of the database URL, and the server's pg_hba.conf"
    )]
    AccessDenied {
        /// Host and port, or the socket.
        address: String,
        user: String,
        reason: String,
    },
    /// The server has no such database.
    #[error(
        "Postgres at {address} has no database {database}: create it with CREATE DATABASE, or correct the database URL"
    )]
    NoDatabase {
        /// Host and port, or the socket.
        address: String,
        database: String,
    },
    /// The server cannot take a connection now.
    #[error("Postgres at {address} takes no connection now: {reason}; try again soon")]
    Busy {
        /// Host and port, or the socket.
        address: String,
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
    /// The database's encoding cannot hold every text.
    #[error("the database's encoding is {0}, it must be UTF8: create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// The user may not create tables.
    #[error(
        "user {user} may not set the database up: {reason}; make the user the database's owner"
    )]
    NotPermitted { user: String, reason: String },
    /// The database has no tables of this program, and they must not be created.
    #[error("the database {database} of Postgres at {address} has no tables of this program")]
    NoTables {
        /// Host and port, or the socket.
        address: String,
        database: String,
    },
    /// Its tables are of an older version, and must not be changed.
    #[error(
        "the database has migration {found}, this version needs {needed}: start this version's server on it first, which brings its tables up to date"
    )]
    Older {
        /// The last migration that was applied.
        found: i64,
        /// The last migration of this version.
        needed: i64,
    },
    /// A newer version of this program has changed the tables.
    #[error(
        "the database has migration {found}, this version knows them up to {known}: use the version that made it, or a newer one"
    )]
    Newer {
        /// The migration that this version does not know.
        found: i64,
        /// The last migration that this version knows.
        known: i64,
    },
    /// An unreleased version of this program has created it.
    #[error(
        "the database {database} of Postgres at {address} was made by an unreleased version of this program, whose tables this version does not take over: create another database, or use the program that made this one"
    )]
    Unreleased {
        /// Host and port, or the socket.
        address: String,
        database: String,
    },
    /// Any other error.
    #[error("the database could not be opened: {0}")]
    Failed(String),
}

/// What a failure to connect becomes.
pub(super) fn connect_error(error: ConnectError) -> OpenError {
    if error.0.len() > 1 {
        return OpenError::NoHost(error.to_string());
    }
    let Some(HostFailure { options, cause }) = error.0.into_iter().next() else {
        return OpenError::Failed("no host was tried".to_owned());
    };
    let target = Target { connect_options: &options };
    match cause {
        HostCause::ReadOnly => OpenError::ReadOnly { address: target.address() },
        HostCause::Failed(error) => target.host_error(error),
        HostCause::Silent(_) => target.unreachable(cause.to_string()),
    }
}

/// The database that was connected to, for messages.
pub(super) struct Target<'a> {
    pub(super) connect_options: &'a PgConnectOptions,
}

impl Target<'_> {
    pub(super) fn address(&self) -> String {
        address(self.connect_options)
    }

    fn user(&self) -> String {
        self.connect_options.get_username().to_owned()
    }

    pub(super) fn database(&self) -> String {
        // Postgres' own default is the user's name.
        let database = self.connect_options.get_database();
        database.map_or_else(|| self.user(), str::to_owned)
    }

    pub(super) fn unreleased(&self) -> OpenError {
        OpenError::Unreleased { address: self.address(), database: self.database() }
    }

    fn unreachable(&self, reason: String) -> OpenError {
        OpenError::Unreachable { address: self.address(), reason }
    }

    fn host_error(&self, error: sqlx::Error) -> OpenError {
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

    pub(super) fn statement_error(&self, error: sqlx::Error) -> OpenError {
        match ServerError::of(&error) {
            Some(error) if error.code == "42501" => {
                OpenError::NotPermitted { user: self.user(), reason: error.message }
            }
            Some(error) => OpenError::Failed(error.to_string()),
            None => self.host_error(error),
        }
    }

    pub(super) fn migrate_error(&self, error: MigrateError) -> OpenError {
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
