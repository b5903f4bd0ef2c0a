//! Microsoft Teams, through a workflow's webhook, as an Adaptive Card:
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! and <https://adaptivecards.io/explorer/AdaptiveCard.html>.
//!
//! Everything is written in TextRuns, which state their style. A TextBlock and a fact read Markdown,
//! and turn a URL into a link.

use keeptrusts_webhooks_vendors::{Truncator, teams};
use serde_json::{Value, json};

use crate::message::{Message, NotificationContext, Severity};

// In characters. All together they are far below [`teams::MAX_MESSAGE_BYTES`].
const MAX_TITLE: usize = 300;
const MAX_FACT: usize = 600;
const MAX_LINE: usize = 300;

/// The body of the POST.
pub fn body(context: &NotificationContext<'_>) -> Vec<u8> {
    let message = Message::of(context);
    let colour = match message.severity {
        Severity::Critical | Severity::Error => "attention",
        Severity::Info => "default",
    };
    let title = text(&message.title, MAX_TITLE);
    let mut elements = vec![rich(vec![json!({
        "type": "TextRun", "text": title, "size": "large", "weight": "bolder", "color": colour,
    })])];
    elements.extend(message.facts.iter().map(|(label, value)| {
        let label = json!({"type": "TextRun", "text": format!("{label}: "), "weight": "bolder"});
        rich(vec![label, run(value, MAX_FACT)])
    }));
    elements.extend(message.lines.iter().map(|line| rich(vec![run(line, MAX_LINE)])));
    elements.push(rich(vec![run(&message.advice, MAX_FACT)]));
    let open = message
        .link
        .map(|link| json!({"type": "Action.OpenUrl", "title": "Open in the console", "url": link}));
    teams::message(elements, Vec::from_iter(open)).to_string().into_bytes()
}

fn rich(runs: Vec<Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn run(value: &str, limit: usize) -> Value {
    json!({"type": "TextRun", "text": text(value, limit)})
}

fn text(value: &str, limit: usize) -> String {
    Truncator::to(limit).truncate(&teams::verbatim(value))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use keeptrusts_webhooks_domain::health::MAX_ENDPOINTS_IN_SUMMARY;
    use keeptrusts_webhooks_domain::ids::EndpointId;
    use keeptrusts_webhooks_domain::limits::MAX_NAME_CHARS;
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{NAME, notification, with_telling};

    #[test]
    fn markup_in_a_name_is_shown_literally() {
        for kind in NotificationType::ALL.iter().copied() {
            let body = with_telling(kind, body);
            let message: Value = serde_json::from_slice(&body).expect("JSON");
            let elements = message["attachments"][0]["content"]["body"].as_array().expect("body");
            for element in elements {
                assert_eq!(element["type"], "RichTextBlock", "the rest reads Markdown");
            }
            let card = message["attachments"][0]["content"]["body"].to_string();
            assert_eq!(card.contains(NAME), kind != NotificationType::Test, "as it is: {card}");
        }
    }

    #[test]
    fn the_longest_names_and_reasons_stay_within_a_message() {
        // In JSON nothing takes more than a control character, of which a name has none.
        let reason = "\u{1}".repeat(20_000);
        for character in ["語", "🙂", "\""] {
            for kind in [NotificationType::DeliveryExhausted, NotificationType::WeeklySummary] {
                let mut long = notification(kind);
                long.new.reason.clone_from(&reason);
                if let Some(summary) = &mut long.new.summary {
                    let worst = summary.worst[0];
                    summary.worst = vec![worst; MAX_ENDPOINTS_IN_SUMMARY];
                }
                let name = character.repeat(MAX_NAME_CHARS);
                let names = HashMap::from([(EndpointId::MIN, name)]);
                let body = body(&NotificationContext {
                    notification: &long,
                    channel_name: "on call",
                    endpoint_names: &names,
                    endpoint_state: None,
                    console_url: Some("https://webhooks.example"),
                });
                let text = String::from_utf8(body).expect("UTF-8");
                let in_utf16 = 2 * text.encode_utf16().count();
                assert!(
                    text.len().max(in_utf16) <= teams::MAX_MESSAGE_BYTES,
                    "{character} {kind:?}"
                );
            }
        }
    }
}
