//! WatchDeliveries: changes of deliveries as they are committed, from the log.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::try_unfold;
use keeptrusts_webhooks_contracts::api::{ResumePoint, WatchDeliveries};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::StoreError;
use tokio_stream::Stream;
use tonic::Status;

use super::changes::{Change, OrganizationChanges};
use super::dispatch_api::DispatchApi;
use super::resuming::WatchedRecords;

/// A slow client misses nothing: the log has it.
pub(super) type DeliveryStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDeliveriesResponse, Status>> + Send>>;

struct DeliveryWatcher {
    records: WatchedRecords,
    changes: Arc<OrganizationChanges>,
    /// Empty: all.
    endpoint_ids: Vec<EndpointId>,
    /// The changes that are still to be sent, of the records that were read last.
    pending: VecDeque<(Arc<[Change]>, usize)>,
}

impl DispatchApi {
    /// INVALID_ARGUMENT: the organization has nothing to resume at.
    pub(super) async fn watch(&self, request: WatchDeliveries) -> Result<DeliveryStream, Status> {
        let WatchDeliveries { organization_id: organization, endpoint_ids, resume } = request;
        let records = self.watched_records(&organization, resume).await?;
        let changes = self.watched.changes(&self.log, &organization);
        let watcher = DeliveryWatcher { records, changes, endpoint_ids, pending: VecDeque::new() };
        // The server ends the stream with an error at a shutdown: if the stream just ended here,
        // the client would take it for complete. After an error the client has the last response's
        // token, and can resume there.
        let answers = try_unfold(watcher, |mut watcher| async move {
            let answer = watcher.next().await.map_err(database_errors::query_failed)?;
            Ok(Some((answer, watcher)))
        });
        Ok(Box::pin(answers))
    }
}

impl DeliveryWatcher {
    /// The next change, in the log's order, so that a client can resume after the last one that it
    /// has received; or only a token.
    async fn next(&mut self) -> Result<v1::WatchDeliveriesResponse, StoreError> {
        loop {
            if let Some((changes, at)) = self.pending.pop_front() {
                return Ok(self.response(&changes[at]));
            }
            if let Some(resume_token) = self.records.due_token() {
                return Ok(v1::WatchDeliveriesResponse { resume_token, ..Default::default() });
            }
            let own = self.records.next().await?;
            for changes in self.changes.of(&own).await? {
                let wanted = |change: &Change| {
                    self.endpoint_ids.is_empty() || self.endpoint_ids.contains(&change.endpoint_id)
                };
                let wanted = (0..changes.len()).filter(|at| wanted(&changes[*at]));
                self.pending.extend(wanted.map(|at| (Arc::clone(&changes), at)));
            }
            if !self.pending.is_empty() {
                self.records.show();
            }
        }
    }

    fn response(&self, change: &Change) -> v1::WatchDeliveriesResponse {
        // Of several changes by one record, only the last one lets a client skip the record.
        let next = self.pending.front().map(|(changes, at)| changes[*at].position);
        let is_finished = next.is_none_or(|next| next != change.position);
        let point = if is_finished { ResumePoint::After } else { ResumePoint::Within };
        v1::WatchDeliveriesResponse {
            delivery: Some(change.delivery.clone()),
            attempt: change.attempt.clone(),
            resume_token: point(change.record).token(),
        }
    }
}
