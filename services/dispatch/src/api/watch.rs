//! Changes of deliveries as they are committed, straight from the log.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::WatchDeliveries;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream as LogStream};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::projection::scheduled_deliveries;
use keeptrusts_webhooks_store::{Follower, Log, Record};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::DispatchApi;

/// What the method streams.
pub(super) type Changes =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDeliveriesResponse, Status>> + Send>>;

const RECORDS_PER_READ: usize = 500;
/// What a slow client may leave unread before the log waits to be read for it.
const UNREAD_CHANGES: usize = 256;

/// A change of a delivery: where, and the attempt that caused it.
type Change = (Position, Option<Attempt>);

impl DispatchApi {
    pub(super) fn watch(&self, request: WatchDeliveries) -> Changes {
        let log = Arc::clone(&self.log);
        let shard = log.shard_of(&request.organization_id);
        let after = request.after.unwrap_or_else(|| *log.watch(shard).borrow());
        let follower = log.follow(shard, after);
        let (changes, read) = mpsc::channel(UNREAD_CHANGES);
        tokio::spawn(async move {
            let watcher = Watcher { log, shard, request, changes: changes.clone() };
            // A shutdown is the server's to tell: if the stream just ended here, the client would
            // take it for complete.
            tokio::select! {
                () = changes.closed() => {}
                () = watcher.run(follower) => {}
            }
        });
        Box::pin(ReceiverStream::new(read))
    }
}

struct Watcher {
    log: Arc<Log>,
    shard: Shard,
    request: WatchDeliveries,
    changes: mpsc::Sender<Result<v1::WatchDeliveriesResponse, Status>>,
}

impl Watcher {
    async fn run(self, mut follower: Follower) {
        loop {
            let told = match follower.next(RECORDS_PER_READ).await {
                Ok(records) => self.tell(&records).await,
                Err(error) => Err(answer::query_failed(error)),
            };
            if let Err(status) = told {
                // The client has the last position, and can resume there.
                _ = self.changes.send(Err(status)).await;
                return;
            }
        }
    }

    async fn tell(&self, records: &[Arc<Record>]) -> Result<(), Status> {
        let organization = &self.request.organization_id;
        let mut changed = BTreeMap::<DeliveryId, Vec<Change>>::new();
        for record in records.iter().filter(|record| record.organization_id == *organization) {
            for (id, change) in changes_in(record) {
                let changes = changed.entry(id).or_default();
                // Every attempt is told. What no attempt has caused is told by what follows it.
                changes.pop_if(|(_, attempt)| attempt.is_none());
                changes.push(change);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = changed.keys().copied().collect();
        let deliveries = self.log.store().deliveries(self.shard, organization, &ids).await;
        let deliveries = deliveries.map_err(answer::query_failed)?;
        let wanted = |endpoint| self.request.endpoint_id.is_none_or(|wanted| wanted == endpoint);
        let mut answers = Vec::new();
        for delivery in deliveries.iter().filter(|delivery| wanted(delivery.endpoint_id)) {
            for (position, attempt) in changed.remove(&delivery.id).unwrap_or_default() {
                answers.push(v1::WatchDeliveriesResponse {
                    delivery: Some(delivery.into()),
                    attempt: attempt.as_ref().map(Into::into),
                    position: position.0,
                });
            }
        }
        // In the log's order, so that the last position that was received is one to resume from.
        answers.sort_by_key(|answer| answer.position);
        // Of several changes by one record, only the last one lets a client skip the record.
        for index in 1..answers.len() {
            if answers[index - 1].position == answers[index].position {
                answers[index - 1].position -= 1;
            }
        }
        for answer in answers {
            if self.changes.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn changes_in(record: &Record) -> Vec<(DeliveryId, Change)> {
    let scheduled =
        scheduled_deliveries(record).map(|delivery| (delivery.id, (record.position, None)));
    let mut changes: Vec<_> = scheduled.collect();
    if let (Fact::Delivery(fact), LogStream::Delivery(id)) = (&record.fact, record.stream) {
        let attempt = fact.attempt().map(|(made, outcome, error, next_attempt_time)| Attempt {
            organization_id: OrganizationId::clone(&record.organization_id),
            delivery_id: id,
            made: made.clone(),
            outcome,
            error: error.to_owned(),
            next_attempt_time,
        });
        changes.push((id, (record.position, attempt)));
    }
    changes
}
