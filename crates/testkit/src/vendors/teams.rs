//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! and <https://adaptivecards.io/explorer/AdaptiveCard.html>.

use serde_json::Value;

use super::Faults;

/// The largest message that Teams takes.
const MAX_BYTES: usize = 28 * 1024;

/// Whether a workflow would post the message.
pub fn check_teams_message(body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut faults = Faults::default();
    faults.demand(body.len() <= MAX_BYTES, "a message has at most 28 KB");
    faults.only(&message, &["type", "attachments"], "a message");
    faults.demand(message["type"] == "message", "type is message");
    let attachments = message["attachments"].as_array().cloned().unwrap_or_default();
    faults.demand(attachments.len() == 1, "there is one attachment");
    for attachment in &attachments {
        let kind = "application/vnd.microsoft.card.adaptive";
        faults.demand(attachment["contentType"] == kind, format!("contentType is {kind}"));
        faults.demand(attachment["contentUrl"].is_null(), "contentUrl is null");
        card(&mut faults, &attachment["content"]);
    }
    faults.into_result()
}

fn card(faults: &mut Faults, card: &Value) {
    faults.only(card, &["$schema", "type", "version", "body", "actions", "msteams"], "a card");
    faults.demand(card["type"] == "AdaptiveCard", "content is an AdaptiveCard");
    faults.demand(card["version"] == "1.4", "its version is 1.4");
    let elements = card["body"].as_array().cloned().unwrap_or_default();
    faults.demand(!elements.is_empty(), "a card has a body");
    for element in &elements {
        match element["type"].as_str() {
            Some("RichTextBlock") => {
                faults.only(element, &["type", "inlines"], "a RichTextBlock");
                let runs = element["inlines"].as_array().cloned().unwrap_or_default();
                faults.demand(!runs.is_empty(), "a RichTextBlock has inlines");
                for run in &runs {
                    faults.demand(run["type"] == "TextRun", "an inline is a TextRun");
                    faults.only(run, &["type", "text", "size", "weight", "color"], "a TextRun");
                    faults.text(&run["text"], 10_000, "a TextRun");
                }
            }
            other => faults.demand(false, format!("{other:?} is not an element that we send")),
        }
    }
    for action in card["actions"].as_array().into_iter().flatten() {
        faults.demand(action["type"] == "Action.OpenUrl", "an action opens an address");
        let is_https = action["url"].as_str().is_some_and(|url| url.starts_with("https://"));
        faults.demand(is_https, "an action's address is https");
        faults.text(&action["title"], 100, "an action's title");
    }
}
