//! What a database must do for notification channels and what they are told.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::FromRow;

use crate::error::StoreError;
use crate::tables::{ReadableRow, number, parse, time, word};

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

#[derive(FromRow)]
pub(crate) struct MailRow {
    attempt_start_time: i64,
    attempt_count: i32,
    attempt_recipients: i32,
}

impl ReadableRow for MailRow {
    type Value = MailSent;

    fn value(self) -> Result<MailSent, StoreError> {
        Ok(MailSent {
            time: time(self.attempt_start_time)?,
            messages: number("attempt count", self.attempt_count)?,
            recipients: number("recipients", self.attempt_recipients)?,
        })
    }
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

#[derive(FromRow)]
pub(crate) struct ToldRow {
    pub(crate) notification_id: String,
    pub(crate) channel_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) state: String,
    pub(crate) end_time: Option<i64>,
    pub(crate) count: i64,
    pub(crate) cause: i64,
    pub(crate) opens_incident: bool,
}

impl ReadableRow for ToldRow {
    type Value = Told;

    fn value(self) -> Result<Told, StoreError> {
        use keeptrusts_webhooks_domain::notification::NotificationState;
        let state: NotificationState = word(&self.state)?;
        let end_time = self.end_time.map(time).transpose()?;
        Ok(Told {
            notification_id: parse("notification", &self.notification_id)?,
            channel_id: parse("channel", &self.channel_id)?,
            endpoint_id: parse("endpoint", &self.endpoint_id)?,
            sent_time: end_time.filter(|_| state == NotificationState::Sent),
            is_waiting: state == NotificationState::Waiting,
            count: number("count", self.count)?,
            cause: Position(self.cause),
            opens_incident: self.opens_incident,
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
