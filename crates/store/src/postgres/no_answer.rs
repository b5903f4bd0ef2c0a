//! A server that does not answer.

use std::time::Duration;

/// The server, or the network on the way to it, has been silent for longer than this limit.
#[derive(Debug, thiserror::Error)]
#[error("Postgres did not answer within {0:?}")]
pub(super) struct NoAnswer(pub(super) Duration);
