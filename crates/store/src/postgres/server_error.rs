//! Errors that the server reports:
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::database_problem::DatabaseProblem;

/// An error of the server, without its DETAIL, which quotes rows.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
pub(super) struct ServerError {
    pub(super) code: String,
    pub(super) message: String,
    severity: PgSeverity,
}

impl ServerError {
    /// None: the error is not the server's.
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
    pub(super) fn is_transient(&self) -> bool {
        // Exceptions of the connection, rollbacks for serialization or deadlock, insufficient
        // resources (the disk is full, too many connections), intervention of an operator
        // (shutdown, a statement's time limit), errors outside of Postgres.
        const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
        // A standby, or a primary that has just become one; the time limits of an idle and of a
        // running transaction; the time limit of a lock.
        const CODES: [&str; 4] = ["25006", "25P03", "25P04", "55P03"];
        CLASSES.iter().any(|class| self.code.starts_with(class))
            || CODES.contains(&self.code.as_str())
    }

    /// What the server lacks, as far as the code says.
    pub(super) fn problem(&self) -> Option<DatabaseProblem> {
        match self.code.as_str() {
            "53100" => Some(DatabaseProblem::DiskFull),
            "25006" => Some(DatabaseProblem::ReadOnly),
            "53300" => Some(DatabaseProblem::NoMoreConnections),
            "55P03" => Some(DatabaseProblem::Locked),
            // `says_rolled_back` answers whether a commit that fails so has happened.
            "40001" | "40P01" => Some(DatabaseProblem::Conflict),
            // The time limits of a statement, of an idle and of a running transaction. A statement
            // that an operator cancels has the same code.
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

    /// Whether a commit that fails with it has certainly not happened. A server that shuts down
    /// may end the session after it has committed.
    pub(super) fn says_rolled_back(&self) -> bool {
        // Transaction resolution unknown, statement completion unknown: from poolers and
        // distributed databases.
        const UNKNOWN: [&str; 2] = ["08007", "40003"];
        self.severity == PgSeverity::Error && !UNKNOWN.contains(&self.code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database_problem::ProblemScope;
    use crate::error::StoreError;

    fn server_error(code: &str, severity: PgSeverity) -> ServerError {
        let message = "something happened".to_owned();
        ServerError { code: code.to_owned(), message, severity }
    }

    #[test]
    fn a_temporary_failure_is_transient_and_a_defect_of_ours_is_not() {
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
    fn the_conflicts_of_one_statement_are_no_problem_of_the_whole_database() {
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
