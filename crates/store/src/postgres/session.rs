//! Connections: how many there are, how they are set up, and how they are used and given back.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres, Transaction};
use tokio::time::timeout;

use super::errors::{commit_error, store_error, unreachable};
use crate::store::StoreError;

/// How long a call waits for a connection, connecting included. A restart of the server that
/// takes less is not noticed by callers.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// How long a connection may lie idle before it is tested when it is taken. Testing each time
/// would cost every append a round trip; never, an error for each connection that a firewall
/// or a restart has cut meanwhile.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);
/// When a session of this process last ended before its work was finished. What lay idle at that
/// moment may be cut as well: a server that restarts cuts all of its connections.
static LAST_FAILURE: Mutex<Option<Instant>> = Mutex::new(None);
/// How long the server may take to answer. Above its own limits (see [`SETTINGS`]), so that it
/// speaks first unless it is gone: only a machine that vanished without a word is given up on.
const ANSWER_LIMIT: Duration = Duration::from_secs(25);

/// What every session is set to; names that a server does not know are left out.
///
/// - Commits are durable when they are answered: never less than `on`, whatever the server's or
///   the user's default. (`fsync` is the server's own, and must be on.)
/// - Batches of a shard see what the batch before has committed: they wait for the shard's row
///   and then read, so each statement needs a snapshot of its own.
/// - No peer that hangs holds a shard for ever: not one that has stopped in a transaction, not
///   one whose machine is gone, which keep-alive and unacknowledged data reveal.
/// - Every statement has an index. Plans are kept, and tables grow faster than their statistics
///   are brought up to date: a plan made while a table was small must not scan all of it when it
///   no longer is. (The penalty on such plans would make them look worth compiling.)
const SETTINGS: &str = "
    SELECT set_config(wanted.name, wanted.value, false)
    FROM (VALUES
        ('synchronous_commit', CASE current_setting('synchronous_commit')
                                   WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END),
        ('default_transaction_isolation', 'read committed'),
        ('statement_timeout', '20s'),
        ('lock_timeout', '10s'),
        ('idle_in_transaction_session_timeout', '30s'),
        ('tcp_keepalives_idle', '10s'),
        ('tcp_keepalives_interval', '5s'),
        ('tcp_keepalives_count', '3'),
        ('tcp_user_timeout', '25s'),
        ('enable_seqscan', 'off'),
        ('jit', 'off')
    ) AS wanted (name, value)
    JOIN pg_settings USING (name)";

/// A pool that connects when it is first asked to.
pub(super) fn pool(connect_options: PgConnectOptions, max_connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                let last_failure = *LAST_FAILURE.lock().unwrap_or_else(PoisonError::into_inner);
                let since_failure = last_failure.map(|failure| failure.elapsed());
                let trusted = is_trusted(metadata.idle_for, since_failure);
                Ok(trusted || connection.ping().await.is_ok())
            })
        })
        .after_connect(|connection, _| Box::pin(set_up(connection)))
        .connect_lazy_with(connect_options)
}

/// Whether a connection may be used without being tested.
fn is_trusted(idle_for: Duration, since_failure: Option<Duration>) -> bool {
    let used_since = since_failure.is_none_or(|since_failure| idle_for < since_failure);
    idle_for < TRUSTED_IDLE_TIME && used_since
}

/// Brings a new connection's [`SETTINGS`] about.
pub(super) async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SETTINGS).execute(connection).await?;
    Ok(())
}

/// A pooled connection that goes back to the pool only when its work was finished.
///
/// If the work failed, or its future was dropped, the connection is closed: the server then
/// rolls back. (A transaction that is dropped while its BEGIN is under way is not rolled back
/// by sqlx 0.9, and a statement that is still running would keep the next user waiting.)
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    finished: bool,
}

impl Session {
    /// A session of this pool's.
    pub(super) async fn of(pool: &PgPool) -> Result<Session, StoreError> {
        let connection = pool.acquire().await.map_err(unreachable)?;
        Ok(Session { connection, finished: false })
    }

    /// Gives the connection back: no transaction is open, no answer is awaited.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, StoreError> {
        answered(async { self.connection.begin().await.map_err(store_error) }).await
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.finished {
            self.connection.close_on_drop();
            *LAST_FAILURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// The outcome of statements before a commit, for which there is a time limit.
pub(super) async fn answered<T>(
    statements: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let outcome = timeout(ANSWER_LIMIT, statements).await;
    outcome.unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))
}

/// The outcome of a commit, or of a statement that commits itself.
async fn committed<T>(
    commit: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER_LIMIT, commit).await {
        Ok(outcome) => outcome.map_err(commit_error),
        Err(elapsed) => Err(StoreError::Unknown(elapsed.into())),
    }
}

/// Commits a transaction.
pub(super) async fn commit(transaction: Transaction<'_, Postgres>) -> Result<(), StoreError> {
    committed(transaction.commit()).await
}

/// A query whose rows are read as `Row`.
pub(super) type Query<'q, Row> = QueryAs<'q, Postgres, Row, PgArguments>;

/// The rows of a query that changes nothing.
pub(super) async fn fetch<Row>(pool: &PgPool, query: Query<'_, Row>) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut session = Session::of(pool).await?;
    let rows = async { query.fetch_all(&mut *session).await.map_err(store_error) };
    let rows = answered(rows).await?;
    session.finish();
    Ok(rows)
}

/// The rows that a statement that commits itself returns.
pub(super) async fn change<Row>(
    pool: &PgPool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut session = Session::of(pool).await?;
    let rows = committed(query.fetch_all(&mut *session)).await?;
    session.finish();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lay_idle_when_a_session_failed_is_tested_before_it_is_used() {
        let millis = Duration::from_millis;
        assert!(is_trusted(millis(900), None));
        assert!(!is_trusted(millis(1_000), None), "idle for too long");
        assert!(!is_trusted(millis(900), Some(millis(500))), "idle since before the failure");
        assert!(is_trusted(millis(100), Some(millis(500))), "used since then");
    }
}
