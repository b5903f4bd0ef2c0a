//! Routing at acceptance: if the owner of a shard accepts an event itself, and knows the endpoints as
//! they are at that moment, the event is routed by the same commit.
//!
//! Decision: docs/decisions/routing-moves-a-checkpoint.md

use std::sync::atomic::Ordering;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::DeliveryId;
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_store::{EventRouter, Operation, Record, Routing, new_ulid};

use super::owned_shard::{ACTOR, OwnedShard};
use super::route::routing_metadata;
use super::spans;
use crate::metrics;

impl EventRouter for OwnedShard {
    fn route(&self, operation: &Operation, last_position: Position) -> Option<Routing> {
        let [record] = &operation.records[..] else { return None };
        let (Stream::Event(event_id), Fact::EventAccepted(accepted)) =
            (record.stream, &record.fact)
        else {
            return None;
        };
        if !self.lease.is_valid() {
            return None;
        }
        let now = (self.clock)();
        let scheduled = {
            let current = self.router.lock();
            if !current.is_current(last_position) {
                return None;
            }
            let event = (accepted.event_type, accepted.event_time);
            let new_id = || DeliveryId::new(new_ulid(now));
            current.router.route(&operation.organization_id, event, new_id)
        };
        let trace = operation.metadata.trace.as_ref();
        Some(Routing {
            as_of: last_position,
            epoch: self.lease.epoch(),
            scheduled,
            metadata: Metadata {
                actor: ACTOR.to_owned(),
                ..routing_metadata(self, event_id, None, trace)
            },
            acted_on: Position(self.processed_position.load(Ordering::Relaxed)),
        })
    }

    fn appended(&self, records: &[Record]) {
        self.router.lock().note_own(records);
        for pair in records.windows(2) {
            let [accepted, routed] = pair else { continue };
            if let (Fact::EventAccepted(event), Fact::DeliveriesScheduled(scheduled)) =
                (&accepted.fact, &routed.fact)
                && event.is_routed
            {
                let deliveries = scheduled.deliveries.len();
                metrics::count_scheduled(deliveries);
                if let (Stream::Event(id), Some(parent)) =
                    (accepted.stream, accepted.metadata.trace.clone())
                {
                    let at = (routed.recorded_at, routed.recorded_at);
                    let event = (id, event.event_type);
                    let context = routed.metadata.trace.clone();
                    let organization = &routed.organization_id;
                    spans::export_routing(organization, context, parent, event, deliveries, at);
                }
            }
        }
    }
}
