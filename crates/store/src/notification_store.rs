//! What a database must do for notification channels and what they are told.

use async_trait::async_trait;
use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, Destination, NewChannel};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::log::{Position, Shard, Version};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationAttempt, NotificationType,
};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use sqlx::FromRow;

use crate::rows::{Word, number, optional_time, parse, sealed, time, unreadable};
use crate::store::StoreError;

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
pub(crate) struct IncidentRow {
    organization_id: String,
    channel_id: String,
    endpoint_id: String,
    opened: i64,
    closing: i64,
    closed: i64,
}

impl TryFrom<IncidentRow> for KnownIncident {
    type Error = StoreError;

    fn try_from(row: IncidentRow) -> Result<KnownIncident, StoreError> {
        Ok(KnownIncident {
            organization_id: parse("organization", &row.organization_id)?,
            channel_id: parse("channel", &row.channel_id)?,
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            incident: Incident {
                opened: Position(row.opened),
                closing: Position(row.closing),
                closed: Position(row.closed),
            },
        })
    }
}

#[derive(FromRow)]
pub(crate) struct MailRow {
    attempt_start_time: i64,
    attempt_count: i32,
    attempt_recipients: i32,
}

impl TryFrom<MailRow> for MailSent {
    type Error = StoreError;

    fn try_from(row: MailRow) -> Result<MailSent, StoreError> {
        Ok(MailSent {
            time: time(row.attempt_start_time)?,
            messages: number("attempt count", row.attempt_count)?,
            recipients: number("recipients", row.attempt_recipients)?,
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

impl TryFrom<ToldRow> for Told {
    type Error = StoreError;

    fn try_from(row: ToldRow) -> Result<Told, StoreError> {
        use keeptrusts_webhooks_domain::notification::NotificationState;
        let state = NotificationState::from_word(&row.state)?;
        let end_time = optional_time(row.end_time)?;
        Ok(Told {
            notification_id: parse("notification", &row.notification_id)?,
            channel_id: parse("channel", &row.channel_id)?,
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            sent_time: end_time.filter(|_| state == NotificationState::Sent),
            is_waiting: state == NotificationState::Waiting,
            count: number("count", row.count)?,
            cause: Position(row.cause),
            opens_incident: row.opens_incident,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct ChannelRow {
    pub(crate) organization_id: String,
    pub(crate) channel_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) address: String,
    pub(crate) secret_key_id: Option<String>,
    pub(crate) secret_nonce: Option<Vec<u8>>,
    pub(crate) secret_ciphertext: Option<Vec<u8>>,
    pub(crate) subscriptions: String,
    pub(crate) endpoint_ids: String,
    pub(crate) status: String,
    pub(crate) status_reason: String,
    pub(crate) status_time: i64,
    pub(crate) config_version: i64,
    pub(crate) version: i64,
    pub(crate) create_time: i64,
    pub(crate) update_time: i64,
    pub(crate) delete_time: Option<i64>,
}

impl TryFrom<ChannelRow> for Channel {
    type Error = StoreError;

    fn try_from(row: ChannelRow) -> Result<Channel, StoreError> {
        let secret: Option<SealedSecret> =
            match (row.secret_key_id, row.secret_nonce, row.secret_ciphertext) {
                (Some(key_id), Some(nonce), Some(ciphertext)) => {
                    Some(sealed(key_id, nonce, ciphertext)?)
                }
                _ => None,
            };
        let types = row.subscriptions.split(',').map(NotificationType::from_word);
        let ids = row.endpoint_ids.split(',').filter(|id| !id.is_empty());
        Ok(Channel {
            id: parse("channel", &row.channel_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            config: NewChannel {
                name: row.name,
                destination: Destination {
                    kind: Word::from_word(&row.kind)?,
                    address: row.address,
                    secret,
                },
                subscriptions: types.collect::<Result<_, _>>()?,
                endpoint_ids: ids.map(|id| parse("endpoint", id)).collect::<Result<_, _>>()?,
            },
            status: Word::from_word(&row.status)?,
            status_reason: row.status_reason,
            status_time: time(row.status_time)?,
            config_version: Version(row.config_version),
            version: Version(row.version),
            create_time: time(row.create_time)?,
            update_time: time(row.update_time)?,
            delete_time: optional_time(row.delete_time)?,
        })
    }
}

/// Subscriptions as a column holds them.
pub(crate) fn subscriptions_text(channel: &Channel) -> String {
    let types = channel.config.subscriptions.iter().map(|kind| kind.word());
    types.collect::<Vec<_>>().join(",")
}

/// The endpoints that a channel is limited to as a column holds them.
pub(crate) fn endpoint_ids_text(channel: &Channel) -> String {
    let ids = channel.config.endpoint_ids.iter().map(ToString::to_string);
    ids.collect::<Vec<_>>().join(",")
}

#[derive(FromRow)]
pub(crate) struct NotificationRow {
    pub(crate) organization_id: String,
    pub(crate) notification_id: String,
    pub(crate) channel_id: String,
    #[sqlx(rename = "type")]
    pub(crate) notification_type: String,
    pub(crate) endpoint_id: Option<String>,
    pub(crate) delivery_id: Option<String>,
    pub(crate) count: i64,
    pub(crate) since_time: i64,
    pub(crate) reason: String,
    pub(crate) first_due_time: i64,
    pub(crate) summary: Option<Vec<u8>>,
    pub(crate) state: String,
    pub(crate) due_time: Option<i64>,
    pub(crate) attempt_count: i32,
    pub(crate) attempt_start_time: Option<i64>,
    pub(crate) attempt_duration: Option<i64>,
    pub(crate) status_code: Option<i32>,
    pub(crate) error: String,
    pub(crate) cause: i64,
    pub(crate) create_time: i64,
    pub(crate) end_time: Option<i64>,
    pub(crate) version: i64,
    pub(crate) incident: Option<Vec<u8>>,
    pub(crate) attempt_recipients: i32,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = StoreError;

    fn try_from(row: NotificationRow) -> Result<Notification, StoreError> {
        let last_attempt = match (row.attempt_start_time, row.attempt_duration) {
            (Some(start_time), Some(duration)) => Some(NotificationAttempt {
                number: number("attempt count", row.attempt_count)?,
                start_time: time(start_time)?,
                duration: std::time::Duration::from_micros(number("duration", duration)?),
                status_code: row.status_code.map(|code| number("status code", code)).transpose()?,
                recipients: number("recipients", row.attempt_recipients)?,
            }),
            _ => None,
        };
        let summary = row.summary.map(|bytes| {
            let decoded = log_codec::decode_summary(&bytes);
            decoded.map_err(|error| unreadable("summary", error))
        });
        let incident = row.incident.map(|bytes| {
            let decoded = log_codec::decode_incident_action(&bytes);
            decoded.map_err(|error| unreadable("incident", error))
        });
        Ok(Notification {
            id: parse("notification", &row.notification_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            new: NewNotification {
                channel_id: parse("channel", &row.channel_id)?,
                notification_type: Word::from_word(&row.notification_type)?,
                endpoint_id: row.endpoint_id.map(|id| parse("endpoint", &id)).transpose()?,
                delivery_id: row.delivery_id.map(|id| parse("delivery", &id)).transpose()?,
                count: number("count", row.count)?,
                since: time(row.since_time)?,
                reason: row.reason,
                due_time: time(row.first_due_time)?,
                summary: summary.transpose()?,
                incident: incident.transpose()?,
            },
            state: Word::from_word(&row.state)?,
            due_time: optional_time(row.due_time)?,
            last_attempt,
            error: row.error,
            cause: Position(row.cause),
            create_time: time(row.create_time)?,
            end_time: optional_time(row.end_time)?,
            version: Version(row.version),
        })
    }
}

/// The figures of a summary as a column holds them.
pub(crate) fn summary_bytes(notification: &Notification) -> Option<Vec<u8>> {
    notification.new.summary.as_ref().map(log_codec::encode_summary)
}

/// What is done to an incident as a column holds it.
pub(crate) fn incident_bytes(notification: &Notification) -> Option<Vec<u8>> {
    notification.new.incident.as_ref().map(log_codec::encode_incident_action)
}

/// How many recipients the last attempt had.
pub(crate) fn recipients(notification: &Notification) -> u32 {
    notification.last_attempt.as_ref().map_or(0, |attempt| attempt.recipients)
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
