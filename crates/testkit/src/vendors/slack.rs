//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> and the pages on
//! the blocks that we use: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::Value;

use super::Faults;

/// Whether Slack would take the message, and mention nobody.
pub fn sending_messages_using_incoming_webhooks(body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_payload".to_owned())?;
    let mut faults = Faults::default();
    faults.only(&message, &["text", "blocks"], "a message");
    faults.text(&message["text"], 40_000, "text");
    mrkdwn(&mut faults, &message["text"]);
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    faults.demand((1..=50).contains(&blocks.len()), "a message has 1 to 50 blocks");
    for block in &blocks {
        match block["type"].as_str() {
            Some("header") => {
                faults.only(block, &["type", "text", "block_id"], "a header");
                faults.demand(block["text"]["type"] == "plain_text", "a header is plain text");
                faults.text(&block["text"]["text"], 150, "a header");
            }
            Some("section") => section(&mut faults, block),
            other => faults.demand(false, format!("{other:?} is not a block that we send")),
        }
    }
    faults.into_result()
}

fn section(faults: &mut Faults, block: &Value) {
    faults.only(block, &["type", "text", "fields", "block_id", "accessory", "expand"], "a section");
    let fields = block["fields"].as_array();
    faults.demand(
        !block["text"].is_null() || fields.is_some_and(|fields| !fields.is_empty()),
        "a section has a text or fields",
    );
    if !block["text"].is_null() {
        faults.demand(block["text"]["type"] == "mrkdwn", "a section's text is mrkdwn");
        faults.text(&block["text"]["text"], 3_000, "a section");
        mrkdwn(faults, &block["text"]["text"]);
    }
    let fields = fields.cloned().unwrap_or_default();
    faults.demand(fields.len() <= 10, "a section has at most 10 fields");
    for field in &fields {
        faults.demand(field["type"] == "mrkdwn", "a field is mrkdwn");
        faults.text(&field["text"], 2_000, "a field");
        mrkdwn(faults, &field["text"]);
    }
}

/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>: `&` begins one of three
/// entities, and `<` a link to an https address (not a mention: `<!…>`, `<@…>`, `<#…>`).
fn mrkdwn(faults: &mut Faults, text: &Value) {
    let text = text.as_str().unwrap_or_default();
    let entities = ["amp;", "lt;", "gt;"];
    for (_, after) in text.match_indices('&').map(|(at, _)| text.split_at(at + 1)) {
        faults.demand(
            entities.iter().any(|entity| after.starts_with(entity)),
            format!("an & that is not escaped in {text:?}"),
        );
    }
    for (_, after) in text.match_indices('<').map(|(at, _)| text.split_at(at + 1)) {
        faults.demand(
            after.starts_with("https://") && after.contains('>'),
            format!("a < that is not escaped in {text:?}"),
        );
    }
}
