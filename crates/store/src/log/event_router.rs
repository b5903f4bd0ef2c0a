//! Routing events at once when they are accepted, where the shard's owner accepts them.

use keeptrusts_webhooks_domain::log::Position;

use crate::log::operation::{Operation, Record, Routing};

/// Decides where events go: the owner of a shard.
pub trait EventRouter: Send + Sync {
    /// Where the event goes that the operation accepts, decided from the endpoints as they are at
    /// the shard's last position. None: it accepts no event, or the owner does not know the
    /// endpoints as they are there.
    fn route(&self, operation: &Operation, last_position: Position) -> Option<Routing>;

    /// This process has appended these records.
    fn appended(&self, records: &[Record]);
}
