//! Send a test and wait for its outcome.

use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{Asked, ChannelRef};
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_domain::channel::{ChannelKind, Destination};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationFact, NotificationState, NotificationType,
};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{AppendError, Expected, NewRecord, new_ulid};
use tonic::Status;

use crate::NotificationApi;

/// When to try again, if what was sent is not recorded yet.
const UNTIL_COUNTED: Duration = Duration::from_secs(60);

fn too_much_mail(wait: Duration) -> Status {
    let message = format!(
        "the organization has had as many messages or recipients of mail as it may have in a minute or in 24 hours: the next may be sent in {} s",
        wait.as_secs() + 1
    );
    status::resource_exhausted_for(wait, Reason::MailLimitExceeded, message)
}

impl NotificationApi {
    pub(crate) async fn test(&self, asked: Asked<ChannelRef>) -> Result<Notification, Status> {
        let metadata = asked.metadata(asked.request.channel_id);
        let ChannelRef { organization_id: organization, channel_id } = asked.request;
        let destination = self.read(&organization, channel_id).await?.config.destination;
        self.refuse_if_too_much_mail(&organization, &destination).await?;
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
            incident: None,
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
        self.wait_for_outcome(shard, &organization, before, id).await?;
        let found = self.log.store().notification(shard, &organization, id).await;
        let found = found.map_err(answer::query_failed)?;
        let found = found.ok_or_else(|| status::not_found(Resource::Channel, channel_id))?;
        if found.state == NotificationState::Withdrawn {
            // Others were sent meanwhile, which whoever sends has counted before we could.
            self.refuse_if_too_much_mail(&organization, &destination).await?;
            return Err(too_much_mail(UNTIL_COUNTED));
        }
        Ok(found)
    }

    /// Refuses what would not be sent. What counts is what whoever sends has recorded, in whatever
    /// process that is.
    async fn refuse_if_too_much_mail(
        &self,
        organization: &OrganizationId,
        destination: &Destination,
    ) -> Result<(), Status> {
        let Some(limits) = self.mail_limits.filter(|_| destination.kind == ChannelKind::Email)
        else {
            return Ok(());
        };
        let now = (self.clock)();
        let (shard, since) = (self.log.shard_of(organization), MailUsage::counts_since(now));
        let sent = self.log.store().mail_sent(shard, organization, since).await;
        let usage = MailUsage::of(sent.map_err(answer::query_failed)?);
        let free_at = usage.free_at(now, destination.recipient_count(), &limits);
        match Duration::try_from(free_at.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => Err(too_much_mail(wait)),
            _ => Ok(()),
        }
    }

    async fn wait_for_outcome(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: Position,
        id: NotificationId,
    ) -> Result<(), Status> {
        let mut follower = self.log.follow_organization(shard, organization, before);
        let ended = |fact: &Fact| {
            matches!(
                fact,
                Fact::Notification(
                    NotificationFact::Sent { .. }
                        | NotificationFact::Failed { .. }
                        | NotificationFact::Withdrawn { .. }
                )
            )
        };
        loop {
            let next = self.shutdown.run_until_cancelled(follower.next()).await;
            let own = next.ok_or_else(|| answer::append_failed(AppendError::Closed))?;
            let records = own.map_err(answer::query_failed)?.records;
            let stream = Stream::Notification(id);
            if records.iter().any(|record| record.stream == stream && ended(&record.fact)) {
                return Ok(());
            }
        }
    }
}
