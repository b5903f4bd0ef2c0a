//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.

use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_vendors::Truncator;
use keeptrusts_webhooks_vendors::pager_duty::{self, CLIENT};
use serde_json::{Map, Value, json};

use crate::message::{Message, NotificationContext, Severity};

/// Of each custom detail, in characters. Far less than fills an event.
const MAX_DETAIL: usize = 4_000;

/// The body of the POST. It contains the key.
pub fn body(context: &NotificationContext<'_>, routing_key: &Secret) -> Vec<u8> {
    let new = &context.notification.new;
    let resolves = match &new.incident {
        Some(IncidentAction::Close | IncidentAction::CloseAt(_)) => true,
        Some(IncidentAction::Open) => false,
        None => new.notification_type == NotificationType::EndpointRecovered,
    };
    event(context, routing_key, resolves)
}

/// The body of a second POST, right after the first. A notification without an endpoint has no later
/// event that could resolve its incident. `None` with an endpoint, whose incident is resolved when it
/// works again.
pub fn resolution(context: &NotificationContext<'_>, routing_key: &Secret) -> Option<Vec<u8>> {
    let is_about_none = context.notification.new.endpoint_id.is_none();
    is_about_none.then(|| event(context, routing_key, true))
}

fn event(context: &NotificationContext<'_>, routing_key: &Secret, resolves: bool) -> Vec<u8> {
    let message = Message::of(context);
    let notification = context.notification;
    let new = &notification.new;
    let severity = match message.severity {
        Severity::Critical => pager_duty::Severity::Critical,
        Severity::Error => pager_duty::Severity::Error,
        Severity::Info => pager_duty::Severity::Info,
    };
    let mut details: Map<String, Value> = message
        .facts
        .iter()
        .map(|(label, value)| {
            ((*label).to_owned(), json!(Truncator::to(MAX_DETAIL).truncate(value)))
        })
        .collect();
    if !message.lines.is_empty() {
        let lines = Truncator::to(MAX_DETAIL).truncate(&message.lines.join("\n"));
        details.insert("Endpoints that did worst".to_owned(), json!(lines));
    }
    details.insert("What to do".to_owned(), json!(message.advice));
    let link = message.link.map(|link| json!({"href": link, "text": "Open in the console"}));
    let mut event = json!({
        "routing_key": routing_key.expose(),
        "event_action": if resolves { "resolve" } else { "trigger" },
        "dedup_key": dedup_key(context),
        "payload": {
            "summary": pager_duty::summary(&message.title),
            "source": format!("keeptrusts-webhooks/{}", notification.organization_id),
            "severity": severity.name(),
            "timestamp": rfc3339::seconds(new.since),
            "component": new.endpoint_id.map(|id| id.to_string()),
            "group": notification.organization_id.as_str(),
            "class": new.notification_type.name(),
            "custom_details": details,
        },
        "links": Vec::from_iter(link),
        "client": CLIENT,
    });
    if let (Some(url), Some(event)) = (context.console_url, event.as_object_mut()) {
        event.insert("client_url".to_owned(), json!(url));
    }
    event.to_string().into_bytes()
}

/// Notifications about one endpoint share an incident, which its recovery resolves. A notification
/// without an endpoint has an incident of its own. At most [`pager_duty::MAX_DEDUP_KEY`] characters.
fn dedup_key(context: &NotificationContext<'_>) -> String {
    let notification = context.notification;
    let organization = &notification.organization_id;
    match notification.new.endpoint_id {
        Some(id) => format!("keeptrusts-webhooks/{organization}/{id}"),
        None => format!("keeptrusts-webhooks/{organization}/{}", notification.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::{names, notification, with_telling};

    fn event(kind: NotificationType) -> Value {
        let key = Secret::opened("k".repeat(32));
        let body = with_telling(kind, |context| body(context, &key));
        serde_json::from_slice(&body).expect("JSON")
    }

    #[test]
    fn notifications_of_an_endpoint_are_one_incident_which_its_recovery_resolves() {
        let triggers = [
            NotificationType::DeliveryExhausted,
            NotificationType::EndpointDegraded,
            NotificationType::EndpointDisabled,
        ];
        let resolve = event(NotificationType::EndpointRecovered);
        assert_eq!(resolve["event_action"], "resolve");
        for kind in triggers {
            let trigger = event(kind);
            assert_eq!(trigger["event_action"], "trigger");
            assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
        }
        assert_eq!(event(NotificationType::EndpointDisabled)["payload"]["severity"], "critical");
        assert_eq!(resolve["payload"]["timestamp"], "2026-04-23T10:30:00Z", "whole seconds");
        for kind in [NotificationType::Test, NotificationType::WeeklySummary] {
            let other = event(kind);
            assert_eq!(other["payload"]["severity"], "info");
            assert_ne!(other["dedup_key"], resolve["dedup_key"]);
        }
    }

    #[test]
    fn a_closed_incident_is_resolved_whatever_the_type_of_the_notification_is() {
        let key = Secret::opened("k".repeat(32));
        let action = |incident| {
            let mut notification = notification(NotificationType::IncidentResolved);
            notification.new.incident = incident;
            let context = NotificationContext {
                notification: &notification,
                channel_name: "on call",
                endpoint_names: &names(),
                endpoint_state: None,
                console_url: None,
            };
            let event: Value = serde_json::from_slice(&body(&context, &key)).expect("JSON");
            (event["event_action"].clone(), event["dedup_key"].clone())
        };
        let trigger = event(NotificationType::EndpointDisabled);
        let (closes, dedup_key) = action(Some(IncidentAction::Close));
        assert_eq!((closes, &dedup_key), (json!("resolve"), &trigger["dedup_key"]));
        assert_eq!(action(Some(IncidentAction::Open)).0, "trigger");
    }

    #[test]
    fn the_dedup_key_of_the_longest_organization_id_is_within_the_limit() {
        let key = Secret::opened("k".repeat(32));
        for kind in [NotificationType::EndpointDegraded, NotificationType::Test] {
            let mut notification = notification(kind);
            notification.organization_id = "x".repeat(64).parse().expect("an id");
            let context = NotificationContext {
                notification: &notification,
                channel_name: "on call",
                endpoint_names: &names(),
                endpoint_state: None,
                console_url: None,
            };
            let event: Value = serde_json::from_slice(&body(&context, &key)).expect("JSON");
            let dedup_key = event["dedup_key"].as_str().expect("a text");
            assert!(dedup_key.len() <= pager_duty::MAX_DEDUP_KEY, "{dedup_key}");
        }
    }

    #[test]
    fn a_notification_without_an_endpoint_is_resolved_at_once() {
        let key = Secret::opened("k".repeat(32));
        for kind in NotificationType::ALL.iter().copied() {
            let second = with_telling(kind, |context| resolution(context, &key));
            let is_about_none =
                matches!(kind, NotificationType::Test | NotificationType::WeeklySummary);
            assert_eq!(second.is_some(), is_about_none, "{kind:?}");
            let Some(second) = second else { continue };
            let (first, second): (Value, Value) =
                (event(kind), serde_json::from_slice(&second).expect("JSON"));
            assert_eq!(
                (&first["event_action"], &second["event_action"]),
                (&json!("trigger"), &json!("resolve"))
            );
            assert_eq!(first["dedup_key"], second["dedup_key"]);
        }
    }
}
