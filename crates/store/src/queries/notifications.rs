//! What a database must do for notification channels and what they are told.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::{Notification, NotificationState};

use crate::error::StoreError;
use crate::tables::{parse, time};

/// Channels and notifications, read. They are projections, as endpoints and deliveries are.
#[async_trait]
pub trait NotificationStore: Send + Sync + 'static {
    /// A channel, deleted or not.
    async fn channel(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, StoreError>;

    /// Channels that are not deleted, newest first, with ids below `before`.
    async fn list_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError>;

    /// How many channels an organization has, deleted ones not counted.
    async fn count_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError>;

    /// All of a shard's channels that are not deleted, by ascending id, with ids above `after`.
    async fn shard_channels(
        &self,
        shard: Shard,
        after: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError>;

    /// A notification.
    async fn notification(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, StoreError>;

    /// Notifications, newest first, with ids below `before`; of one channel only, if it is named.
    async fn list_notifications(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        channel: Option<ChannelId>,
        before: NotificationId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError>;

    /// Notifications that wait to be sent to a channel, the earliest first.
    async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError>;

    /// Every channel that notifications wait for, with the earliest time that one is due.
    async fn waiting_channels(
        &self,
        shard: Shard,
    ) -> Result<Vec<(ChannelId, Timestamp)>, StoreError>;

    /// The notifications of exhausted deliveries that wait, and those that ended at `since` or
    /// later: what further ones are grouped by.
    async fn told_of_exhausted(
        &self,
        shard: Shard,
        since: Timestamp,
    ) -> Result<Vec<Told>, StoreError>;

    /// Of every organization that was told of a record after `after`, the last such record.
    async fn last_causes(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<(OrganizationId, Position)>, StoreError>;

    /// The incidents that services may have open, in no order.
    async fn open_incidents(&self, shard: Shard) -> Result<Vec<KnownIncident>, StoreError>;

    /// The mails that were sent for an organization at `since` or later, whatever became of them, in
    /// no order.
    async fn mail_sent(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<MailSent>, StoreError>;
}

/// The incident of an endpoint at a channel's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIncident {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Whose service keeps it.
    pub channel_id: ChannelId,
    /// Of which endpoint.
    pub endpoint_id: EndpointId,
    /// How far it has come.
    pub incident: Incident,
}

/// The mail that a notification's last attempt was, if it was one.
pub(crate) fn last_mail(notification: &Notification) -> Option<MailSent> {
    let attempt = notification.last_attempt.as_ref().filter(|attempt| attempt.recipients > 0)?;
    Some(MailSent {
        time: attempt.start_time,
        messages: attempt.number,
        recipients: attempt.recipients,
    })
}

/// What a channel was told, or is to be told, of exhausted deliveries of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The notification.
    pub notification_id: NotificationId,
    /// Who is told.
    pub channel_id: ChannelId,
    /// Of which endpoint.
    pub endpoint_id: EndpointId,
    /// When it was sent. None: it waits, or was given up.
    pub sent_time: Option<Timestamp>,
    /// Whether it waits.
    pub is_waiting: bool,
    /// How many deliveries it tells of.
    pub count: u32,
    /// The last record that it tells of.
    pub cause: Position,
    /// Whether it opens an incident.
    pub opens_incident: bool,
}

impl Told {
    /// What a notification of exhausted deliveries says. Each has an endpoint.
    pub(crate) fn by(notification: &Notification) -> Option<Told> {
        let Notification { new, state, .. } = notification;
        let sent = *state == NotificationState::Sent;
        Some(Told {
            notification_id: notification.id,
            channel_id: new.channel_id,
            endpoint_id: new.endpoint_id?,
            sent_time: notification.end_time.filter(|_| sent),
            is_waiting: *state == NotificationState::Waiting,
            count: new.count,
            cause: notification.cause,
            opens_incident: new.incident.is_some(),
        })
    }
}

/// A channel and a time from their columns.
pub(crate) fn waiting_channel(
    (id, due_time): (String, i64),
) -> Result<(ChannelId, Timestamp), StoreError> {
    Ok((parse("channel", &id)?, time(due_time)?))
}

/// An organization and a position from their columns.
pub(crate) fn last_cause(
    (organization, cause): (String, i64),
) -> Result<(OrganizationId, Position), StoreError> {
    Ok((parse("organization", &organization)?, Position(cause)))
}
