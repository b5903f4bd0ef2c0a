//! The access service: keys and sessions, and the audit trail. A key is made, used and revoked
//! like everything else here: a decision of the domain, a fact in the log, and what the log's
//! projection then says. The audit trail is read from the log's own records.

mod audit;
mod keys;
mod pace;
mod revoking;
mod trail;

pub use audit::AuditApi;
pub use keys::AccessApi;
