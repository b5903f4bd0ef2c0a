//! The gate: decides which requests reach the services.
//!
//! Decision: docs/decisions/no-server-without-a-gate.md

use std::time::Duration;

use http::request::Parts;
use keeptrusts_webhooks_domain::access::Caller;
use tonic::Status;

/// Authenticates and authorizes requests. Every server has a gate, so that none is open by oversight.
/// Handlers find the admitted [`Caller`] among the request's extensions, and answer nobody else.
#[tonic::async_trait]
pub trait Gate: Send + Sync + 'static {
    /// The caller of a request. None: a method that needs no key (health and reflection). An error
    /// is the status that the request is refused with.
    async fn admit(&self, request: &Parts) -> Result<Option<Caller>, Status>;

    /// Waits until an admitted caller loses access, because its key was revoked or its token has
    /// expired. Its open streams end with the returned status.
    async fn access_ended(&self, caller: Caller) -> Status;

    /// Writes what the gate still has to write to the database, for at most `limit`. Called after
    /// the last request, and before the log is closed.
    async fn stop(&self, _limit: Duration) {}
}
