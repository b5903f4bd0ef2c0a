//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! and <https://adaptivecards.io/explorer/AdaptiveCard.html>.

use keeptrusts_webhooks_vendors::teams::MAX_MESSAGE_BYTES;
use serde_json::Value;

use super::Violations;

/// Checks that a workflow would post the message.
pub fn check_teams_message(body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut violations = Violations::default();
    violations.require(body.len() <= MAX_MESSAGE_BYTES, "a message has at most 28 KB");
    violations.only(&message, &["type", "attachments"], "a message");
    violations.require(message["type"] == "message", "type is message");
    let attachments = message["attachments"].as_array().cloned().unwrap_or_default();
    violations.require(attachments.len() == 1, "there is one attachment");
    for attachment in &attachments {
        let kind = "application/vnd.microsoft.card.adaptive";
        violations.require(attachment["contentType"] == kind, format!("contentType is {kind}"));
        violations.require(attachment["contentUrl"].is_null(), "contentUrl is null");
        card(&mut violations, &attachment["content"]);
    }
    violations.into_result()
}

fn card(violations: &mut Violations, card: &Value) {
    violations.only(card, &["$schema", "type", "version", "body", "actions", "msteams"], "a card");
    violations.require(card["type"] == "AdaptiveCard", "content is an AdaptiveCard");
    violations.require(card["version"] == "1.4", "its version is 1.4");
    let elements = card["body"].as_array().cloned().unwrap_or_default();
    violations.require(!elements.is_empty(), "a card has a body");
    for element in &elements {
        match element["type"].as_str() {
            Some("RichTextBlock") => {
                violations.only(element, &["type", "inlines"], "a RichTextBlock");
                let runs = element["inlines"].as_array().cloned().unwrap_or_default();
                violations.require(!runs.is_empty(), "a RichTextBlock has inlines");
                for run in &runs {
                    violations.require(run["type"] == "TextRun", "an inline is a TextRun");
                    violations.only(run, &["type", "text", "size", "weight", "color"], "a TextRun");
                    violations.text(&run["text"], 10_000, "a TextRun");
                }
            }
            other => violations.require(false, format!("{other:?} is not an element that we send")),
        }
    }
    for action in card["actions"].as_array().into_iter().flatten() {
        violations.require(action["type"] == "Action.OpenUrl", "an action opens an address");
        let is_https = action["url"].as_str().is_some_and(|url| url.starts_with("https://"));
        violations.require(is_https, "an action's address is https");
        violations.text(&action["title"], 100, "an action's title");
    }
}
