//! How connections are used and given back, and how long is waited for what.
//!
//! Decision: docs/decisions/long-statements-are-watched-from-another-connection.md

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, Postgres, QueryBuilder, Transaction};
use tokio::time::{sleep, timeout};

use super::errors::{commit_error, is_locked_out, store_error};
use super::pool::{ACQUIRE_LIMIT, Pool, Pooled};
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;

/// A pooled connection that goes back to the pool only when its work was finished.
///
/// If the work failed, or its future was dropped, the connection is closed: the server then
/// rolls back. (A transaction that is dropped while its BEGIN is under way is not rolled back
/// by sqlx 0.9, and a statement that is still running would keep the next user waiting.)
pub(super) struct Session {
    connection: Pooled,
    answer_limit: Duration,
}

impl Session {
    /// A session of this pool's.
    pub(super) async fn of(pool: &Pool) -> Result<Session, StoreError> {
        Session::within(pool, ACQUIRE_LIMIT).await
    }

    /// The same, if it can be had in that time.
    async fn within(pool: &Pool, limit: Duration) -> Result<Session, StoreError> {
        let connection = pool.acquire(limit).await;
        let connection = connection.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Session { connection, answer_limit: pool.limits().answer })
    }

    /// Gives the connection back: no transaction is open, no answer is awaited.
    pub(super) fn finish(self) {
        self.connection.give_back();
    }

    /// How long its answers are waited for.
    pub(super) fn answer_limit(&self) -> Duration {
        self.answer_limit
    }

    /// Begins a transaction.
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

/// The outcome of statements before a commit, for which there is a time limit.
pub(super) async fn answered<T>(
    limit: Duration,
    statements: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let outcome = timeout(limit, statements).await;
    outcome.unwrap_or_else(|_| Err(StoreError::Unavailable(NoAnswer(limit).into())))
}

/// The outcome of a commit, or of a statement that commits itself.
async fn committed<T>(
    limit: Duration,
    commit: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(limit, commit).await {
        Ok(outcome) => outcome.map_err(commit_error),
        Err(_) => Err(StoreError::Unknown(NoAnswer(limit).into())),
    }
}

/// The server, or the way to it, has been silent for so long.
#[derive(Debug, thiserror::Error)]
#[error("Postgres did not answer within {0:?}")]
pub(super) struct NoAnswer(pub(super) Duration);

/// Between two questions to the server while a statement takes its time.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The server's process behind a connection.
pub(super) async fn backend(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let asked = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await;
    asked.map_err(store_error)
}

/// The outcome of statements of one backend that may take as long as they must, unless the server
/// or the way to it is silent: it is asked on another connection meanwhile. (Nothing else tells of
/// a connection that was cut without a word: sqlx gives nobody its socket to set keep-alive on.) A
/// backend that alone was stopped cannot be told from one that works.
pub(super) async fn while_answering<T>(
    others: &Pool,
    backend: i32,
    statements: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        outcome = statements => outcome,
        lost = loss(others, backend) => Err(StoreError::Unavailable(lost.into())),
    }
}

/// Ends when the server has been silent for longer than an answer may take, or says that the
/// backend is gone or has waited that long for us: then its answer was lost.
async fn loss(others: &Pool, backend: i32) -> NoAnswer {
    let limit = others.limits().answer;
    let (mut heard, mut was_seen) = (Instant::now(), false);
    loop {
        sleep(ASK_EVERY).await;
        let ask = sqlx::query_as::<_, (bool,)>(
            "SELECT state = 'active' OR state_change > clock_timestamp() - $2 * interval '1 second'
             FROM pg_stat_activity
             WHERE pid = $1",
        );
        match fetch(others, ask.bind(backend).bind(limit.as_secs_f64())).await {
            Ok(rows) => {
                heard = Instant::now();
                let is_at_work = rows.first().map(|(is_at_work,)| *is_at_work);
                // A distributed server may not know what runs on its other machines.
                if is_at_work == Some(false) || (is_at_work.is_none() && was_seen) {
                    return NoAnswer(limit);
                }
                was_seen |= is_at_work.is_some();
            }
            // A refusal is an answer, too.
            Err(error) => match error.problem() {
                Some(DatabaseProblem::Silent | DatabaseProblem::Unreachable)
                    if heard.elapsed() >= limit =>
                {
                    return NoAnswer(limit);
                }
                Some(DatabaseProblem::Silent | DatabaseProblem::Unreachable) => {}
                _ => heard = Instant::now(),
            },
        }
    }
}

/// Commits a transaction.
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

/// For how long something is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Until the transaction ends.
    Transaction,
    /// Until the connection ends.
    Session,
}

/// Lets statements, and a transaction of many, take as long as there are rows: for what reads or
/// writes all of a table.
pub(super) async fn without_limits(
    connection: &mut PgConnection,
    scope: Scope,
) -> Result<(), sqlx::Error> {
    // Not every server knows both.
    let query = sqlx::query(
        "SELECT set_config(name, '0', $1)
         FROM pg_settings
         WHERE name IN ('statement_timeout', 'transaction_timeout')",
    );
    query.bind(scope == Scope::Transaction).execute(connection).await.map(drop)
}

/// A query whose rows are read as `Row`.
pub(super) type Query<'q, Row> = QueryAs<'q, Postgres, Row, PgArguments>;

/// The rows of a query that changes nothing.
pub(super) async fn fetch<Row>(pool: &Pool, query: Query<'_, Row>) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let session = Session::of(pool).await?;
    fetch_in(session, pool.limits().answer, query).await
}

/// The rows of a statement that changes nothing, as they are.
pub(super) async fn fetch_rows(
    pool: &Pool,
    mut query: QueryBuilder<Postgres>,
) -> Result<Vec<PgRow>, StoreError> {
    fetch_statement(pool, query.build()).await
}

/// The same of a statement with its parameters.
pub(super) async fn fetch_statement(
    pool: &Pool,
    query: sqlx::query::Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, StoreError> {
    let mut session = Session::of(pool).await?;
    let rows = async { query.fetch_all(&mut *session).await.map_err(store_error) };
    let rows = answered(pool.limits().answer, rows).await?;
    session.finish();
    Ok(rows)
}

/// The same within this time, a new connection included.
pub(super) async fn fetch_within<Row>(
    limit: Duration,
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let deadline = Instant::now() + limit;
    let session = Session::within(pool, limit).await?;
    fetch_in(session, left(deadline, pool), query).await
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

/// The same within this time, a new connection included.
pub(super) async fn change_within<Row>(
    limit: Duration,
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let deadline = Instant::now() + limit;
    let changed = match Session::within(pool, limit).await {
        Ok(session) => change_in(session, left(deadline, pool), query).await,
        Err(error) => Err(error),
    };
    pool.note_write(&changed);
    changed
}

/// The same as [`change`] for a statement that is none of the work, whose end is not noted.
pub(super) async fn try_change<Row>(
    pool: &Pool,
    query: Query<'_, Row>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let session = Session::of(pool).await?;
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
    if rows.as_ref().map_or_else(is_locked_out, |_| true) {
        session.finish();
    }
    rows
}

/// How long an answer is waited for if there is no more time than until then.
fn left(deadline: Instant, pool: &Pool) -> Duration {
    pool.limits().answer.min(deadline.saturating_duration_since(Instant::now()))
}
