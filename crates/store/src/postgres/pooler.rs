//! Detects a pooler that gives each transaction another session.
//!
//! With one, no setting of a session holds: neither `synchronous_commit`, which makes acknowledged
//! commits durable, nor any time limit. Prepared statements and LISTEN fail as well. A pooler that
//! gives each connection a session of its own does no harm.
//!
//! Decision: docs/decisions/poolers-must-pool-sessions.md

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::connect_error::{ConnectError, HostCause, HostFailure};
use super::connector::Connector;
use super::server_error::ServerError;
use super::session_limits::SessionLimits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Each connection has a session of its own.
    Sessions,
    /// Each transaction may have another session.
    Transactions,
}

/// How many more connections compete for the session of the first one. The first of them detects a
/// pooler that hands out the session that was used last. The second detects one that rotates, if
/// two sessions or fewer are idle; with more, the first does.
const OTHERS: usize = 2;

/// Compares in which sessions the transactions of a few connections run.
pub(super) async fn detect(
    connection: &mut PgConnection,
    connector: &Connector,
    limits: &SessionLimits,
    limit: Duration,
) -> Result<Pooling, ConnectError> {
    let failed = |error| {
        let (options, cause) = (connector.preferred().clone(), HostCause::Failed(error));
        ConnectError(vec![HostFailure { options, cause }])
    };
    let own = backend_pid(connection).await.map_err(failed)?;
    let mut others = Vec::with_capacity(OTHERS);
    for _ in 0..OTHERS {
        others.push(connector.connect(limits, limit).await?);
    }
    let mut open = Vec::with_capacity(OTHERS);
    for other in &mut others {
        // While the transaction is open, no other connection has its session.
        let mut transaction = match other.begin().await {
            // A pooler that gives each statement another session refuses transactions.
            Err(error) if is_refused(&error) => return Ok(Pooling::Transactions),
            begun => begun.map_err(failed)?,
        };
        let other = backend_pid(&mut transaction).await.map_err(failed)?;
        open.push(transaction);
        if other == own || backend_pid(connection).await.map_err(failed)? != own {
            return Ok(Pooling::Transactions);
        }
    }
    Ok(Pooling::Sessions)
}

fn is_refused(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    ServerError::of(error).is_some_and(|error| error.code == PROTOCOL_VIOLATION)
}

/// The id of the server's process behind a connection at this moment.
async fn backend_pid(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // Not prepared: with such a pooler, the statement may be unknown when it is executed.
    let row = sqlx::raw_sql("SELECT pg_backend_pid()::text").fetch_one(connection).await?;
    let text: String = sqlx::Row::try_get(&row, 0)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
