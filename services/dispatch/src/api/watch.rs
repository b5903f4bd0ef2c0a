//! Changes of deliveries as they are committed, straight from the log.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{ResumePoint, WatchDeliveries, foreign_resume_token};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard, Stream as LogStream};
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

/// A change of a delivery: the record that it comes of, and the attempt that caused it.
struct Change {
    position: Position,
    record: RecordName,
    attempt: Option<Attempt>,
}

impl DispatchApi {
    /// INVALID_ARGUMENT: the organization has no record to resume at.
    pub(super) async fn watch(&self, request: WatchDeliveries) -> Result<Changes, Status> {
        let log = Arc::clone(&self.log);
        let shard = log.shard_of(&request.organization_id);
        let after = match request.resume {
            None => *log.watch(shard).borrow(),
            Some(ResumePoint { record, is_finished }) => {
                let found = log.position_of(shard, &request.organization_id, record).await;
                let at = found.map_err(answer::query_failed)?;
                let at =
                    at.ok_or_else(|| status::invalid_argument(vec![foreign_resume_token()]))?;
                if is_finished { at } else { Position(at.0 - 1) }
            }
        };
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
        Ok(Box::pin(ReceiverStream::new(read)))
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
                // The client has the last change's token, and can resume there.
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
                changes.pop_if(|change| change.attempt.is_none());
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
        let mut told = Vec::new();
        for delivery in deliveries.iter().filter(|delivery| wanted(delivery.endpoint_id)) {
            let changes = changed.remove(&delivery.id).unwrap_or_default();
            told.extend(changes.into_iter().map(|change| (delivery, change)));
        }
        // In the log's order, so that the last change that was received is one to resume from.
        told.sort_by_key(|(_, change)| change.position);
        for (index, (delivery, change)) in told.iter().enumerate() {
            // Of several changes by one record, only the last one lets a client skip the record.
            let next = told.get(index + 1);
            let is_finished = next.is_none_or(|(_, next)| next.position != change.position);
            let answer = v1::WatchDeliveriesResponse {
                delivery: Some((*delivery).into()),
                attempt: change.attempt.as_ref().map(Into::into),
                resume_token: ResumePoint { record: change.record, is_finished }.token(),
            };
            if self.changes.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn changes_in(record: &Record) -> Vec<(DeliveryId, Change)> {
    let change = |attempt| Change { position: record.position, record: record.name(), attempt };
    let scheduled = scheduled_deliveries(record).map(|delivery| (delivery.id, change(None)));
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
        changes.push((id, change(attempt)));
    }
    changes
}
