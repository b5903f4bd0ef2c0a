//! Cancels what waits for an endpoint that was deleted, a bounded number at a time, so that the
//! shard's other endpoints need not wait for it.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_store::{AppendError, DueKey, Expected, NewRecord, Operation, Refusal};

use super::{Backoff, Shard};
use crate::metrics;

const CANCELLED_AT_ONCE: usize = 250;

/// Cancels every waiting delivery of an endpoint. If the process dies on the way, the next
/// owner finds the endpoint deleted and goes on.
pub(crate) async fn cancel_waiting(shard: Arc<Shard>, endpoint_id: EndpointId) {
    let number = shard.lease.shard();
    let mut backoff = Backoff::default();
    while !shard.stop.is_cancelled() {
        let store = shard.log.store();
        let page = match store
            .due_deliveries(number, endpoint_id, DueKey::MIN, CANCELLED_AT_ONCE)
            .await
        {
            Ok(page) => page.deliveries,
            Err(error) => {
                tracing::warn!(shard = %number, %error, "cannot read waiting deliveries, waiting");
                backoff.wait().await;
                continue;
            }
        };
        let Some(organization_id) = page.first().map(|delivery| delivery.organization_id.clone())
        else {
            return;
        };
        let records = page.iter().map(|delivery| NewRecord {
            stream: Stream::Delivery(delivery.id),
            expected: Expected::Version(delivery.version),
            fact: Fact::Delivery(DeliveryFact::Cancelled {
                reason: "the endpoint was deleted".to_owned(),
            }),
        });
        let operation = Operation {
            id: shard.new_operation_id(),
            organization_id,
            records: records.collect(),
            metadata: Metadata {
                actor: "dispatch".into(),
                correlation_id: endpoint_id.to_string(),
                ..Metadata::default()
            },
            bodies: Vec::new(),
            fence: Some(shard.lease.epoch()),
            checkpoint: None,
        };
        match shard.log.append(number, operation).await {
            Ok(_) => {
                metrics::cancelled(page.len());
                backoff.reset();
            }
            // An attempt ended at that moment: read again.
            Err(AppendError::Refused(Refusal::StaleVersion { .. })) => backoff.reset(),
            Err(AppendError::Unavailable(_) | AppendError::Failed) => backoff.wait().await,
            Err(AppendError::Refused(_) | AppendError::InDoubt | AppendError::Closed) => return,
        }
    }
}
