//! Statements that work on whole tables, and so have no time limit.
//!
//! Decision: docs/decisions/long-statements-are-watched-from-another-connection.md

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::time::sleep;

use super::errors::store_error;
use super::no_answer::NoAnswer;
use super::pool::Pool;
use super::session::fetch;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;

/// How often the server is asked about a long statement.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SettingScope {
    /// Until the transaction ends.
    Transaction,
    /// Until the connection ends.
    Session,
}

/// Removes the time limits of statements and transactions, for work on whole tables.
pub(super) async fn remove_time_limits(
    connection: &mut PgConnection,
    scope: SettingScope,
) -> Result<(), sqlx::Error> {
    // Some servers do not know `transaction_timeout`.
    let query = sqlx::query(
        "SELECT set_config(name, '0', $1)
         FROM pg_settings
         WHERE name IN ('statement_timeout', 'transaction_timeout')",
    );
    query.bind(scope == SettingScope::Transaction).execute(connection).await.map(drop)
}

/// The id of the server's process behind a connection.
pub(super) async fn backend_pid(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await;
    pid.map_err(store_error)
}

/// Waits for statements without a time limit, for as long as the server answers. Meanwhile the
/// server is asked about their backend on another connection. (Nothing else reveals a connection
/// that was cut silently: sqlx gives no access to its socket, to set keep-alive on.) If only the
/// backend is stopped, it looks as if it worked.
pub(super) async fn while_server_answers<T>(
    others: &Pool,
    backend: i32,
    statements: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        outcome = statements => outcome,
        no_answer = wait_for_silence(others, backend) => {
            Err(StoreError::Unavailable(no_answer.into()))
        },
    }
}

/// Ends when the server has been silent for longer than an answer may take. Also ends when the
/// server says that the backend is gone or has waited that long for us: then its answer was lost.
async fn wait_for_silence(others: &Pool, backend: i32) -> NoAnswer {
    let limit = others.limits().answer;
    let (mut last_answer, mut is_known) = (Instant::now(), false);
    loop {
        sleep(WATCH_INTERVAL).await;
        let query = sqlx::query_as::<_, (bool,)>(
            "SELECT state = 'active' OR state_change > clock_timestamp() - $2 * interval '1 second'
             FROM pg_stat_activity
             WHERE pid = $1",
        );
        match fetch(others, query.bind(backend).bind(limit.as_secs_f64())).await {
            Ok(rows) => {
                last_answer = Instant::now();
                let is_at_work = rows.first().map(|(is_at_work,)| *is_at_work);
                // A distributed server may not know what runs on its other machines.
                if is_at_work == Some(false) || (is_at_work.is_none() && is_known) {
                    return NoAnswer(limit);
                }
                is_known |= is_at_work.is_some();
            }
            // An error of the server is an answer, too.
            Err(error) => match error.problem() {
                Some(DatabaseProblem::Silent | DatabaseProblem::Unreachable)
                    if last_answer.elapsed() >= limit =>
                {
                    return NoAnswer(limit);
                }
                Some(DatabaseProblem::Silent | DatabaseProblem::Unreachable) => {}
                _ => last_answer = Instant::now(),
            },
        }
    }
}
