//! A plain webhook. The body has the three fields of a delivery's body, and `event` begins with
//! `notification.`.

use keeptrusts_webhooks_domain::health::AttemptTally;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::rfc3339;
use serde_json::{Value, json};

use crate::message::{Message, NotificationContext};

/// For example `notification.endpoint_degraded`.
pub fn event_name(notification: &Notification) -> String {
    format!("notification.{}", notification.new.notification_type.name())
}

/// The body of the POST. The same at each attempt, unless the count has grown meanwhile.
pub fn body(context: &NotificationContext<'_>) -> Vec<u8> {
    let message = Message::of(context);
    let notification = context.notification;
    let new = &notification.new;
    let name = |id| context.endpoint_names.get(&id).cloned();
    let summary = new.summary.as_ref().map(|summary| {
        let endpoints = summary.worst.iter().map(|endpoint| {
            json!({
                "endpoint_id": endpoint.endpoint_id.to_string(),
                "endpoint_name": name(endpoint.endpoint_id),
                "attempts": tally(endpoint.tally),
            })
        });
        json!({
            "start_time": rfc3339::seconds(summary.week.start),
            "end_time": rfc3339::seconds(summary.week.end),
            "attempts": tally(summary.total),
            "endpoint_count": summary.endpoint_count,
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    });
    let data = json!({
        "notification_id": notification.id.to_string(),
        "organization_id": notification.organization_id.as_str(),
        "channel_id": new.channel_id.to_string(),
        "endpoint_id": new.endpoint_id.map(|id| id.to_string()),
        "endpoint_name": new.endpoint_id.and_then(name),
        "delivery_id": new.delivery_id.map(|id| id.to_string()),
        "count": new.count,
        "since": rfc3339::seconds(new.since),
        "reason": new.reason,
        "message": message.title,
        "advice": message.advice,
        "link": message.link,
        "summary": summary,
    });
    let event = json!({
        "event": event_name(notification),
        "timestamp": rfc3339::seconds(notification.create_time),
        "data": data,
    });
    event.to_string().into_bytes()
}

fn tally(tally: AttemptTally) -> Value {
    let AttemptTally { delivered, retrying, failed } = tally;
    json!({"delivered": delivered, "retrying": retrying, "failed": failed})
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{NAME, with_telling};

    #[test]
    fn a_body_has_the_fields_of_a_deliverys_body() {
        for kind in NotificationType::ALL.iter().copied() {
            let body = with_telling(kind, body);
            let parsed: Value = serde_json::from_slice(&body).expect("JSON");
            let fields: Vec<_> = parsed.as_object().expect("an object").keys().collect();
            assert_eq!(fields.len(), 3, "{fields:?}");
            assert_eq!(parsed["event"], format!("notification.{}", kind.name()));
            assert_eq!(parsed["timestamp"], "2026-04-23T10:30:00Z");
            assert_eq!(parsed["data"]["since"], "2026-04-23T10:30:00Z");
        }
        let body = with_telling(NotificationType::DeliveryExhausted, body);
        let parsed: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(parsed["data"]["count"], 3);
        assert_eq!(parsed["data"]["endpoint_name"], NAME);
    }
}
