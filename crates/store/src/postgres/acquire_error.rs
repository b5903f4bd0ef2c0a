//! Why a pool could not lend a connection.

use std::time::Duration;

use super::connect_error::ConnectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum AcquireError {
    #[error("all {size} connections were in use for {limit:?} (--database-connections)")]
    InUse { size: u32, limit: Duration },
    #[error("no connection to Postgres: {0}")]
    Connect(#[from] ConnectError),
    /// The store was closed.
    #[error("the connections are closed")]
    Closed,
}
