//! Slack: a message for an incoming webhook
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>), made of blocks
//! (<https://docs.slack.dev/reference/block-kit/blocks>).

use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_vendors::Truncator;
use keeptrusts_webhooks_vendors::slack::{self, MAX_FIELD, MAX_FIELDS};
use serde_json::json;

use crate::fields::Fields;
use crate::payload_event::PayloadEvent;

/// The most characters of a field's name.
const MAX_FIELD_NAME: usize = 100;
/// The most characters of its value. More is hard to read in half of a message's width.
const MAX_FIELD_VALUE: usize = 500;

/// Two to four blocks (Slack allows fifty), and a text for notifications.
pub(crate) fn message(event: &PayloadEvent<'_>) -> Vec<u8> {
    let what = event.event_type.description();
    let fields = Fields::of(event.data, MAX_FIELDS);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": slack::header(what)},
    })];
    if !fields.scalars.is_empty() {
        let fields: Vec<_> = fields
            .scalars
            .iter()
            .map(|(name, value)| slack::plain_text(&field(name, value)))
            .collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !fields.rest.is_empty() {
        let code = slack::mrkdwn(&slack::code_block(&fields.rest));
        blocks.push(json!({"type": "section", "text": code}));
    }
    let context = [slack::plain_text(&context(event)), slack::mrkdwn(&local_time(event))];
    blocks.push(json!({"type": "context", "elements": context}));
    let text = slack::text(&format!("{what} ({})", event.event_type));
    let message = json!({"text": text, "blocks": blocks});
    serde_json::to_vec(&message).expect("texts can be written")
}

fn field(name: &str, value: &str) -> String {
    const { assert!(MAX_FIELD_NAME + MAX_FIELD_VALUE < MAX_FIELD) };
    let (name, value) = (
        Truncator::to(MAX_FIELD_NAME).truncate(name),
        Truncator::to(MAX_FIELD_VALUE).truncate(value),
    );
    format!("{name}\n{value}")
}

fn context(event: &PayloadEvent<'_>) -> String {
    let PayloadEvent { id, organization_id, event_type, .. } = event;
    format!("{event_type} | {organization_id} | {id}")
}

/// The time in the reader's time zone, with our own for programs that do not show that.
fn local_time(event: &PayloadEvent<'_>) -> String {
    let (time, seconds) = (rfc3339::seconds(event.time), event.time.as_second());
    format!("<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{time}>")
}
