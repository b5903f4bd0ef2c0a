//! The append-only log, and the tables that are computed from it.
//!
//! - [`Store`] says what a database must do; its documentation is the specification.
//! - [`log`]: what services use. Group commit and followers; and, pure, the outcome of a batch
//!   ([`log::plan`]) and how records change the tables ([`log::projection`]).
//! - `tables`: each table described once. Both databases derive their statements from it.
//! - [`queries`]: the queries of the tables, and `sql`: the statements that both databases share.
//! - [`vault`]: the data keys that seal an organization's secrets.
//! - [`sqlite`] (embedded, one process) and [`postgres`] (many processes).
//! - [`testing`]: the log in memory, and the conformance suite that holds all three to [`Store`].
//!
//! May depend on: the domain, the contracts (for the encoding of records), the telemetry, sqlx and
//! tokio. Never on tonic servers or HTTP.
//!
//! Decision: docs/decisions/one-log-per-shard.md

pub mod backoff;
mod clock;
mod created_files;
mod database_problem;
pub mod durations;
mod encryption;
mod error;
mod error_chain;
mod ids;
pub mod limits;
pub mod log;
mod migration_state;
mod open_mode;
pub mod postgres;
pub mod queries;
mod random;
mod sql;
pub mod sqlite;
mod store;
mod tables;
pub mod testing;
pub mod vault;

pub use clock::{Clock, system_clock};
pub use database_problem::{DatabaseProblem, ProblemScope};
pub use error::StoreError;
pub use error_chain::ErrorChain;
pub use ids::new_ulid;
pub use keeptrusts_webhooks_fair_queue::Permit;
pub use log::count_limit::{CountLimit, Counted};
pub use log::damage::LogDamage;
pub use log::feed::{OrganizationFollower, OrganizationRecords};
pub use log::operation::{
    AppendOutcome, BodyId, CheckpointAdvance, ExpectedVersion, NewBody, NewRecord, Operation,
    Record, Refusal, Routing,
};
pub use log::other_writes::OtherWrites;
pub use log::rows::EndpointIncident;
pub use log::{AppendError, EventRouter, Follower, Log, RoutingAtAcceptance};
pub use open_mode::OpenMode;
pub use queries::long_reads::{LongReads, TooManyLongReads};
pub use queries::notifications::ExhaustionNotification;
pub use random::random;
pub use store::{
    AppendedBatch, AttemptSum, ClusterState, DueKey, DuePage, ErasedBodies, Lease,
    RebuildDifference, ShardLease, ShardState, SteadyTime, Store, TableVersions, WaitingEndpoints,
};
pub use tables::Rows;
pub use vault::Vault;
