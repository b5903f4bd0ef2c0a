//! The access service: keys and sessions, and the audit trail. Each change is decided by the domain,
//! appended to the log as a fact, and read back from the log's projections. The audit trail is read
//! from the log's own records.

mod audit;
mod keys;
mod merged_trail;
mod rate_limit;
mod revocation;

pub use audit::AuditApi;
pub use keys::AccessApi;
