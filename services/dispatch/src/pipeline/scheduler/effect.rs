//! The scheduler's effects, and the results that it learns.

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_store::DueKey;

/// Something that is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Attempt this delivery. [`Scheduler::outcome_committed`](super::Scheduler::outcome_committed)
    /// must follow; [`Scheduler::request_ended`](super::Scheduler::request_ended) should come
    /// before it, as soon as the request is over.
    Send(Box<Delivery>),
    /// Fetch up to `limit` waiting deliveries after a key.
    /// [`Scheduler::fetched`](super::Scheduler::fetched) must follow.
    Fetch {
        endpoint_id: EndpointId,
        /// Tells the answers of different fetches apart.
        fetch_id: u64,
        after: DueKey,
        limit: usize,
    },
    /// Read this delivery again. [`Scheduler::reloaded`](super::Scheduler::reloaded) must follow.
    Reload { organization_id: OrganizationId, endpoint_id: EndpointId, delivery_id: DeliveryId },
}

/// How an attempt ended, as far as pacing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The receiver answered 2xx.
    Succeeded,
    Failed,
}
