//! Slack incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
//! with Block Kit: <https://docs.slack.dev/reference/block-kit/blocks>.
//!
//! Nothing is written in `mrkdwn`, which would interpret the names of endpoints. The title is plain
//! text. The rest is a rich text block, whose elements state their style and whose texts are literal.

use keeptrusts_webhooks_vendors::{Truncator, slack};
use serde_json::{Value, json};

use crate::message::{Message, NotificationContext};

/// Of a fact's value and of a line, in characters. More is hard to read.
const MAX_TEXT_ELEMENT: usize = 500;

/// The body of the POST.
pub fn body(context: &NotificationContext<'_>) -> Vec<u8> {
    let message = Message::of(context);
    let facts = message
        .facts
        .iter()
        .map(|(label, value)| section(vec![bold(&format!("{label}: ")), plain(&shortened(value))]));
    let mut elements: Vec<Value> = facts.collect();
    if !message.lines.is_empty() {
        let lines = message.lines.iter();
        let items: Vec<_> = lines.map(|line| section(vec![plain(&shortened(line))])).collect();
        elements.push(json!({"type": "rich_text_list", "style": "bullet", "elements": items}));
    }
    let mut last = vec![plain(&message.advice)];
    if let Some(link) = &message.link {
        last.push(plain("\n"));
        last.push(json!({"type": "link", "url": link, "text": "Open in the console"}));
    }
    elements.push(section(last));
    json!({
        "text": slack::text(&message.title),
        // For `text` only: shows its `*` and `_`.
        "mrkdwn": false,
        "blocks": [
            {"type": "header", "text": slack::plain_text(&slack::header(&message.title))},
            {"type": "rich_text", "elements": elements},
        ],
    })
    .to_string()
    .into_bytes()
}

fn section(elements: Vec<Value>) -> Value {
    json!({"type": "rich_text_section", "elements": elements})
}

fn plain(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn bold(text: &str) -> Value {
    json!({"type": "text", "text": text, "style": {"bold": true}})
}

fn shortened(text: &str) -> String {
    Truncator::to(MAX_TEXT_ELEMENT).truncate(text)
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::ids::EndpointId;
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{NAME, notification, with_telling};

    fn parsed(body: &[u8]) -> Value {
        serde_json::from_slice(body).expect("JSON")
    }

    /// Every text of a message, with the type of what it is in.
    fn texts(value: &Value, found: &mut Vec<(String, String)>) {
        if let (Some(kind), Some(text)) = (value["type"].as_str(), value["text"].as_str()) {
            found.push((kind.to_owned(), text.to_owned()));
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
            _ => {}
        }
    }

    #[test]
    fn markup_in_a_name_is_shown_literally() {
        for kind in NotificationType::ALL.iter().copied() {
            let message = parsed(&with_telling(kind, body));
            let mut found = Vec::new();
            texts(&message["blocks"], &mut found);
            let kinds = ["plain_text", "text", "link"];
            assert!(found.iter().all(|(kind, _)| kinds.contains(&kind.as_str())), "{found:?}");
            let is_named = |(kind, text): &&(String, String)| kind != "link" && text.contains(NAME);
            let names = found.iter().filter(is_named).count();
            assert_eq!(names > 0, kind != NotificationType::Test, "as it is: {found:?}");
            assert_eq!(message["mrkdwn"], false);
            assert!(!message["text"].as_str().expect("text").contains('<'), "{kind:?}");
            let links: Vec<_> = found.iter().filter(|(kind, _)| kind == "link").collect();
            assert_eq!(links.len(), 1, "our own: {links:?}");
        }
    }

    #[test]
    fn the_longest_names_and_reasons_stay_within_block_kits_limits() {
        let mut long = notification(NotificationType::DeliveryExhausted);
        long.new.reason = "&".repeat(20_000);
        let name = "<".repeat(100);
        let names = std::collections::HashMap::from([(EndpointId::MIN, name)]);
        let context = NotificationContext {
            notification: &long,
            channel_name: "",
            endpoint_names: &names,
            endpoint_state: None,
            console_url: None,
        };
        let message = parsed(&body(&context));
        let length = |value: &Value| value.as_str().expect("text").chars().count();
        assert!(length(&message["blocks"][0]["text"]["text"]) <= 150);
        let mut found = Vec::new();
        texts(&message["blocks"][1], &mut found);
        for (_, text) in found {
            assert!((1..=MAX_TEXT_ELEMENT).contains(&text.chars().count()));
        }
        assert!(length(&message["text"]) <= 4_000);
    }
}
