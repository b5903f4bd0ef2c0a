//! Slack: a message for an incoming webhook,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, of the blocks of
//! <https://docs.slack.dev/reference/block-kit/blocks>.

use keeptrusts_webhooks_domain::rfc3339;
use serde_json::{Value, json};

use crate::cut::Cutting;
use crate::event::Event;
use crate::fields::Fields;

/// The text of a header block, in characters.
const MAX_HEADER: usize = 150;
/// The text of a section, in characters.
const MAX_SECTION: usize = 3_000;
/// The fields of a section.
const MAX_FIELDS: usize = 10;
/// The text of a field, in characters.
const MAX_FIELD: usize = 2_000;
/// The name within it.
const MAX_FIELD_NAME: usize = 100;
/// A value within it. More is hard to read in half of a message's width.
const MAX_FIELD_VALUE: usize = 500;

const CODE: &str = "```";

/// Two to four blocks, of the fifty that a message may have; and a text for notifications.
pub(crate) fn message(event: &Event<'_>) -> Vec<u8> {
    let what = event.event_type.description();
    let fields = Fields::of(event.data, MAX_FIELDS);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": Cutting::to(MAX_HEADER).cut(what)},
    })];
    if !fields.scalars.is_empty() {
        let fields: Vec<_> =
            fields.scalars.iter().map(|(name, value)| plain(field(name, value))).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !fields.rest.is_empty() {
        let code = escaped_to(MAX_SECTION - 2 * (CODE.len() + 1));
        // The block's own end must not be inside of it.
        let rest = code.cut(&fields.rest.replace(CODE, "'''"));
        let text = format!("{CODE}\n{rest}\n{CODE}");
        blocks.push(json!({"type": "section", "text": markdown(text)}));
    }
    let context = [plain(context(event)), markdown(local_time(event))];
    blocks.push(json!({"type": "context", "elements": context}));
    // A text's length is not limited below 40,000 characters.
    let text = format!("{what} ({})", event.event_type);
    let message = json!({"text": text, "blocks": blocks});
    serde_json::to_vec(&message).expect("texts can be written")
}

fn markdown(text: String) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

/// Text that means what it is: in mrkdwn there is no way to show a `*` or a `_` of data.
fn plain(text: String) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn field(name: &str, value: &str) -> String {
    const { assert!(MAX_FIELD_NAME + MAX_FIELD_VALUE < MAX_FIELD) };
    let (name, value) =
        (Cutting::to(MAX_FIELD_NAME).cut(name), Cutting::to(MAX_FIELD_VALUE).cut(value));
    format!("{name}\n{value}")
}

fn context(event: &Event<'_>) -> String {
    let Event { id, organization_id, event_type, .. } = event;
    format!("{event_type} | {organization_id} | {id}")
}

/// The reader's own time, and for programs ours.
fn local_time(event: &Event<'_>) -> String {
    let (time, seconds) = (rfc3339::seconds(event.time), event.time.as_second());
    format!("<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{time}>")
}

/// <https://docs.slack.dev/messaging/formatting-message-text>: the three characters that Slack
/// reads as its own. With them escaped, data can neither mention anybody nor hide a link.
fn escaped_to(limit: usize) -> Cutting {
    Cutting::to(limit).escaping(|character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}
