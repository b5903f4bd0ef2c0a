//! Microsoft Teams, through a workflow's webhook, as an Adaptive Card:
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! and <https://adaptivecards.io/explorer/AdaptiveCard.html>.

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
    let facts = message.facts.iter().map(
        |(label, value)| json!({"title": label, "value": escaped(&cut(value, MAX_FACT_CHARS))}),
    );
    let mut elements = vec![
        json!({
            "type": "TextBlock", "text": escaped(&cut(&message.title, MAX_TITLE_CHARS)),
            "size": "large", "weight": "bolder", "color": colour, "wrap": true,
        }),
        json!({"type": "FactSet", "facts": facts.collect::<Vec<_>>()}),
    ];
    elements.extend(message.lines.iter().map(|line| text(&cut(line, MAX_LINE_CHARS))));
    elements.push(text(&message.advice));
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

fn text(text: &str) -> Value {
    json!({"type": "TextBlock", "text": escaped(text), "wrap": true})
}

/// What means something in the part of Markdown that cards know:
/// <https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features>. Dates and
/// times in braces are the other thing that text can become.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '*' | '_' | '[' | ']' | '`' | '#' => escaped.extend(['\\', c]),
            '{' => escaped.push('('),
            '}' => escaped.push(')'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::with_telling;

    #[test]
    fn a_name_becomes_neither_a_link_nor_bold_nor_a_date() {
        for kind in NotificationType::ALL.iter().copied() {
            let body = with_telling(kind, body);
            let message: Value = serde_json::from_slice(&body).expect("JSON");
            let card = message["attachments"][0]["content"]["body"].to_string();
            assert!(!card.contains(" [x](") && !card.contains(" *all*"), "{kind:?}: {card}");
            assert!(body.len() < 28 * 1024);
        }
        assert_eq!(escaped("{{DATE(2017-02-14T06:00Z)}}"), "((DATE(2017-02-14T06:00Z)))");
    }
}
