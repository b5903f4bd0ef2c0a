//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> and the pages on
//! the blocks that we use: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::Value;

use super::Violations;

/// Checks that Slack would accept the message, and that it mentions nobody.
pub fn check_slack_message(body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_payload".to_owned())?;
    let mut violations = Violations::default();
    violations.only(&message, &["text", "blocks", "mrkdwn"], "a message");
    violations.text(&message["text"], 40_000, "text");
    mrkdwn(&mut violations, &message["text"]);
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    violations.require((1..=50).contains(&blocks.len()), "a message has 1 to 50 blocks");
    for block in &blocks {
        match block["type"].as_str() {
            Some("header") => {
                violations.only(block, &["type", "text", "block_id"], "a header");
                violations.require(block["text"]["type"] == "plain_text", "a header is plain text");
                violations.text(&block["text"]["text"], 150, "a header");
            }
            Some("rich_text") => rich_text(&mut violations, block),
            other => violations.require(false, format!("{other:?} is not a block that we send")),
        }
    }
    violations.into_result()
}

/// <https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>.
fn rich_text(violations: &mut Violations, block: &Value) {
    violations.only(block, &["type", "elements", "block_id"], "a rich text block");
    let elements = block["elements"].as_array().cloned().unwrap_or_default();
    violations.require(!elements.is_empty(), "a rich text block has elements");
    for element in &elements {
        match element["type"].as_str() {
            Some("rich_text_section") => section(violations, element),
            Some("rich_text_list") => {
                let known = ["type", "style", "elements", "indent", "offset", "border"];
                violations.only(element, &known, "a list");
                let style = element["style"].as_str().unwrap_or_default();
                violations.require(["bullet", "ordered"].contains(&style), "a list has a style");
                let items = element["elements"].as_array().cloned().unwrap_or_default();
                violations.require(!items.is_empty(), "a list has elements");
                for item in &items {
                    let kind = &item["type"];
                    violations.require(kind == "rich_text_section", "a list is of sections");
                    section(violations, item);
                }
            }
            other => violations.require(false, format!("{other:?} is not an element that we send")),
        }
    }
}

fn section(violations: &mut Violations, section: &Value) {
    violations.only(section, &["type", "elements"], "a section");
    let elements = section["elements"].as_array().cloned().unwrap_or_default();
    violations.require(!elements.is_empty(), "a section has elements");
    for element in &elements {
        match element["type"].as_str() {
            Some("text") => {
                violations.only(element, &["type", "text", "style"], "a text");
                violations.text(&element["text"], 4_000, "a text");
            }
            Some("link") => {
                violations.only(element, &["type", "url", "text", "unsafe", "style"], "a link");
                let url = element["url"].as_str().unwrap_or_default();
                violations.require(url.starts_with("https://"), "a link leads to https");
            }
            other => violations.require(false, format!("{other:?} is not an element that we send")),
        }
    }
}

/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>: `&` begins one of three
/// entities, and `<` a link to an https address (not a mention: `<!…>`, `<@…>`, `<#…>`).
fn mrkdwn(violations: &mut Violations, text: &Value) {
    let text = text.as_str().unwrap_or_default();
    let entities = ["amp;", "lt;", "gt;"];
    for (_, after) in text.match_indices('&').map(|(at, _)| text.split_at(at + 1)) {
        violations.require(
            entities.iter().any(|entity| after.starts_with(entity)),
            format!("an & that is not escaped in {text:?}"),
        );
    }
    for (_, after) in text.match_indices('<').map(|(at, _)| text.split_at(at + 1)) {
        violations.require(
            after.starts_with("https://") && after.contains('>'),
            format!("a < that is not escaped in {text:?}"),
        );
    }
}
