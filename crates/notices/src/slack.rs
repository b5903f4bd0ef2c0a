//! Slack incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
//! with Block Kit: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::{Value, json};

use crate::message::{Message, Telling};
use crate::text::{chunks, cut};

/// A header block's text.
const MAX_HEADER_CHARS: usize = 150;
/// A section's text.
const MAX_SECTION_CHARS: usize = 3_000;
/// One field of a section.
const MAX_FIELD_CHARS: usize = 2_000;
/// The fields of a section.
const MAX_FIELDS: usize = 10;
/// `text`, which notifications show instead of the blocks.
const MAX_TEXT_CHARS: usize = 4_000;
/// `&amp;` of one character: what is cut to a fifth of a limit is within it when it is escaped.
const ESCAPED: usize = 5;

/// The body of the POST.
pub fn body(telling: &Telling<'_>) -> Vec<u8> {
    let message = Message::of(telling);
    // Plain text means what it is: nothing is escaped in it.
    let header = cut(&message.title, MAX_HEADER_CHARS);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": header, "emoji": false},
    })];
    let fields = message.facts.iter().map(|(label, value)| {
        let value = escaped(&cut(value, (MAX_FIELD_CHARS - 100) / ESCAPED));
        json!({"type": "mrkdwn", "text": format!("*{label}*\n{value}")})
    });
    let fields: Vec<Value> = fields.take(MAX_FIELDS).collect();
    blocks.push(json!({"type": "section", "fields": fields}));
    let lines: Vec<_> = message.lines.iter().map(|line| escaped(&cut(line, 300))).collect();
    blocks.extend(chunks(&lines, MAX_SECTION_CHARS).into_iter().map(section));
    let advice = escaped(&message.advice);
    blocks.push(section(match &message.link {
        Some(link) => format!("{advice}\n<{}|Open in the console>", escaped(link)),
        None => advice,
    }));
    let text = escaped(&cut(&message.title, MAX_TEXT_CHARS / ESCAPED));
    json!({"text": text, "blocks": blocks}).to_string().into_bytes()
}

fn section(text: String) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

/// The three characters that mean something everywhere:
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>. So nobody is mentioned by
/// what an endpoint is called.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{notification, with_telling};

    fn parsed(body: &[u8]) -> Value {
        serde_json::from_slice(body).expect("JSON")
    }

    #[test]
    fn nothing_in_a_name_means_anything_to_slack() {
        for kind in NotificationType::ALL.iter().copied() {
            let message = parsed(&with_telling(kind, body));
            let texts = message["blocks"].to_string() + message["text"].as_str().expect("text");
            let mrkdwn = texts.replace(&message["blocks"][0].to_string(), "");
            assert!(!mrkdwn.contains("<!channel>"), "{kind:?}: {mrkdwn}");
            assert!(mrkdwn.contains("<https://webhooks.example/"), "{kind:?}: the one link");
        }
    }

    #[test]
    fn the_longest_names_and_reasons_stay_within_block_kits_limits() {
        let mut long = notification(NotificationType::DeliveryExhausted);
        long.new.reason = "&".repeat(20_000);
        let name = "<".repeat(100);
        let names = std::collections::HashMap::from([(
            keeptrusts_webhooks_domain::ids::EndpointId::MIN,
            name,
        )]);
        let telling = Telling {
            notification: &long,
            channel_name: "",
            endpoint_names: &names,
            console_url: None,
        };
        let message = parsed(&body(&telling));
        let length = |value: &Value| value.as_str().expect("text").chars().count();
        assert!(length(&message["blocks"][0]["text"]["text"]) <= MAX_HEADER_CHARS);
        for field in message["blocks"][1]["fields"].as_array().expect("fields") {
            assert!(length(&field["text"]) <= MAX_FIELD_CHARS);
        }
        assert!(length(&message["text"]) <= MAX_TEXT_CHARS);
    }
}
