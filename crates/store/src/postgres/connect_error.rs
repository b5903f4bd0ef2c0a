//! Why no host could be connected to.

use std::fmt;
use std::io;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::server_error::ServerError;
use crate::database_problem::DatabaseProblem;

/// The failure of each host, in the order in which they were tried.
#[derive(Debug)]
pub(super) struct ConnectError(pub(super) Vec<HostFailure>);

#[derive(Debug)]
pub(super) struct HostFailure {
    pub(super) options: PgConnectOptions,
    pub(super) cause: HostCause,
}

#[derive(Debug)]
pub(super) enum HostCause {
    /// It did not answer within this time.
    Silent(Duration),
    /// It can only be read from.
    ReadOnly,
    /// The host or the network reported an error.
    Failed(sqlx::Error),
}

impl ConnectError {
    /// Whether the next attempt may well succeed: a server starts, is being promoted, or has too many
    /// connections just now.
    pub(super) fn is_transient(&self) -> bool {
        self.0.iter().any(|failure| match &failure.cause {
            HostCause::Silent(_) => false,
            // Another host may be about to take over. A single one stays read-only until somebody
            // changes that, and callers should know at once.
            HostCause::ReadOnly => self.0.len() > 1,
            HostCause::Failed(sqlx::Error::Io(error)) => {
                error.kind() == io::ErrorKind::ConnectionRefused
            }
            HostCause::Failed(error) => ServerError::of(error)
                .is_some_and(|error| ["53300", "57P03"].contains(&error.code.as_str())),
        })
    }

    /// Whether no host has answered.
    pub(super) fn is_silent(&self) -> bool {
        self.0.iter().all(|failure| matches!(failure.cause, HostCause::Silent(_)))
    }

    /// What the hosts lack. The answer of one counts more than the silence of others.
    pub(super) fn problem(&self) -> Option<DatabaseProblem> {
        let answer = self.0.iter().find_map(|failure| match &failure.cause {
            HostCause::ReadOnly => Some(DatabaseProblem::ReadOnly),
            HostCause::Failed(error) => ServerError::of(error)?.problem(),
            HostCause::Silent(_) => None,
        });
        let is_silent = |failure: &HostFailure| matches!(failure.cause, HostCause::Silent(_));
        answer.or_else(|| self.0.iter().any(is_silent).then_some(DatabaseProblem::Silent))
    }
}

impl std::error::Error for ConnectError {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, HostFailure { options, cause }) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {cause}", address(options))?;
        }
        Ok(())
    }
}

impl fmt::Display for HostCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostCause::Silent(limit) => write!(f, "no answer within {limit:.1?}"),
            HostCause::ReadOnly => {
                write!(f, "it is read-only: a standby, or default_transaction_read_only is on")
            }
            HostCause::Failed(error) => match ServerError::of(error) {
                // Without its DETAIL.
                Some(error) => write!(f, "{error}"),
                None => write!(f, "{error}"),
            },
        }
    }
}

/// Host and port, or the socket: for messages.
pub(super) fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_up_soon_is_tried_again_and_one_that_refuses_us_is_not() {
        let failure =
            |cause| HostFailure { options: PgConnectOptions::new_without_pgpass(), cause };
        let io = |kind: io::ErrorKind| HostCause::Failed(sqlx::Error::Io(kind.into()));
        let refused = || failure(io(io::ErrorKind::ConnectionRefused));
        let unknown = || failure(io(io::ErrorKind::NotFound));
        assert!(ConnectError(vec![refused()]).is_transient());
        assert!(ConnectError(vec![unknown(), failure(HostCause::ReadOnly)]).is_transient());
        assert!(!ConnectError(vec![unknown(), unknown()]).is_transient());
        assert!(!ConnectError(vec![failure(HostCause::ReadOnly)]).is_transient());
    }

    #[test]
    fn the_answer_of_one_host_counts_more_than_the_silence_of_others() {
        let failure =
            |cause| HostFailure { options: PgConnectOptions::new_without_pgpass(), cause };
        let silent = || failure(HostCause::Silent(Duration::from_secs(1)));
        let refused = io::ErrorKind::ConnectionRefused.into();
        let refused = failure(HostCause::Failed(sqlx::Error::Io(refused)));
        let read_only = ConnectError(vec![silent(), failure(HostCause::ReadOnly)]);
        assert_eq!(read_only.problem(), Some(DatabaseProblem::ReadOnly));
        assert_eq!(ConnectError(vec![silent()]).problem(), Some(DatabaseProblem::Silent));
        assert_eq!(ConnectError(vec![refused]).problem(), None);
    }
}
