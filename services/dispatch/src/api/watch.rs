//! Changes of deliveries as they are committed, straight from the log.

use std::pin::Pin;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{ResumePoint, WatchDeliveries, foreign_resume_token};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, RecordName, Stream as LogStream};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{Follower, Record};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::DispatchApi;
use super::delivery_states::DeliveryStates;

/// What the method streams.
pub(super) type Changes =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDeliveriesResponse, Status>> + Send>>;

const RECORDS_PER_READ: usize = 500;
/// What a slow client may leave unread before the log waits to be read for it.
const UNREAD_CHANGES: usize = 256;

/// A change of a delivery: the record that it comes of, the delivery after it, and the attempt that
/// caused it.
struct Change {
    position: Position,
    record: RecordName,
    delivery: v1::Delivery,
    attempt: Option<v1::Attempt>,
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
            let states = DeliveryStates::new(Arc::clone(&log), shard);
            let watcher = Watcher { states, request, changes: changes.clone() };
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
    states: DeliveryStates,
    request: WatchDeliveries,
    changes: mpsc::Sender<Result<v1::WatchDeliveriesResponse, Status>>,
}

impl Watcher {
    async fn run(mut self, mut follower: Follower) {
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

    /// Tells every change, in the log's order, so that the last one that was received is one to
    /// resume from.
    async fn tell(&mut self, records: &[Arc<Record>]) -> Result<(), Status> {
        let organization = &self.request.organization_id;
        let own: Vec<_> =
            records.iter().filter(|record| record.organization_id == *organization).collect();
        let wanted = self.request.endpoint_id;
        let mut changes = Vec::new();
        let after = self.states.after(organization, &own).await.map_err(answer::query_failed)?;
        for (record, deliveries) in own.iter().zip(after) {
            let deliveries = deliveries
                .iter()
                .filter(|delivery| wanted.is_none_or(|wanted| wanted == delivery.endpoint_id));
            changes.extend(deliveries.map(|delivery| Change {
                position: record.position,
                record: record.name(),
                delivery: delivery.into(),
                attempt: attempt_of(record).as_ref().map(Into::into),
            }));
        }
        let mut changes = changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            // Of several changes by one record, only the last one lets a client skip the record.
            let next = changes.peek();
            let is_finished = next.is_none_or(|next| next.position != change.position);
            let answer = v1::WatchDeliveriesResponse {
                delivery: Some(change.delivery),
                attempt: change.attempt,
                resume_token: ResumePoint { record: change.record, is_finished }.token(),
            };
            if self.changes.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The attempt that a record tells of.
fn attempt_of(record: &Record) -> Option<Attempt> {
    let (Fact::Delivery(fact), LogStream::Delivery(delivery_id)) = (&record.fact, record.stream)
    else {
        return None;
    };
    fact.attempt().map(|(made, outcome, error, next_attempt_time)| Attempt {
        organization_id: OrganizationId::clone(&record.organization_id),
        delivery_id,
        made: made.clone(),
        outcome,
        error: error.to_owned(),
        next_attempt_time,
    })
}
