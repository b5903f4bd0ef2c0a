//! Microsoft Teams, through a workflow's webhook, as an Adaptive Card:
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! and <https://adaptivecards.io/explorer/AdaptiveCard.html>.
//!
//! A TextBlock and a fact read Markdown, and a URL in them becomes a link. A TextRun does not
//! (<https://adaptivecards.io/explorer/TextRun.html>), and says for itself what is bold: everything
//! is written in these.

use serde_json::{Value, json};

use crate::message::{Message, Severity, Telling};
use crate::text::cut;

/// Teams takes messages of up to 28 KB; a title and a fact are cut far below what would fill it.
const MAX_TITLE_CHARS: usize = 300;
const MAX_FACT_CHARS: usize = 600;
const MAX_LINE_CHARS: usize = 300;

/// The body of the POST.
pub fn body(telling: &Telling<'_>) -> Vec<u8> {
    let message = Message::of(telling);
    let colour = match message.severity {
        Severity::Critical | Severity::Error => "attention",
        Severity::Info => "default",
    };
    let title = shown(&cut(&message.title, MAX_TITLE_CHARS));
    let mut elements = vec![rich(vec![json!({
        "type": "TextRun", "text": title, "size": "large", "weight": "bolder", "color": colour,
    })])];
    elements.extend(message.facts.iter().map(|(label, value)| {
        let label = json!({"type": "TextRun", "text": format!("{label}: "), "weight": "bolder"});
        rich(vec![label, run(&cut(value, MAX_FACT_CHARS))])
    }));
    elements.extend(message.lines.iter().map(|line| rich(vec![run(&cut(line, MAX_LINE_CHARS))])));
    elements.push(rich(vec![run(&message.advice)]));
    let open = message
        .link
        .map(|link| json!({"type": "Action.OpenUrl", "title": "Open in the console", "url": link}));
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": elements,
        "actions": Vec::from_iter(open),
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({"type": "message", "attachments": [attachment]}).to_string().into_bytes()
}

fn rich(runs: Vec<Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn run(text: &str) -> Value {
    json!({"type": "TextRun", "text": shown(text)})
}

/// `{{DATE(…)}}` and `{{TIME(…)}}` become dates in every text of a card
/// (<https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features>), unless
/// something stands between the braces: a space that has no width.
fn shown(text: &str) -> String {
    text.replace("{{", "{\u{200b}{")
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{NAME, with_telling};

    #[test]
    fn what_is_in_a_name_is_shown_and_means_nothing() {
        for kind in NotificationType::ALL.iter().copied() {
            let body = with_telling(kind, body);
            let message: Value = serde_json::from_slice(&body).expect("JSON");
            let elements = message["attachments"][0]["content"]["body"].as_array().expect("body");
            for element in elements {
                assert_eq!(element["type"], "RichTextBlock", "the rest reads Markdown");
            }
            let card = message["attachments"][0]["content"]["body"].to_string();
            assert_eq!(card.contains(NAME), kind != NotificationType::Test, "as it is: {card}");
            assert!(body.len() < 28 * 1024);
        }
        assert_eq!(shown("{{DATE(2017-02-14T06:00Z)}}"), "{\u{200b}{DATE(2017-02-14T06:00Z)}}");
    }
}
