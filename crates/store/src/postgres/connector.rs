//! New connections to the host that can be written to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::time::timeout;

use super::connect_error::{ConnectError, HostCause, HostFailure};
use super::session_limits::SessionLimits;
use crate::log::other_writes::OtherWrites;

/// Makes connections to one database.
pub(super) struct Connector {
    hosts: Vec<PgConnectOptions>,
    /// The index of the host that could be written to the last time. It is tried first.
    preferred: AtomicUsize,
    last_failure: Mutex<Option<Instant>>,
    other_writes: OtherWrites,
}

impl Connector {
    /// Connects to the first of these hosts that can be written to. There must be at least one.
    pub(super) fn new(hosts: Vec<PgConnectOptions>) -> Connector {
        let (last_failure, other_writes) = Default::default();
        Connector { hosts, preferred: AtomicUsize::new(0), last_failure, other_writes }
    }

    /// Notes that a session has ended before its work was finished. Connections that were idle at
    /// that moment may be cut as well: a server that restarts cuts all of its connections.
    pub(super) fn note_failure(&self) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn other_writes(&self) -> &OtherWrites {
        &self.other_writes
    }

    /// The time since the last noted failure.
    pub(super) fn since_failure(&self) -> Option<Duration> {
        let last = *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|failure| failure.elapsed())
    }

    /// The host that could be written to the last time.
    pub(super) fn preferred(&self) -> &PgConnectOptions {
        &self.hosts[self.preferred.load(Ordering::Relaxed) % self.hosts.len()]
    }

    /// Makes a connection that is set up and can write.
    pub(super) async fn connect(
        &self,
        limits: &SessionLimits,
        limit: Duration,
    ) -> Result<PgConnection, ConnectError> {
        let deadline = Instant::now() + limit;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::with_capacity(self.hosts.len());
        for attempt in 0..self.hosts.len() {
            let index = (first + attempt) % self.hosts.len();
            let options = &self.hosts[index];
            // A host that does not answer leaves time for the others.
            let remaining = deadline.saturating_duration_since(Instant::now());
            let share = remaining / u32::try_from(self.hosts.len() - attempt).unwrap_or(u32::MAX);
            let cause = match timeout(share, connect_to(options, limits)).await {
                Ok(Ok((connection, false))) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Ok((_, true))) => HostCause::ReadOnly,
                Ok(Err(error)) => HostCause::Failed(error),
                Err(_) => HostCause::Silent(share),
            };
            failures.push(HostFailure { options: options.clone(), cause });
        }
        Err(ConnectError(failures))
    }
}

/// Makes a connection and sets it up. Also answers whether it can only read.
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
