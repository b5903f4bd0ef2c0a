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
use keeptrusts_webhooks_process::declarative_resource::DeclarativeResource;
use keeptrusts_webhooks_process::log_writer::WriteError;
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
    /// The test's notification, and whether an earlier call has raised it.
    pub(crate) async fn test(
        &self,
        call: AuthorizedRequest<ChannelRef>,
    ) -> Result<(Notification, bool), Status> {
        let outcome = RequestOutcome::of_next_request(
            &self.log,
            &call.request.organization_id,
            &self.shutdown,
        );
        let repeat = async |stream| Ok(stream);
        let writer = self.writer(&call.request.organization_id);
        let raise = self.raise_test(&call);
        let (stream, duplicate) = writer.once(call.identity.as_ref(), raise, repeat).await?;
        let Stream::Notification(id) = stream else { return Err(status::internal()) };
        let ChannelRef { organization_id: organization, channel_id } = &call.request;
        // The outcome of an earlier call's test may be there already, or be on its way.
        let found = match duplicate {
            true => self.notification(organization, id).await?.filter(has_ended),
            false => None,
        };
        let found = match found {
            Some(found) => found,
            None => {
                outcome.wait(stream, is_outcome).await?;
                let found = self.notification(organization, id).await?;
                found.ok_or_else(|| status::not_found(Resource::Channel, channel_id))?
            }
        };
        if found.state == NotificationState::Withdrawn {
            return Err(self.withdrawn(&call.request, duplicate).await?);
        }
        Ok((found, duplicate))
    }

    /// The status of a test that was not sent: dispatch has sent other mail before, which has used up
    /// the limit.
    async fn withdrawn(&self, test: &ChannelRef, duplicate: bool) -> Result<Status, Status> {
        // Of a deleted channel, tests are withdrawn too.
        let destination =
            self.read(&test.organization_id, test.channel_id).await?.config.destination;
        if duplicate {
            let message = "the first test with this request_id was not sent, because the organization had used up its mail: to send another test, give it another request_id";
            return Ok(status::resource_exhausted(Reason::MailLimitExceeded, message));
        }
        self.refuse_if_too_much_mail(&test.organization_id, &destination).await?;
        Ok(too_much_mail(UNRECORDED_MAIL_DELAY))
    }

    async fn notification(
        &self,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, Status> {
        let shard = self.log.shard_of(organization);
        let found = self.log.store().notification(shard, organization, id).await;
        found.map_err(database_errors::query_failed)
    }

    /// Records a test that dispatch is to send.
    async fn raise_test(&self, call: &AuthorizedRequest<ChannelRef>) -> Result<Stream, WriteError> {
        let ChannelRef { organization_id: organization, channel_id } = &call.request;
        let channel_id = *channel_id;
        let metadata = call.metadata(channel_id);
        let destination = self.read(organization, channel_id).await?.config.destination;
        self.refuse_if_too_much_mail(organization, &destination).await?;
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
        self.writer(organization).append(record, metadata).await?;
        Ok(Stream::Notification(id))
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

fn has_ended(notification: &Notification) -> bool {
    notification.end_time.is_some()
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
