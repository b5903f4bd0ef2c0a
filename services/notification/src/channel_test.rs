//! TestChannel: records a test notification, and waits until dispatch has sent it.

use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{AuthorizedRequest, ChannelRef};
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_domain::channel::{ChannelKind, Destination};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationFact, NotificationState, NotificationType,
};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::request_outcome::RequestOutcome;
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, new_ulid};
use tonic::Status;

use crate::NotificationApi;

/// The retry delay if the mail that has used up the limit is not recorded yet.
const UNRECORDED_MAIL_DELAY: Duration = Duration::from_secs(60);

fn too_much_mail(wait: Duration) -> Status {
    let message = format!(
        "the organization has had as many messages or recipients of mail as it may have in a minute or in 24 hours: the next may be sent in {} s",
        wait.as_secs() + 1
    );
    status::resource_exhausted_for(wait, Reason::MailLimitExceeded, message)
}

impl NotificationApi {
    pub(crate) async fn test(
        &self,
        call: AuthorizedRequest<ChannelRef>,
    ) -> Result<Notification, Status> {
        let metadata = call.metadata(call.request.channel_id);
        let ChannelRef { organization_id: organization, channel_id } = call.request;
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
            expected: ExpectedVersion::New,
            fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
        };
        let outcome = RequestOutcome::of_next_request(&self.log, &organization, &self.shutdown);
        self.writer(&organization).append(record, metadata).await?;
        outcome.wait(Stream::Notification(id), is_outcome).await?;
        let shard = self.log.shard_of(&organization);
        let found = self.log.store().notification(shard, &organization, id).await;
        let found = found.map_err(database_errors::query_failed)?;
        let found = found.ok_or_else(|| status::not_found(Resource::Channel, channel_id))?;
        if found.state == NotificationState::Withdrawn {
            // Dispatch has sent other mail meanwhile, which has used up the limit.
            self.refuse_if_too_much_mail(&organization, &destination).await?;
            return Err(too_much_mail(UNRECORDED_MAIL_DELAY));
        }
        Ok(found)
    }

    /// Refuses a test whose mail dispatch would not send, by the mail that is recorded so far.
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
        let usage = MailUsage::of(sent.map_err(database_errors::query_failed)?);
        let free_at = usage.free_at(now, destination.recipient_count(), &limits);
        match Duration::try_from(free_at.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => Err(too_much_mail(wait)),
            _ => Ok(()),
        }
    }
}

fn is_outcome(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Notification(
            NotificationFact::Sent { .. }
                | NotificationFact::Failed { .. }
                | NotificationFact::Withdrawn { .. }
        )
    )
}
