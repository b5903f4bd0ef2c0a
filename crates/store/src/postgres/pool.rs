//! Connections that are kept for the next who needs one, up to a limit.
//!
//! Decision: docs/decisions/our-own-postgres-pool.md

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::connector::{Connector, NoHost, SessionLimits, can_write};
use crate::backoff::Backoff;
use crate::error::StoreError;

/// How long a call waits for a connection, connecting included, unless it has less time. A restart of
/// the server that takes less is not noticed by callers.
pub(super) const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// The waits before connecting again to a server that takes no connection.
const CONNECT_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_millis(600));
/// How long a connection may lie idle before it is tested when it is taken. Testing each time
/// would cost every append a round trip; never, an error for each connection that a firewall
/// or a restart has cut meanwhile.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);
/// How long a test may take; a connection that is silent for longer is replaced.
const TEST_LIMIT: Duration = Duration::from_secs(1);
/// After how long an idle connection is closed when it is next looked at, and after how long any
/// is, so that what the server keeps for it does not grow for ever.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);
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
    places: Arc<Semaphore>,
    /// The one that was used last is at the end, and is taken first.
    idle: Mutex<Vec<Resting>>,
}

struct Resting {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

/// Why a call got no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// Others had all of them.
    #[error("all {size} connections were in use for {limit:?} (--database-connections)")]
    InUse {
        /// How many there are.
        size: u32,
        /// How long was waited for one.
        limit: Duration,
    },
    /// None could be made.
    #[error("no connection to Postgres: {0}")]
    NoHost(#[from] NoHost),
    /// The store was closed.
    #[error("the connections are closed")]
    Closed,
}

impl Pool {
    /// A pool that connects when it is first asked to.
    pub(super) fn new(connector: Arc<Connector>, limits: SessionLimits, size: u32) -> Pool {
        let places = Arc::new(Semaphore::new(size as usize));
        let idle = Mutex::default();
        Pool { inner: Arc::new(Inner { connector, limits, size, places, idle }) }
    }

    /// How long sessions of this pool wait for what.
    pub(super) fn limits(&self) -> SessionLimits {
        self.inner.limits
    }

    /// How many connections there are at most.
    #[cfg(test)]
    pub(super) fn size(&self) -> u32 {
        self.inner.size
    }

    /// A connection that is there, or a new one. The error, when the time is over: what has kept it
    /// from being had.
    pub(super) async fn acquire(&self, limit: Duration) -> Result<Pooled, NoConnection> {
        let deadline = Instant::now() + limit;
        let place = timeout(limit, Arc::clone(&self.inner.places).acquire_owned()).await;
        let place = place.map_err(|_| NoConnection::InUse { size: self.inner.size, limit })?;
        let place = place.map_err(|_| NoConnection::Closed)?;
        let (connection, made) = match self.inner.take_idle(limit).await {
            Some(resting) => (resting.connection, resting.made),
            None => (self.inner.connect(deadline).await?, Instant::now()),
        };
        let use_of_it = Use { pool: Arc::clone(&self.inner), is_finished: false };
        Ok(Pooled { connection, made, use_of_it, _place: place })
    }

    /// Notes what came of a write that is no append.
    pub(super) fn note_write<T>(&self, outcome: &Result<T, StoreError>) {
        self.inner.connector.other_writes().note(outcome);
    }

    /// Waits for those that are in use, and closes all.
    pub(super) async fn close(&self) {
        let _all = self.inner.places.acquire_many(self.inner.size).await;
        self.inner.places.close();
        let connections = std::mem::take(&mut *self.inner.idle());
        for resting in connections {
            // It ends in any case.
            let _ = resting.connection.close().await;
        }
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next idle connection that works. One that does not answer its test costs a new one, and
    /// no test of another.
    async fn take_idle(&self, limit: Duration) -> Option<Resting> {
        let (mut resting, trusted) = {
            let mut idle = self.idle();
            idle.retain(|resting| resting.since.elapsed() < IDLE_LIMIT);
            let resting = idle.pop()?;
            let since_failure = self.connector.since_failure();
            let trusted = is_trusted(resting.since.elapsed(), since_failure);
            (resting, trusted)
        };
        if trusted {
            return Some(resting);
        }
        // The rest of the time is for a new one.
        let limit = TEST_LIMIT.min(limit / 2);
        let tested = timeout(limit, can_write(&mut resting.connection)).await;
        matches!(tested, Ok(Ok(true))).then_some(resting)
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection, NoConnection> {
        let (mut backoff, mut before) = (CONNECT_BACKOFF, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.connector.connect(&self.limits, left).await {
                Ok(connection) => return Ok(connection),
                Err(error) => more_telling(before, error),
            };
            let wait = backoff.next_wait();
            if !error.is_passing() || Instant::now() + wait >= deadline {
                return Err(error.into());
            }
            before = Some(error);
            sleep(wait).await;
        }
    }
}

/// What callers are told of two attempts: a last one for which there was too little time hides
/// nothing of what the server has said before.
fn more_telling(before: Option<NoHost>, last: NoHost) -> NoHost {
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
pub(super) struct Pooled {
    connection: PgConnection,
    made: Instant,
    use_of_it: Use,
    _place: OwnedSemaphorePermit,
}

impl Pooled {
    /// For the next who needs one.
    pub(super) fn give_back(mut self) {
        self.use_of_it.is_finished = true;
        if self.made.elapsed() < LIFETIME {
            let (connection, made) = (self.connection, self.made);
            let resting = Resting { connection, made, since: Instant::now() };
            self.use_of_it.pool.idle().push(resting);
        }
    }
}

impl Deref for Pooled {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Notes that a connection was dropped before the work on it was finished.
struct Use {
    pool: Arc<Inner>,
    is_finished: bool,
}

impl Drop for Use {
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
    use crate::postgres::connector::{HostCause, HostFailure};

    #[test]
    fn what_lay_idle_when_a_session_failed_is_tested_before_it_is_used() {
        let millis = Duration::from_millis;
        assert!(is_trusted(millis(900), None));
        assert!(!is_trusted(millis(1_000), None), "idle for too long");
        assert!(!is_trusted(millis(900), Some(millis(500))), "idle since before the failure");
        assert!(is_trusted(millis(100), Some(millis(500))), "used since then");
    }

    #[test]
    fn an_attempt_without_time_hides_nothing_of_what_the_server_has_said() {
        let failed = |cause| {
            NoHost(vec![HostFailure { options: PgConnectOptions::new_without_pgpass(), cause }])
        };
        let refused = || failed(HostCause::Failed(sqlx::Error::Protocol("too many".to_owned())));
        let silent = || failed(HostCause::Silent(Duration::ZERO));
        let is_silent = |before, last| more_telling(before, last).is_silent();
        assert!(!is_silent(Some(refused()), silent()), "the server has said why");
        assert!(!is_silent(Some(silent()), refused()), "it says why now");
        assert!(!is_silent(None, refused()));
        assert!(is_silent(None, silent()), "it has said nothing");
        assert!(is_silent(Some(silent()), silent()));
    }
}
