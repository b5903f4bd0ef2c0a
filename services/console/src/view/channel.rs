//! Notification channels and their notifications, in words.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::channel::Destination;

use super::Badge;
use super::time::{Moment, duration_of};

/// Kinds of channels: the form's value and the label.
pub(crate) const KINDS: [(&str, &str); 5] = [
    ("slack", "Slack"),
    ("teams", "Microsoft Teams"),
    ("pagerduty", "PagerDuty"),
    ("webhook", "Signed webhook"),
    ("email", "E-mail"),
];

/// Types of notifications: the form's value, the label, and the explanation.
pub(crate) const TYPES: [(v1::NotificationType, &str, &str); 5] = [
    (
        v1::NotificationType::DeliveryExhausted,
        "Delivery failed for good",
        "A delivery ran out of retries. One message for each webhook and hour at most.",
    ),
    (
        v1::NotificationType::EndpointDegraded,
        "Webhook degraded",
        "Its last delivery failed for good.",
    ),
    (v1::NotificationType::EndpointRecovered, "Webhook recovered", "It works again."),
    (
        v1::NotificationType::EndpointDisabled,
        "Webhook disabled automatically",
        "Nothing is sent to it any more.",
    ),
    (
        v1::NotificationType::WeeklySummary,
        "Weekly summary",
        "How the week went, on Mondays at 00:00 UTC.",
    ),
];

pub(crate) fn type_name(kind: v1::NotificationType) -> &'static str {
    if kind == v1::NotificationType::IncidentResolved {
        return "Incident resolved";
    }
    let known = TYPES.iter().find(|(known, ..)| *known == kind);
    known.map_or("Test", |(_, name, _)| name)
}

/// A channel on a page.
pub(crate) struct ChannelView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind_name: &'static str,
    /// What may be shown of its destination.
    pub(crate) address: String,
    pub(crate) subscriptions: Vec<&'static str>,
    pub(crate) endpoint_ids: Vec<String>,
    pub(crate) status: Badge,
    pub(crate) is_failing: bool,
    pub(crate) state_reason: String,
    pub(crate) state_time: Option<Moment>,
    pub(crate) create_time: Option<Moment>,
}

impl ChannelView {
    pub(crate) fn of(channel: &v1::Channel) -> ChannelView {
        let (kind, address) = destination(channel.destination.as_ref());
        let kind_name = KINDS.iter().find(|(value, _)| *value == kind).map_or("", |(_, name)| name);
        let is_failing = channel.state() == v1::channel::State::Failing;
        let (word, class) = if is_failing { ("Failing", "bad") } else { ("Active", "good") };
        ChannelView {
            id: channel.id.clone(),
            name: channel.display_name.clone(),
            kind_name,
            address,
            subscriptions: channel.subscriptions().map(type_name).collect(),
            endpoint_ids: channel.endpoint_ids.clone(),
            status: Badge { word, class },
            is_failing,
            state_reason: channel.state_reason.clone(),
            state_time: Moment::of(channel.state_time.as_ref()),
            create_time: Moment::of(channel.create_time.as_ref()),
        }
    }
}

/// Where a PagerDuty account is.
pub(crate) fn region(region: v1::PagerDutyRegion) -> &'static str {
    match region {
        v1::PagerDutyRegion::Eu => "EU",
        v1::PagerDutyRegion::Us | v1::PagerDutyRegion::Unspecified => "US",
    }
}

/// The kind's form value, and what may be shown of the address.
pub(crate) fn destination(destination: Option<&Destination>) -> (&'static str, String) {
    match destination {
        Some(Destination::Slack(slack)) => ("slack", slack.address.clone()),
        Some(Destination::Teams(teams)) => ("teams", teams.address.clone()),
        Some(Destination::Pagerduty(pager_duty)) => {
            let address = match pager_duty.url.as_str() {
                "" => format!("PagerDuty, {}", region(pager_duty.region())),
                url => url.to_owned(),
            };
            ("pagerduty", address)
        }
        Some(Destination::Webhook(webhook)) => ("webhook", webhook.url.clone()),
        Some(Destination::Email(email)) => ("email", email.recipients.join(", ")),
        None => ("", String::new()),
    }
}

/// A notification on the list.
pub(crate) struct NotificationRow {
    pub(crate) id: String,
    pub(crate) time: Option<Moment>,
    pub(crate) what: &'static str,
    pub(crate) count: i64,
    pub(crate) endpoint_id: String,
    pub(crate) state: Badge,
    pub(crate) attempts: i32,
    pub(crate) status_code: i32,
    pub(crate) took: Option<String>,
    pub(crate) error: String,
    pub(crate) next_attempt_time: Option<Moment>,
}

impl NotificationRow {
    pub(crate) fn of(notification: &v1::Notification) -> NotificationRow {
        let (word, class) = match notification.state() {
            v1::notification::State::Sent => ("Sent", "good"),
            v1::notification::State::Failed => ("Failed", "bad"),
            v1::notification::State::Waiting if notification.attempt_count > 0 => {
                ("Retrying", "warn")
            }
            v1::notification::State::Waiting => ("Waiting", "neutral"),
            v1::notification::State::Withdrawn => ("Withdrawn", "neutral"),
            v1::notification::State::Unspecified => ("Unknown", "neutral"),
        };
        NotificationRow {
            id: notification.id.clone(),
            time: Moment::of(notification.create_time.as_ref()),
            what: type_name(notification.r#type()),
            count: notification.occurrence_count,
            endpoint_id: notification.endpoint_id.clone(),
            state: Badge { word, class },
            attempts: notification.attempt_count,
            status_code: notification.status_code,
            took: duration_of(notification.duration.as_ref()),
            error: notification.error.clone(),
            next_attempt_time: Moment::of(notification.next_attempt_time.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_channel_has_no_secret() {
        let slack = v1::SlackDestination {
            url: "https://hooks.slack.com/secret".to_owned(),
            address: "https://hooks.slack.com".to_owned(),
        };
        let channel = v1::Channel {
            destination: Some(Destination::Slack(slack)),
            state: v1::channel::State::Failing.into(),
            state_reason: "no route".to_owned(),
            subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
            ..Default::default()
        };
        let view = ChannelView::of(&channel);
        assert_eq!((view.kind_name, view.address.as_str()), ("Slack", "https://hooks.slack.com"));
        assert_eq!((view.status.word, view.subscriptions), ("Failing", vec!["Webhook degraded"]));
    }
}
