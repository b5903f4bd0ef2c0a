//! A pool of connections.
//!
//! Decision: docs/decisions/our-own-postgres-pool.md

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::acquire_error::AcquireError;
use super::connect_error::ConnectError;
use super::connector::{Connector, can_write};
use super::session_limits::SessionLimits;
use crate::backoff::Backoff;
use crate::error::StoreError;

/// How long a call waits for a connection, connecting included, unless it has less time. Callers do
/// not notice a restart of the server that takes less.
pub(super) const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// The waits before connecting again to a server that takes no connection.
const CONNECT_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_millis(600));
/// How long a connection may be idle and then be used without a test. Testing each time would cost
/// every append a round trip; never testing, an error for each connection that a firewall or a
/// restart has cut.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);
/// How long a test may take. A connection that does not answer by then is replaced.
const TEST_LIMIT: Duration = Duration::from_secs(1);
/// Connections that were idle for longer are closed when the next one is acquired.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Older connections are closed after use, so that what the server caches for them does not grow
/// for ever.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Connections of one kind. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Arc<Connector>,
    limits: SessionLimits,
    size: u32,
    permits: Arc<Semaphore>,
    /// The one that was used last is at the end, and is taken first.
    idle: Mutex<Vec<IdleConnection>>,
}

struct IdleConnection {
    connection: PgConnection,
    create_time: Instant,
    idle_since: Instant,
}

impl Pool {
    /// Connections are made when they are first needed.
    pub(super) fn new(connector: Arc<Connector>, limits: SessionLimits, size: u32) -> Pool {
        let permits = Arc::new(Semaphore::new(size as usize));
        let idle = Mutex::default();
        Pool { inner: Arc::new(Inner { connector, limits, size, permits, idle }) }
    }

    pub(super) fn limits(&self) -> SessionLimits {
        self.inner.limits
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> u32 {
        self.inner.size
    }

    /// An idle connection, or a new one.
    pub(super) async fn acquire(&self, limit: Duration) -> Result<PooledConnection, AcquireError> {
        let deadline = Instant::now() + limit;
        let permit = timeout(limit, Arc::clone(&self.inner.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| AcquireError::InUse { size: self.inner.size, limit })?;
        let permit = permit.map_err(|_| AcquireError::Closed)?;
        let (connection, create_time) = match self.inner.take_idle(limit).await {
            Some(idle) => (idle.connection, idle.create_time),
            None => (self.inner.connect(deadline).await?, Instant::now()),
        };
        let usage = Usage { pool: Arc::clone(&self.inner), is_finished: false };
        Ok(PooledConnection { connection, create_time, usage, _permit: permit })
    }

    /// Notes the outcome of a write that is not an append.
    pub(super) fn note_write<T>(&self, outcome: &Result<T, StoreError>) {
        self.inner.connector.other_writes().note(outcome);
    }

    /// Waits for the connections that are in use, and closes all.
    pub(super) async fn close(&self) {
        let _all = self.inner.permits.acquire_many(self.inner.size).await;
        self.inner.permits.close();
        let connections = std::mem::take(&mut *self.inner.idle());
        for idle in connections {
            // It ends in any case.
            let _ = idle.connection.close().await;
        }
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idle connection that was used last, if it works. If it fails its test, no other one is
    /// tested, and a new one is made.
    async fn take_idle(&self, limit: Duration) -> Option<IdleConnection> {
        let (mut connection, is_trusted) = {
            let mut idle = self.idle();
            idle.retain(|connection| connection.idle_since.elapsed() < IDLE_LIMIT);
            let connection = idle.pop()?;
            let since_failure = self.connector.since_failure();
            let is_trusted = is_trusted(connection.idle_since.elapsed(), since_failure);
            (connection, is_trusted)
        };
        if is_trusted {
            return Some(connection);
        }
        // The rest of the time is for a new one.
        let limit = TEST_LIMIT.min(limit / 2);
        let tested = timeout(limit, can_write(&mut connection.connection)).await;
        matches!(tested, Ok(Ok(true))).then_some(connection)
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection, AcquireError> {
        let (mut backoff, mut before) = (CONNECT_BACKOFF, None);
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let error = match self.connector.connect(&self.limits, remaining).await {
                Ok(connection) => return Ok(connection),
                Err(error) => more_informative(before, error),
            };
            let wait = backoff.next_wait();
            if !error.is_transient() || Instant::now() + wait >= deadline {
                return Err(error.into());
            }
            before = Some(error);
            sleep(wait).await;
        }
    }
}

/// Which of two attempts' errors to report. A last attempt that had too little time must not hide
/// what the server said before.
fn more_informative(before: Option<ConnectError>, last: ConnectError) -> ConnectError {
    match before {
        Some(before) if last.is_silent() => before,
        _ => last,
    }
}

/// Whether a connection may be used without being tested.
fn is_trusted(idle_for: Duration, since_failure: Option<Duration>) -> bool {
    let used_since = since_failure.is_none_or(|since_failure| idle_for < since_failure);
    idle_for < TRUSTED_IDLE_TIME && used_since
}

/// A connection of a pool. It is closed when it is dropped, unless it is given back.
pub(super) struct PooledConnection {
    connection: PgConnection,
    create_time: Instant,
    usage: Usage,
    _permit: OwnedSemaphorePermit,
}

impl PooledConnection {
    /// Returns it to the pool.
    pub(super) fn give_back(mut self) {
        self.usage.is_finished = true;
        if self.create_time.elapsed() < LIFETIME {
            let (connection, create_time) = (self.connection, self.create_time);
            let idle = IdleConnection { connection, create_time, idle_since: Instant::now() };
            self.usage.pool.idle().push(idle);
        }
    }
}

impl Deref for PooledConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Notes a failure if a connection is dropped before its work is finished.
struct Usage {
    pool: Arc<Inner>,
    is_finished: bool,
}

impl Drop for Usage {
    fn drop(&mut self) {
        if !self.is_finished {
            self.pool.connector.note_failure();
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;
    use crate::postgres::connect_error::{HostCause, HostFailure};

    #[test]
    fn a_connection_that_was_idle_when_a_session_failed_is_tested_before_use() {
        let millis = Duration::from_millis;
        assert!(is_trusted(millis(900), None));
        assert!(!is_trusted(millis(1_000), None), "idle for too long");
        assert!(!is_trusted(millis(900), Some(millis(500))), "idle since before the failure");
        assert!(is_trusted(millis(100), Some(millis(500))), "used since then");
    }

    #[test]
    fn a_last_attempt_without_time_does_not_hide_what_the_server_said() {
        let failed = |cause| {
            ConnectError(vec![HostFailure {
                options: PgConnectOptions::new_without_pgpass(),
                cause,
            }])
        };
        let refused = || failed(HostCause::Failed(sqlx::Error::Protocol("too many".to_owned())));
        let silent = || failed(HostCause::Silent(Duration::ZERO));
        let is_silent = |before, last| more_informative(before, last).is_silent();
        assert!(!is_silent(Some(refused()), silent()), "the server has said why");
        assert!(!is_silent(Some(silent()), refused()), "it says why now");
        assert!(!is_silent(None, refused()));
        assert!(is_silent(None, silent()), "it has said nothing");
        assert!(is_silent(Some(silent()), silent()));
    }
}
