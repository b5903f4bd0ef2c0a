//! Who stands before the services and decides which requests reach them.
//!
//! Decision: docs/decisions/no-server-without-a-gate.md

use std::time::Duration;

use http::request::Parts;
use keeptrusts_webhooks_domain::access::Caller;
use tonic::Status;

/// Lets requests in, or turns them away. A server has one from the start, so that none is open
/// by oversight; handlers find the [`Caller`] that it has let in among the request's extensions,
/// and answer nobody without one.
#[tonic::async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Who asks, if the request may go on. None: a method that everybody may call, health and
    /// reflection. The status with which it is turned away otherwise.
    async fn admit(&self, request: &Parts) -> Result<Option<Caller>, Status>;

    /// Waits until a caller that was let in may not be there any more, because its key was
    /// revoked or its token has expired, and says so. A stream that it watches then ends.
    async fn lapse(&self, caller: Caller) -> Status;

    /// Finishes what the gate still has to write, if the database takes it within `patience`. Nobody
    /// is let in any more; the log is closed afterwards.
    async fn stop(&self, _patience: Duration) {}
}
