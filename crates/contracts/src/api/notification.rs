//! Channels and notifications in responses.

use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelKind, ChannelPatch, ChannelState, Destination,
};
use keeptrusts_webhooks_domain::notification::{Notification, NotificationState, NotificationType};

use crate::time::{duration_to_proto, timestamp_to_proto};
use crate::v1;
use crate::v1::channel::Destination as Message;

/// The URLs of PagerDuty's Events API, by the account's region.
/// <https://support.pagerduty.com/main/docs/service-regions>
pub(super) const PAGER_DUTY: [(v1::PagerDutyRegion, &str); 2] = [
    (v1::PagerDutyRegion::Us, "https://events.pagerduty.com/v2/enqueue"),
    (v1::PagerDutyRegion::Eu, "https://events.eu.pagerduty.com/v2/enqueue"),
];

impl From<&Channel> for v1::Channel {
    fn from(channel: &Channel) -> Self {
        v1::Channel {
            id: channel.id.to_string(),
            organization_id: channel.organization_id.to_string(),
            state: v1::channel::State::from(channel.state).into(),
            state_reason: channel.state_reason.clone(),
            state_time: Some(timestamp_to_proto(channel.state_time)),
            etag: channel.etag(),
            create_time: Some(timestamp_to_proto(channel.create_time)),
            update_time: Some(timestamp_to_proto(channel.update_time)),
            ..channel_configuration(channel.config.clone().into())
        }
    }
}

/// A channel with the fields that the patch sets, without secrets.
pub(super) fn channel_configuration(patch: ChannelPatch) -> v1::Channel {
    let ChannelPatch { display_name, destination, subscriptions, endpoint_ids } = patch;
    let types = subscriptions.iter().flatten();
    v1::Channel {
        display_name: display_name.unwrap_or_default(),
        destination: destination.as_ref().map(Message::from),
        subscriptions: types.map(|kind| v1::NotificationType::from(*kind).into()).collect(),
        endpoint_ids: endpoint_ids.iter().flatten().map(ToString::to_string).collect(),
        ..v1::Channel::default()
    }
}

/// The destination without its secret.
impl From<&Destination> for Message {
    fn from(destination: &Destination) -> Self {
        let address = destination.address.clone();
        match destination.kind {
            ChannelKind::Slack => {
                Message::Slack(v1::SlackDestination { url: String::new(), address })
            }
            ChannelKind::Teams => {
                Message::Teams(v1::TeamsDestination { url: String::new(), address })
            }
            ChannelKind::PagerDuty => {
                let known = PAGER_DUTY.iter().find(|(_, url)| *url == address);
                let region = known.map_or(v1::PagerDutyRegion::Unspecified, |(region, _)| *region);
                Message::Pagerduty(v1::PagerDutyDestination {
                    routing_key: String::new(),
                    region: region.into(),
                    url: if known.is_some() { String::new() } else { address },
                })
            }
            ChannelKind::Webhook => {
                Message::Webhook(v1::WebhookDestination { url: address, secret: String::new() })
            }
            ChannelKind::Email => {
                let recipients = address.split(',').map(str::to_owned).collect();
                Message::Email(v1::EmailDestination { recipients })
            }
        }
    }
}

impl From<ChannelState> for v1::channel::State {
    fn from(state: ChannelState) -> Self {
        match state {
            ChannelState::Active => v1::channel::State::Active,
            ChannelState::Failing => v1::channel::State::Failing,
        }
    }
}

impl From<NotificationType> for v1::NotificationType {
    fn from(kind: NotificationType) -> Self {
        match kind {
            NotificationType::DeliveryExhausted => v1::NotificationType::DeliveryExhausted,
            NotificationType::EndpointDegraded => v1::NotificationType::EndpointDegraded,
            NotificationType::EndpointRecovered => v1::NotificationType::EndpointRecovered,
            NotificationType::EndpointDisabled => v1::NotificationType::EndpointDisabled,
            NotificationType::WeeklySummary => v1::NotificationType::WeeklySummary,
            NotificationType::Test => v1::NotificationType::Test,
            NotificationType::IncidentResolved => v1::NotificationType::IncidentResolved,
        }
    }
}

/// None: unspecified.
impl From<v1::NotificationType> for Option<NotificationType> {
    fn from(kind: v1::NotificationType) -> Self {
        match kind {
            v1::NotificationType::Unspecified => None,
            v1::NotificationType::DeliveryExhausted => Some(NotificationType::DeliveryExhausted),
            v1::NotificationType::EndpointDegraded => Some(NotificationType::EndpointDegraded),
            v1::NotificationType::EndpointRecovered => Some(NotificationType::EndpointRecovered),
            v1::NotificationType::EndpointDisabled => Some(NotificationType::EndpointDisabled),
            v1::NotificationType::WeeklySummary => Some(NotificationType::WeeklySummary),
            v1::NotificationType::Test => Some(NotificationType::Test),
            v1::NotificationType::IncidentResolved => Some(NotificationType::IncidentResolved),
        }
    }
}

impl From<NotificationState> for v1::notification::State {
    fn from(state: NotificationState) -> Self {
        match state {
            NotificationState::Waiting => v1::notification::State::Waiting,
            NotificationState::Sent => v1::notification::State::Sent,
            NotificationState::Failed => v1::notification::State::Failed,
            NotificationState::Withdrawn => v1::notification::State::Withdrawn,
        }
    }
}

impl From<&Notification> for v1::Notification {
    fn from(row: &Notification) -> Self {
        let new = &row.new;
        let attempt = row.last_attempt.as_ref();
        v1::Notification {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            channel_id: new.channel_id.to_string(),
            r#type: v1::NotificationType::from(new.notification_type).into(),
            endpoint_id: new.endpoint_id.map(|id| id.to_string()).unwrap_or_default(),
            delivery_id: new.delivery_id.map(|id| id.to_string()).unwrap_or_default(),
            occurrence_count: new.count.into(),
            since_time: Some(timestamp_to_proto(new.since)),
            reason: new.reason.clone(),
            state: v1::notification::State::from(row.state).into(),
            next_attempt_time: row.due_time.map(timestamp_to_proto),
            attempt_count: i32::try_from(row.attempt_count()).unwrap_or(i32::MAX),
            status_code: attempt.and_then(|attempt| attempt.status_code).unwrap_or(0).into(),
            duration: attempt.map(|attempt| duration_to_proto(attempt.duration)),
            error: row.error.clone(),
            create_time: Some(timestamp_to_proto(row.create_time)),
            end_time: row.end_time.map(timestamp_to_proto),
        }
    }
}

/// None: unspecified.
impl From<v1::notification::State> for Option<NotificationState> {
    fn from(state: v1::notification::State) -> Self {
        match state {
            v1::notification::State::Unspecified => None,
            v1::notification::State::Waiting => Some(NotificationState::Waiting),
            v1::notification::State::Sent => Some(NotificationState::Sent),
            v1::notification::State::Failed => Some(NotificationState::Failed),
            v1::notification::State::Withdrawn => Some(NotificationState::Withdrawn),
        }
    }
}
