//! Cancels the waiting deliveries of an endpoint that was deleted, a bounded number at a time, so
//! that the shard's other endpoints do not wait.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_store::{DueKey, NewRecord};

use super::failures::{AppendPolicy, DATABASE_BACKOFF, OnDefect, Streams};
use super::owned_shard::OwnedShard;
use crate::metrics;

const DELIVERIES_PER_APPEND: usize = 250;

/// An attempt may end meanwhile; then the waiting deliveries are read again.
const CANCELLATIONS: AppendPolicy = AppendPolicy {
    what: "cannot cancel waiting deliveries",
    streams: Streams::Shared,
    on_defect: OnDefect::Wait,
};

/// Cancels every waiting delivery of an endpoint. If the process dies meanwhile, the next owner
/// finds the endpoint deleted and continues.
pub(crate) async fn cancel_waiting(shard: Arc<OwnedShard>, endpoint_id: EndpointId) {
    let number = shard.lease.shard();
    let mut backoff = DATABASE_BACKOFF;
    while !shard.stop.is_cancelled() {
        let store = shard.log.store();
        let read = || store.due_deliveries(number, endpoint_id, DueKey::MIN, DELIVERIES_PER_APPEND);
        let read = shard.read("cannot read waiting deliveries", OnDefect::Wait, read);
        let Some(page) = shard.stop.run_until_cancelled(read).await else { return };
        let waiting = page.deliveries;
        let Some(first) = waiting.first() else { return };
        let cancelled = waiting.iter().map(|delivery| {
            let reason = "the endpoint was deleted".to_owned();
            NewRecord::following(delivery, DeliveryFact::Cancelled { reason })
        });
        let metadata = Metadata { correlation_id: endpoint_id.to_string(), ..Metadata::default() };
        let operation = shard.operation(&first.organization_id, cancelled.collect(), metadata);
        match shard.log.append(number, operation).await {
            Ok(_) => {
                metrics::count_cancelled(waiting.len());
                backoff.reset();
            }
            Err(error) => {
                if shard.wait_or_end(CANCELLATIONS, &error, &mut backoff).await.is_err() {
                    return;
                }
            }
        }
    }
}
