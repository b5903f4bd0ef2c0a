//! Send a test and wait for its outcome.

use keeptrusts_webhooks_contracts::api::{Asked, ChannelRef};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::NotificationId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{AppendError, Expected, NewRecord, new_ulid};
use tonic::Status;

use crate::NotificationApi;

const RECORDS_PER_READ: usize = 500;

impl NotificationApi {
    pub(crate) async fn test(&self, asked: Asked<ChannelRef>) -> Result<Notification, Status> {
        let metadata = asked.metadata(asked.request.channel_id);
        let ChannelRef { organization_id: organization, channel_id } = asked.request;
        self.read(&organization, channel_id).await?;
        let now = (self.clock)();
        let id = NotificationId::new(new_ulid(now));
        let new = NewNotification {
            channel_id,
            notification_type: NotificationType::Test,
            endpoint_id: None,
            delivery_id: None,
            count: 1,
            since: now,
            reason: String::new(),
            due_time: now,
            summary: None,
        };
        let record = NewRecord {
            stream: Stream::Notification(id),
            expected: Expected::New,
            fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
        };
        let shard = self.log.shard_of(&organization);
        // Read before the request is appended, so that the outcome cannot be missed.
        let before = *self.log.watch(shard).borrow();
        let appended = self.append(&organization, record, metadata).await?;
        appended.map_err(|refusal| answer::append_failed(AppendError::Refused(refusal)))?;
        self.wait_for_outcome(shard, before, id).await?;
        let found = self.log.store().notification(shard, &organization, id).await;
        let found = found.map_err(answer::query_failed)?;
        found.ok_or_else(|| status::not_found(Resource::Channel, channel_id))
    }

    async fn wait_for_outcome(
        &self,
        shard: Shard,
        before: Position,
        id: NotificationId,
    ) -> Result<(), Status> {
        let mut follower = self.log.follow(shard, before);
        let ended = |fact: &Fact| {
            matches!(
                fact,
                Fact::Notification(NotificationFact::Sent { .. } | NotificationFact::Failed { .. })
            )
        };
        loop {
            let next = self.shutdown.run_until_cancelled(follower.next(RECORDS_PER_READ)).await;
            let records = next.ok_or_else(|| answer::append_failed(AppendError::Closed))?;
            let records = records.map_err(answer::query_failed)?;
            let stream = Stream::Notification(id);
            if records.iter().any(|record| record.stream == stream && ended(&record.fact)) {
                return Ok(());
            }
        }
    }
}
