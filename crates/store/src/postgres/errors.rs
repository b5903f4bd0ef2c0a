//! What a database error means for the caller.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::connector::NoHost;
use super::pool::NoConnection;
use super::session::NoAnswer;
use crate::database_problem::DatabaseProblem;
use crate::error::{DatabaseFailure, StoreError};

/// An error of the server, without its DETAIL, which quotes rows.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
pub(super) struct ServerError {
    pub(super) code: String,
    pub(super) message: String,
    severity: PgSeverity,
}

impl ServerError {
    /// What the server said, if it was the server that said it.
    pub(super) fn of(error: &sqlx::Error) -> Option<ServerError> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        Some(ServerError {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            severity: error.severity(),
        })
    }

    /// Whether the same statement may well succeed later, on this server or on the one that
    /// takes over from it.
    /// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn is_transient(&self) -> bool {
        // Exceptions of the connection, rollbacks for serialization or deadlock, insufficient
        // resources (the disk is full, too many connections), intervention of an operator
        // (shutdown, a statement's time limit), errors outside of Postgres.
        const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
        // A standby, or a primary that has just become one; the time limits of a transaction
        // that idles and of one that runs; the time limit of a lock.
        const CODES: [&str; 4] = ["25006", "25P03", "25P04", "55P03"];
        CLASSES.iter().any(|class| self.code.starts_with(class))
            || CODES.contains(&self.code.as_str())
    }

    /// What the server lacks.
    pub(super) fn problem(&self) -> Option<DatabaseProblem> {
        match self.code.as_str() {
            "53100" => Some(DatabaseProblem::DiskFull),
            "25006" => Some(DatabaseProblem::ReadOnly),
            "53300" => Some(DatabaseProblem::NoMoreConnections),
            "55P03" => Some(DatabaseProblem::Locked),
            // Whether a commit happened that ends so is another question.
            "40001" | "40P01" => Some(DatabaseProblem::Conflict),
            // The limits of a statement, of a transaction that idles and of one that runs. An
            // operator who cancels a statement has the same code.
            "57014" | "25P03" | "25P04" => Some(DatabaseProblem::TooSlow),
            // No such role, a wrong password, not from this machine; no such database.
            code if code.starts_with("28") || code == "3D000" => {
                Some(DatabaseProblem::AccessDenied)
            }
            code if code.starts_with("53") => Some(DatabaseProblem::Overloaded),
            code if code.starts_with("58") => Some(DatabaseProblem::FilesFail),
            _ => None,
        }
    }

    /// Whether a commit that ends so has certainly not happened. A server that goes down may
    /// end the session after it has committed.
    fn says_rolled_back(&self) -> bool {
        // Transaction resolution unknown, statement completion unknown: said by poolers and by
        // distributed databases.
        const UNKNOWN: [&str; 2] = ["08007", "40003"];
        self.severity == PgSeverity::Error && !UNKNOWN.contains(&self.code.as_str())
    }
}

impl From<ServerError> for DatabaseFailure {
    fn from(error: ServerError) -> DatabaseFailure {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        DatabaseFailure::new(problem, error)
    }
}

impl From<NoConnection> for DatabaseFailure {
    fn from(error: NoConnection) -> DatabaseFailure {
        let problem = match &error {
            NoConnection::InUse { .. } => Some(DatabaseProblem::Overloaded),
            NoConnection::NoHost(no_host) => no_host.problem(),
            NoConnection::Closed => None,
        };
        DatabaseFailure::new(problem.unwrap_or(DatabaseProblem::Unreachable), error)
    }
}

impl From<NoHost> for DatabaseFailure {
    fn from(error: NoHost) -> DatabaseFailure {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        DatabaseFailure::new(problem, error)
    }
}

impl From<NoAnswer> for DatabaseFailure {
    fn from(error: NoAnswer) -> DatabaseFailure {
        DatabaseFailure::new(DatabaseProblem::Silent, error)
    }
}

/// An error of the way to the server.
fn connection_failure(error: sqlx::Error) -> DatabaseFailure {
    DatabaseFailure::new(DatabaseProblem::Unreachable, error)
}

/// An error before a commit was sent: nothing was changed.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    if let Some(error) = ServerError::of(&error) {
        return match error.is_transient() {
            true => StoreError::Unavailable(error.into()),
            false => StoreError::Failed(error.into()),
        };
    }
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::BeginFailed => {
            StoreError::Unavailable(connection_failure(error))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            StoreError::Unreadable(error.to_string())
        }
        _ => StoreError::Failed(error.into()),
    }
}

/// An error in answer to a commit, or to a statement that commits itself: unless the server
/// said that it was rolled back, it may have happened.
pub(super) fn commit_error(error: sqlx::Error) -> StoreError {
    match ServerError::of(&error) {
        Some(server_error) if server_error.says_rolled_back() => store_error(error),
        Some(server_error) => StoreError::Unknown(server_error.into()),
        None => StoreError::Unknown(connection_failure(error)),
    }
}

/// Whether a statement was ended because somebody else held what it waited for. Its session goes
/// on.
pub(super) fn is_locked_out(error: &StoreError) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let StoreError::Unavailable(cause) = error else { return false };
    cause.downcast_ref::<ServerError>().is_some_and(|error| error.code == LOCK_NOT_AVAILABLE)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::database_problem::ProblemScope;

    fn server_error(code: &str, severity: PgSeverity) -> ServerError {
        let message = "something happened".to_owned();
        ServerError { code: code.to_owned(), message, severity }
    }

    #[test]
    fn a_lost_connection_is_unavailable_before_a_commit_and_unknown_in_one() {
        let lost = || sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(store_error(lost()), StoreError::Unavailable(_)));
        assert!(matches!(commit_error(lost()), StoreError::Unknown(_)));
    }

    #[test]
    fn what_passes_by_itself_is_transient_and_what_is_our_defect_is_not() {
        for code in
            ["08006", "40001", "40P01", "53100", "53300", "57014", "57P01", "55P03", "25006"]
        {
            assert!(server_error(code, PgSeverity::Error).is_transient(), "{code}");
        }
        for code in ["23505", "42601", "42P01", "22021", "XX001"] {
            assert!(!server_error(code, PgSeverity::Error).is_transient(), "{code}");
        }
    }

    #[test]
    fn what_the_server_lacks_is_known_by_its_code() {
        for (code, problem) in [
            ("53100", DatabaseProblem::DiskFull),
            ("25006", DatabaseProblem::ReadOnly),
            ("53200", DatabaseProblem::Overloaded),
            ("53300", DatabaseProblem::NoMoreConnections),
            ("28P01", DatabaseProblem::AccessDenied),
            ("58030", DatabaseProblem::FilesFail),
            ("57P01", DatabaseProblem::Unreachable),
            ("55P03", DatabaseProblem::Locked),
            ("40P01", DatabaseProblem::Conflict),
            ("57014", DatabaseProblem::TooSlow),
        ] {
            let error = StoreError::Unavailable(server_error(code, PgSeverity::Error).into());
            assert_eq!(error.problem(), Some(problem), "{code}");
        }
        let defect = StoreError::Failed(server_error("42601", PgSeverity::Error).into());
        assert_eq!(defect.problem(), None);
    }

    #[test]
    fn what_one_statement_meets_is_not_the_databases_trouble() {
        let scope = |code| {
            let error = server_error(code, PgSeverity::Error);
            StoreError::Unavailable(error.into()).problem().map(DatabaseProblem::scope)
        };
        for code in ["55P03", "40001", "40P01", "57014", "25P03", "25P04"] {
            assert_eq!(scope(code), Some(ProblemScope::Rows), "{code}");
        }
        for code in ["53100", "25006", "53300", "58030", "57P01", "08006"] {
            assert_eq!(scope(code), Some(ProblemScope::Database), "{code}");
        }
    }

    #[test]
    fn a_commit_is_only_known_to_have_failed_if_the_session_goes_on() {
        assert!(server_error("40001", PgSeverity::Error).says_rolled_back());
        assert!(!server_error("57P01", PgSeverity::Fatal).says_rolled_back());
        assert!(!server_error("40003", PgSeverity::Error).says_rolled_back());
    }
}
