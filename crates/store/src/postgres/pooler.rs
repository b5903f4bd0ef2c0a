//! Whether a pooler stands between us and the server that gives each transaction another session.
//!
//! With one, nothing that a session is set to holds: not `synchronous_commit`, by which what is
//! acknowledged is durable, nor any time limit; prepared statements and LISTEN are lost as well.
//! A pooler that gives each connection a session for as long as it lasts does no harm.
//!
//! Decision: docs/decisions/poolers-must-pool-sessions.md

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::connector::{Connector, HostCause, HostFailure, NoHost, SessionLimits};
use super::errors::ServerError;

/// What a connection has of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// A session of its own.
    Sessions,
    /// A session for each transaction, which others have between two of them.
    Transactions,
}

/// How many connections look for the session of the first one. A pooler that hands out the session
/// that was used last is found by the first of them; one that takes turns, by the second if there
/// are no more than two idle, and otherwise by the first.
const OTHERS: usize = 2;

/// Finds out, by where the transactions of a few connections run.
pub(super) async fn find(
    connection: &mut PgConnection,
    connector: &Connector,
    limits: &SessionLimits,
    limit: Duration,
) -> Result<Pooling, NoHost> {
    let failed = |error| {
        let (options, cause) = (connector.preferred().clone(), HostCause::Failed(error));
        NoHost(vec![HostFailure { options, cause }])
    };
    let own = session(connection).await.map_err(failed)?;
    let mut others = Vec::with_capacity(OTHERS);
    for _ in 0..OTHERS {
        others.push(connector.connect(limits, limit).await?);
    }
    let mut open = Vec::with_capacity(OTHERS);
    for other in &mut others {
        // While it is open, nobody else has its session.
        let mut transaction = match other.begin().await {
            // One that gives each statement another session refuses transactions.
            Err(error) if is_refused(&error) => return Ok(Pooling::Transactions),
            begun => begun.map_err(failed)?,
        };
        let taken = session(&mut transaction).await.map_err(failed)?;
        open.push(transaction);
        if taken == own || session(connection).await.map_err(failed)? != own {
            return Ok(Pooling::Transactions);
        }
    }
    Ok(Pooling::Sessions)
}

fn is_refused(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    ServerError::of(error).is_some_and(|error| error.code == PROTOCOL_VIOLATION)
}

/// The server's process behind a connection, at this moment.
async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // Not prepared: with such a pooler, the statement may be unknown when it is executed.
    let row = sqlx::raw_sql("SELECT pg_backend_pid()::text").fetch_one(connection).await?;
    let text: String = sqlx::Row::try_get(&row, 0)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
