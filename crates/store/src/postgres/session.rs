//! Running statements on pooled connections, with time limits for their answers.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, Postgres, QueryBuilder, Transaction};
use tokio::time::timeout;

use super::errors::{commit_error, is_lock_timeout, store_error};
use super::no_answer::NoAnswer;
use super::pool::{ACQUIRE_LIMIT, Pool, PooledConnection};
use crate::error::StoreError;

/// A pooled connection that goes back to the pool only when its work was finished.
///
/// If the work failed or its future was dropped, the connection is closed, and the server rolls
/// back. (sqlx 0.9 does not roll back a transaction that is dropped while its BEGIN is under way,
/// and a statement that is still running would delay the next user.)
pub(super) struct Session {
    connection: PooledConnection,
    answer_limit: Duration,
}

impl Session {
    /// Waits [`ACQUIRE_LIMIT`] at most.
    pub(super) async fn acquire(pool: &Pool) -> Result<Session, StoreError> {
        Session::acquire_within(ACQUIRE_LIMIT, pool).await
    }

    async fn acquire_within(limit: Duration, pool: &Pool) -> Result<Session, StoreError> {
        let connection = pool.acquire(limit).await;
        let connection = connection.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Session { connection, answer_limit: pool.limits().answer })
    }

    /// Gives the connection back. No transaction may be open, and no answer be awaited.
    pub(super) fn finish(self) {
        self.connection.give_back();
    }

    /// How long to wait for an answer.
    pub(super) fn answer_limit(&self) -> Duration {
        self.answer_limit
    }

    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, StoreError> {
        let limit = self.answer_limit;
        answered(limit, async { self.connection.begin().await.map_err(store_error) }).await
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

/// The outcome of statements before a commit, within a time limit.
pub(super) async fn answered<T>(
    limit: Duration,
    statements: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let outcome = timeout(limit, statements).await;
    outcome.unwrap_or_else(|_| Err(StoreError::Unavailable(NoAnswer(limit).into())))
}

/// The outcome of a commit, or of a statement that commits itself, within a time limit.
pub(super) async fn committed<T>(
    limit: Duration,
    commit: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(limit, commit).await {
        Ok(outcome) => outcome.map_err(commit_error),
        Err(_) => Err(StoreError::Unknown(NoAnswer(limit).into())),
    }
}

pub(super) async fn commit(
    limit: Duration,
    transaction: Transaction<'_, Postgres>,
) -> Result<(), StoreError> {
    committed(limit, transaction.commit()).await
}

/// A value for `set_config('lock_timeout', …)`.
pub(super) fn lock_timeout(limit: Duration) -> String {
    // 0 would be no limit.
    format!("{}ms", limit.as_millis().max(1))
}

pub(super) type Query<'q, Row> = QueryAs<'q, Postgres, Row, PgArguments>;

/// The rows of a query that changes nothing.
pub(super) async fn fetch<Row>(pool: &Pool, query: Query<'_, Row>) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let session = Session::acquire(pool).await?;
    fetch_in(session, pool.limits().answer, query).await
}

/// The same, as the rows of the database.
pub(super) async fn fetch_rows(
    pool: &Pool,
    mut query: QueryBuilder<Postgres>,
) -> Result<Vec<PgRow>, StoreError> {
    fetch_statement(pool, query.build()).await
}

/// The same, of a statement with its parameters.
pub(super) async fn fetch_statement(
    pool: &Pool,
    query: sqlx::query::Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, StoreError> {
    let mut session = Session::acquire(pool).await?;
    let rows = async { query.fetch_all(&mut *session).await.map_err(store_error) };
    let rows = answered(pool.limits().answer, rows).await?;
    session.finish();
    Ok(rows)
}

/// The rows of a query that changes nothing, within this time, a new connection included.
pub(super) async fn fetch_within<Row>(
    limit: Duration,
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let deadline = Instant::now() + limit;
    let session = Session::acquire_within(limit, pool).await?;
    fetch_in(session, answer_limit_until(deadline, pool), query).await
}

async fn fetch_in<Row>(
    mut session: Session,
    limit: Duration,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let rows = async { query.fetch_all(&mut *session).await.map_err(store_error) };
    let rows = answered(limit, rows).await?;
    session.finish();
    Ok(rows)
}

/// The rows that a statement that commits itself returns.
pub(super) async fn change<Row>(pool: &Pool, query: Query<'_, Row>) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let changed = try_change(pool, query).await;
    pool.note_write(&changed);
    changed
}

/// The same as [`change`] within this time, a new connection included.
pub(super) async fn change_within<Row>(
    limit: Duration,
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let deadline = Instant::now() + limit;
    let changed = match Session::acquire_within(limit, pool).await {
        Ok(session) => change_in(session, answer_limit_until(deadline, pool), query).await,
        Err(error) => Err(error),
    };
    pool.note_write(&changed);
    changed
}

/// The same as [`change`], but the outcome is not noted.
pub(super) async fn try_change<Row>(
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let session = Session::acquire(pool).await?;
    change_in(session, pool.limits().answer, query).await
}

async fn change_in<Row>(
    mut session: Session,
    limit: Duration,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let rows = committed(limit, query.fetch_all(&mut *session)).await;
    if rows.as_ref().map_or_else(is_lock_timeout, |_| true) {
        session.finish();
    }
    rows
}

/// How long to wait for an answer if the deadline may come first.
fn answer_limit_until(deadline: Instant, pool: &Pool) -> Duration {
    pool.limits().answer.min(deadline.saturating_duration_since(Instant::now()))
}
