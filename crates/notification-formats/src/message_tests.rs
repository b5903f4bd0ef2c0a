use keeptrusts_webhooks_domain::health::{EndpointTally, week_of};
use keeptrusts_webhooks_domain::ids::{ChannelId, DeliveryId, NotificationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::notification::NewNotification;

use super::*;

/// With markup of Slack, Markdown and HTML.
pub(crate) const NAME: &str =
    "siem <!channel> @here & *all* _is_ ~well~ `now` :tada: [x](https://evil.example)";

pub(crate) fn time() -> Timestamp {
    "2026-04-23T10:30:00.25Z".parse().expect("a timestamp")
}

/// A notification of a type, about an endpoint if it is about one.
pub(crate) fn notification(notification_type: NotificationType) -> Notification {
    let about_one =
        !matches!(notification_type, NotificationType::Test | NotificationType::WeeklySummary);
    let summary = HealthSummary {
        week: week_of(time()),
        total: AttemptTally { delivered: 1_000, retrying: 30, failed: 2 },
        endpoint_count: 4,
        worst: vec![EndpointTally {
            endpoint_id: EndpointId::MIN,
            tally: AttemptTally { delivered: 5, retrying: 20, failed: 2 },
            median_duration: None,
        }],
    };
    let new = NewNotification {
        channel_id: ChannelId::MIN,
        notification_type,
        endpoint_id: about_one.then_some(EndpointId::MIN),
        delivery_id: about_one.then_some(DeliveryId::MIN),
        count: 3,
        since: time(),
        reason: if about_one { "the receiver answered 500".to_owned() } else { String::new() },
        due_time: time(),
        summary: (notification_type == NotificationType::WeeklySummary).then_some(summary),
        incident: None,
    };
    let organization = "acme".parse().expect("valid");
    Notification::raised(NotificationId::MIN, organization, new, Position(1), time())
}

pub(crate) fn names() -> HashMap<EndpointId, String> {
    HashMap::from([(EndpointId::MIN, NAME.to_owned())])
}

/// Calls `tell` with a context that is the same for every kind.
pub(crate) fn with_telling<T>(
    notification_type: NotificationType,
    tell: impl FnOnce(&NotificationContext<'_>) -> T,
) -> T {
    let (notification, names) = (notification(notification_type), names());
    tell(&NotificationContext {
        notification: &notification,
        channel_name: "on call",
        endpoint_names: &names,
        endpoint_state: None,
        console_url: Some("https://webhooks.example"),
    })
}

#[test]
fn every_message_has_its_facts_advice_and_link() {
    for kind in NotificationType::ALL.iter().copied() {
        let message = with_telling(kind, Message::of);
        assert!(!message.title.contains('\n') && !message.advice.is_empty(), "{kind:?}");
        let text = message.plain_text();
        assert!(text.contains("Organization: acme"), "{text}");
        assert!(text.contains("https://webhooks.example/"), "{text}");
        match kind {
            NotificationType::WeeklySummary => {
                assert!(text.contains("Delivered: 1000") && text.contains(&format!("{NAME}: 5 ")));
            }
            _ => assert!(text.contains("Since: 2026-04-23 10:30:00 UTC"), "{text}"),
        }
        if notification(kind).new.endpoint_id.is_some() {
            assert!(text.contains(NAME), "{text}");
            assert!(text.contains("Reason: the receiver answered 500"), "{text}");
        }
    }
}

#[test]
fn the_title_of_exhausted_deliveries_has_their_number() {
    let message = with_telling(NotificationType::DeliveryExhausted, Message::of);
    assert_eq!(message.title, format!("3 deliveries to {NAME} failed for good"));
    let mut one = notification(NotificationType::DeliveryExhausted);
    one.new.count = 1;
    let context = NotificationContext {
        notification: &one,
        channel_name: "on call",
        endpoint_names: &HashMap::new(),
        endpoint_state: None,
        console_url: None,
    };
    let message = Message::of(&context);
    assert_eq!(message.title, format!("1 delivery to {} failed for good", EndpointId::MIN));
    assert_eq!(message.link, None);
}

#[test]
fn a_notification_that_waited_has_the_endpoints_current_state() {
    let exhausted = notification(NotificationType::DeliveryExhausted);
    let with_state = |endpoint_state| {
        let names = HashMap::new();
        Message::of(&NotificationContext {
            notification: &exhausted,
            channel_name: "on call",
            endpoint_names: &names,
            endpoint_state,
            console_url: None,
        })
    };
    let well = with_state(Some(EndpointState::Active));
    assert_eq!(well.severity, Severity::Info);
    assert!(well.facts.contains(&("Now", "active again".to_owned())), "{:?}", well.facts);
    assert!(well.advice.contains("works again"), "{}", well.advice);
    for state in [None, Some(EndpointState::Degraded), Some(EndpointState::Disabled)] {
        assert_eq!(with_state(state).severity, Severity::Error, "{state:?}");
    }
}
