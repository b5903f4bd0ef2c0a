//! New connections: to whichever host can be written to, set up as every session must be.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::time::timeout;

use super::errors::ServerError;
use crate::database_problem::DatabaseProblem;
use crate::log::other_writes::OtherWrites;

/// How long sessions wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionLimits {
    /// For the end of a statement. The server ends it then.
    pub(super) statement: Duration,
    /// For one lock. The statement fails then.
    pub(super) lock: Duration,
    /// The server, for a session that has stopped in a transaction or is not heard of.
    pub(super) peer: Duration,
    /// We, for an answer, before a connection is given up. Above the server's own limit, so that
    /// it speaks first unless it is gone.
    pub(super) answer: Duration,
}

impl SessionLimits {
    /// Of sessions whose statements take no longer than this.
    pub(super) fn of(statement: Duration) -> SessionLimits {
        SessionLimits {
            statement,
            lock: statement * 2 / 5,
            peer: statement,
            answer: statement + ANSWER_MARGIN,
        }
    }

    /// What every session is set to; names that a server does not know are left out. Answers at
    /// the end with whether it can only read.
    ///
    /// - Commits are durable when they are answered: never less than `on`, whatever the server's or
    ///   the user's default. (`fsync` is the server's own, and must be on.)
    /// - Batches of a shard see what the batch before has committed: they wait for the shard's row
    ///   and then read, so each statement needs a snapshot of its own.
    /// - No peer that hangs holds a shard for long: not one that has stopped in a transaction, not
    ///   one whose machine is gone, which keep-alive and unacknowledged data reveal.
    /// - Every statement has an index. Plans are kept, and tables grow faster than their statistics
    ///   are brought up to date: a plan made while a table was small must not scan all of it when it
    ///   no longer is. (The penalty on such plans would make them look worth compiling.)
    pub(super) fn settings(&self) -> String {
        let millis = |time: Duration| time.as_millis().max(1);
        // Looked at three times after it has been silent for as long as for two looks.
        let look = millis(self.peer / 5).div_ceil(1_000);
        format!(
            "SELECT set_config(wanted.name, wanted.value, false)
             FROM (VALUES
                 ('synchronous_commit', CASE current_setting('synchronous_commit')
                                            WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END),
                 ('default_transaction_isolation', 'read committed'),
                 ('statement_timeout', '{statement}ms'),
                 ('lock_timeout', '{lock}ms'),
                 ('idle_in_transaction_session_timeout', '{peer}ms'),
                 ('transaction_timeout', '{transaction}ms'),
                 ('tcp_keepalives_idle', '{idle}s'),
                 ('tcp_keepalives_interval', '{look}s'),
                 ('tcp_keepalives_count', '3'),
                 ('tcp_user_timeout', '{peer}ms'),
                 ('enable_seqscan', 'off'),
                 ('jit', 'off')
             ) AS wanted (name, value)
             JOIN pg_settings USING (name);
             SELECT current_setting('transaction_read_only')",
            statement = millis(self.statement),
            lock = millis(self.lock),
            peer = millis(self.peer),
            // Of several statements.
            transaction = millis(self.peer * 3 / 2),
            idle = 2 * look,
        )
    }
}

/// By how much our patience exceeds the server's.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Makes connections to one database.
pub(super) struct Connector {
    /// Each host that may have it.
    hosts: Vec<PgConnectOptions>,
    /// The host that could be written to the last time; tried first.
    preferred: AtomicUsize,
    last_failure: Mutex<Option<Instant>>,
    /// Of all sessions.
    other_writes: OtherWrites,
}

impl Connector {
    /// To the first of these that can be written to; there is at least one.
    pub(super) fn new(hosts: Vec<PgConnectOptions>) -> Connector {
        let (last_failure, other_writes) = Default::default();
        Connector { hosts, preferred: AtomicUsize::new(0), last_failure, other_writes }
    }

    /// A session has ended before its work was finished. What lay idle at that moment may be cut
    /// as well: a server that restarts cuts all of its connections.
    pub(super) fn note_failure(&self) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// What came of the writes that are no appends.
    pub(super) fn other_writes(&self) -> &OtherWrites {
        &self.other_writes
    }

    /// How long ago that was.
    pub(super) fn since_failure(&self) -> Option<Duration> {
        let last = *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|failure| failure.elapsed())
    }

    /// How to connect to the host that was found the last time.
    pub(super) fn preferred(&self) -> &PgConnectOptions {
        &self.hosts[self.preferred.load(Ordering::Relaxed) % self.hosts.len()]
    }

    /// A connection that is set up and can write.
    pub(super) async fn connect(
        &self,
        limits: &SessionLimits,
        limit: Duration,
    ) -> Result<PgConnection, NoHost> {
        let deadline = Instant::now() + limit;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::with_capacity(self.hosts.len());
        for turn in 0..self.hosts.len() {
            let place = (first + turn) % self.hosts.len();
            let options = &self.hosts[place];
            // A host that is silent leaves time for the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.hosts.len() - turn).unwrap_or(u32::MAX);
            let cause = match timeout(share, connect_to(options, limits)).await {
                Ok(Ok((connection, false))) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Ok((_, true))) => HostCause::ReadOnly,
                Ok(Err(error)) => HostCause::Failed(error),
                Err(_) => HostCause::Silent(share),
            };
            failures.push(HostFailure { options: options.clone(), cause });
        }
        Err(NoHost(failures))
    }
}

/// A connection that is set up, and whether it can only read.
async fn connect_to(
    options: &PgConnectOptions,
    limits: &SessionLimits,
) -> Result<(PgConnection, bool), sqlx::Error> {
    let mut connection = options.connect().await?;
    let settings = AssertSqlSafe(limits.settings());
    let rows = sqlx::raw_sql(settings).fetch_all(&mut connection).await?;
    let last = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    let is_read_only = last.try_get::<String, _>(0)? == "on";
    Ok((connection, is_read_only))
}

/// Whether a session can write now: a server may have become a standby, or read-only.
pub(super) async fn can_write(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ask = "SELECT current_setting('transaction_read_only')";
    let row = sqlx::raw_sql(ask).fetch_one(connection).await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}

/// Why there is no connection: of each host, in the order in which they were tried.
#[derive(Debug)]
pub(super) struct NoHost(pub(super) Vec<HostFailure>);

/// Why there is none to one host.
#[derive(Debug)]
pub(super) struct HostFailure {
    pub(super) options: PgConnectOptions,
    pub(super) cause: HostCause,
}

/// What kept us from it.
#[derive(Debug)]
pub(super) enum HostCause {
    /// It did not answer for so long.
    Silent(Duration),
    /// It can only be read from.
    ReadOnly,
    /// Anything that it said, or that the way to it did.
    Failed(sqlx::Error),
}

impl NoHost {
    /// Whether the next attempt may well succeed: a server starts or changes its part, or has too
    /// many connections just now.
    pub(super) fn is_passing(&self) -> bool {
        self.0.iter().any(|failure| match &failure.cause {
            HostCause::Silent(_) => false,
            // Another host may be about to take over; a single one stays what it is until somebody
            // changes that, and callers had better know it at once.
            HostCause::ReadOnly => self.0.len() > 1,
            HostCause::Failed(sqlx::Error::Io(error)) => {
                error.kind() == io::ErrorKind::ConnectionRefused
            }
            HostCause::Failed(error) => ServerError::of(error)
                .is_some_and(|error| ["53300", "57P03"].contains(&error.code.as_str())),
        })
    }
}

impl NoHost {
    /// Whether no host has said anything.
    pub(super) fn is_silent(&self) -> bool {
        self.0.iter().all(|failure| matches!(failure.cause, HostCause::Silent(_)))
    }

    /// What the hosts lack: what one that answered said, before that others did not answer.
    pub(super) fn problem(&self) -> Option<DatabaseProblem> {
        let said = self.0.iter().find_map(|failure| match &failure.cause {
            HostCause::ReadOnly => Some(DatabaseProblem::ReadOnly),
            HostCause::Failed(error) => ServerError::of(error)?.problem(),
            HostCause::Silent(_) => None,
        });
        let is_silent = |failure: &HostFailure| matches!(failure.cause, HostCause::Silent(_));
        said.or_else(|| self.0.iter().any(is_silent).then_some(DatabaseProblem::Silent))
    }
}

impl std::error::Error for NoHost {}

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, HostFailure { options, cause }) in self.0.iter().enumerate() {
            let separator = if place > 0 { "; " } else { "" };
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
        assert!(NoHost(vec![refused()]).is_passing());
        assert!(NoHost(vec![unknown(), failure(HostCause::ReadOnly)]).is_passing());
        assert!(!NoHost(vec![unknown(), unknown()]).is_passing());
        assert!(!NoHost(vec![failure(HostCause::ReadOnly)]).is_passing());
    }

    #[test]
    fn what_a_host_said_is_told_before_the_silence_of_others() {
        let failure =
            |cause| HostFailure { options: PgConnectOptions::new_without_pgpass(), cause };
        let silent = || failure(HostCause::Silent(Duration::from_secs(1)));
        let refused = io::ErrorKind::ConnectionRefused.into();
        let refused = failure(HostCause::Failed(sqlx::Error::Io(refused)));
        let read_only = NoHost(vec![silent(), failure(HostCause::ReadOnly)]);
        assert_eq!(read_only.problem(), Some(DatabaseProblem::ReadOnly));
        assert_eq!(NoHost(vec![silent()]).problem(), Some(DatabaseProblem::Silent));
        assert_eq!(NoHost(vec![refused]).problem(), None);
    }
}
