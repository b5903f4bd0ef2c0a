//! Decides who gets an event, from the subscriptions as of a position of the log. Pure.
//!
//! Decision: docs/decisions/routing-moves-a-checkpoint.md

use std::collections::{BTreeSet, HashMap};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::DeliveriesScheduled;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_store::LogDamage;
use keeptrusts_webhooks_store::Record;
use keeptrusts_webhooks_store::log::projection::{Fold, LoadedRows};

#[derive(Default)]
pub(crate) struct Router {
    endpoints: HashMap<EndpointId, Endpoint>,
    subscribers: HashMap<(OrganizationId, EventType), BTreeSet<EndpointId>>,
}

impl Router {
    /// Replaces what is known of an endpoint.
    pub(crate) fn put(&mut self, endpoint: Endpoint) {
        self.remove(endpoint.id);
        for event_type in
            endpoint.config.event_types.iter().filter(|kind| endpoint.subscribes_to(**kind))
        {
            let key = (endpoint.organization_id.clone(), *event_type);
            self.subscribers.entry(key).or_default().insert(endpoint.id);
        }
        self.endpoints.insert(endpoint.id, endpoint);
    }

    /// Removes an endpoint that did not exist yet.
    pub(crate) fn remove(&mut self, id: EndpointId) {
        let Some(known) = self.endpoints.remove(&id) else { return };
        for event_type in known.config.event_types {
            if let Some(ids) =
                self.subscribers.get_mut(&(known.organization_id.clone(), event_type))
            {
                ids.remove(&id);
            }
        }
    }

    /// Applies one more record about an endpoint; returns the endpoint after it.
    pub(crate) fn apply(
        &mut self,
        id: EndpointId,
        record: &Record,
    ) -> Result<&Endpoint, LogDamage> {
        let mut loaded = LoadedRows::default();
        loaded.endpoints.extend(self.endpoints.get(&id).map(|known| (id, known.clone())));
        let mut fold = Fold::new(loaded);
        fold.apply(record)?;
        for endpoint in fold.into_changes().endpoints.into_values() {
            self.put(endpoint);
        }
        Ok(&self.endpoints[&id])
    }

    /// Routes an event that is accepted now.
    pub(crate) fn route(
        &self,
        organization: &OrganizationId,
        (event_type, event_time): (EventType, Timestamp),
        mut new_id: impl FnMut() -> DeliveryId,
    ) -> DeliveriesScheduled {
        let subscribed = self.subscribers.get(&(organization.clone(), event_type));
        let (mut deliveries, mut missed) = (Vec::new(), Vec::new());
        for id in subscribed.into_iter().flatten() {
            match self.endpoints[id].state {
                EndpointState::Disabled => missed.push(*id),
                EndpointState::Active | EndpointState::Degraded => deliveries.push((new_id(), *id)),
            }
        }
        DeliveriesScheduled { event_type, event_time: Some(event_time), deliveries, missed }
    }
}
