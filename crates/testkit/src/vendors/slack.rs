//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> and the pages on
//! the blocks that we use: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::Value;

use super::Faults;

/// Whether Slack would take the message, and mention nobody.
pub fn check_slack_message(body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_payload".to_owned())?;
    let mut faults = Faults::default();
    faults.only(&message, &["text", "blocks", "mrkdwn"], "a message");
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
            Some("rich_text") => rich_text(&mut faults, block),
            other => faults.demand(false, format!("{other:?} is not a block that we send")),
        }
    }
    faults.into_result()
}

/// <https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>.
fn rich_text(faults: &mut Faults, block: &Value) {
    faults.only(block, &["type", "elements", "block_id"], "a rich text block");
    let elements = block["elements"].as_array().cloned().unwrap_or_default();
    faults.demand(!elements.is_empty(), "a rich text block has elements");
    for element in &elements {
        match element["type"].as_str() {
            Some("rich_text_section") => section(faults, element),
            Some("rich_text_list") => {
                let known = ["type", "style", "elements", "indent", "offset", "border"];
                faults.only(element, &known, "a list");
                let style = element["style"].as_str().unwrap_or_default();
                faults.demand(["bullet", "ordered"].contains(&style), "a list has a style");
                let items = element["elements"].as_array().cloned().unwrap_or_default();
                faults.demand(!items.is_empty(), "a list has elements");
                for item in &items {
                    let kind = &item["type"];
                    faults.demand(kind == "rich_text_section", "a list is of sections");
                    section(faults, item);
                }
            }
            other => faults.demand(false, format!("{other:?} is not an element that we send")),
        }
    }
}

fn section(faults: &mut Faults, section: &Value) {
    faults.only(section, &["type", "elements"], "a section");
    let elements = section["elements"].as_array().cloned().unwrap_or_default();
    faults.demand(!elements.is_empty(), "a section has elements");
    for element in &elements {
        match element["type"].as_str() {
            Some("text") => {
                faults.only(element, &["type", "text", "style"], "a text");
                faults.text(&element["text"], 4_000, "a text");
            }
            Some("link") => {
                faults.only(element, &["type", "url", "text", "unsafe", "style"], "a link");
                let url = element["url"].as_str().unwrap_or_default();
                faults.demand(url.starts_with("https://"), "a link leads to https");
            }
            other => faults.demand(false, format!("{other:?} is not an element that we send")),
        }
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
