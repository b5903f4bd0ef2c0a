//! The log in Postgres: any number of processes on any number of machines.
//!
//! `append` describes an append statement by statement, `session_limits` how every session is set
//! up. Nothing depends on what only a single node can do (sequences across shards, foreign keys,
//! advisory locks after the start), so that the tables can be distributed by shard. Sessions are
//! set up and statements prepared, so a pooler in between must pool sessions, not transactions: see
//! `pooler`.
//!
//! Decision: docs/decisions/every-key-begins-with-the-shard.md

mod acquire_error;
mod append;
mod arguments;
mod bodies;
mod check;
mod connect_error;
mod connector;
mod contended_rows;
mod data_keys;
mod due;
mod erase;
mod errors;
mod hints;
mod key_uses;
mod leases;
mod load;
mod log_reads;
mod long_statements;
mod migrations;
mod no_answer;
mod open;
mod open_error;
mod pool;
mod pooler;
mod problem;
mod rebuild;
mod replays;
mod select;
mod server_error;
mod session;
mod session_limits;
mod store;
mod tables;
mod url;
mod write;

#[cfg(test)]
mod tests;

pub use self::open_error::OpenError;
pub use self::store::{MIN_CONNECTIONS, PostgresOptions, PostgresStore};
pub use self::url::InvalidUrl;
