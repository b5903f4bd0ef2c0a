//! Microsoft Teams: Adaptive Cards for the Workflows trigger "When a Teams webhook request is
//! received", <https://learn.microsoft.com/connectors/teams>, in the schema of
//! <https://adaptivecards.io/explorer>.

use serde_json::{Value, json};

/// Of the schema. Teams shows 1.5 on the desktop and 1.4 everywhere.
const CARD_VERSION: &str = "1.4";

/// <https://learn.microsoft.com/microsoftteams/limits-specifications-teams>. Microsoft writes 28 KB,
/// without saying how many bytes a KB has or in which encoding. A message below this in UTF-8 and in
/// UTF-16 is within the limit.
pub const MAX_MESSAGE_BYTES: usize = 28_000;

/// A message with one card.
pub fn message(body: Vec<Value>, actions: Vec<Value>) -> Value {
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": CARD_VERSION,
        "body": body,
    });
    if !actions.is_empty() {
        card["actions"] = actions.into();
    }
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({"type": "message", "attachments": [attachment]})
}

/// A text for a TextRun, which shows it literally and reads no Markdown:
/// <https://adaptivecards.io/explorer/TextRun.html>.
///
/// Every text of a card turns `{{DATE(…)}}` and `{{TIME(…)}}` into dates
/// (<https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features>). A zero-width
/// space between the braces prevents that.
pub fn verbatim(text: &str) -> String {
    text.replace("{{", "{\u{200b}{")
}

/// A text for a TextBlock or a fact, which read Markdown. A link in the data could show one address
/// and lead to another; a space between its two parts prevents that.
pub fn without_links(text: &str) -> String {
    verbatim(text).replace("](", "] (")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_links_in_data_are_shown_literally() {
        assert_eq!(verbatim("{{DATE(2017-02-14T06:00Z)}}"), "{\u{200b}{DATE(2017-02-14T06:00Z)}}");
        assert_eq!(verbatim("[a](https://b)"), "[a](https://b)");
        assert_eq!(without_links("[a](https://b) {{TIME("), "[a] (https://b) {\u{200b}{TIME(");
    }

    /// <https://learn.microsoft.com/microsoftteams/limits-specifications-teams>: 28 KB, read as the
    /// smaller of its two meanings.
    #[test]
    fn the_limit_of_a_message_is_the_documented_one() {
        assert_eq!(MAX_MESSAGE_BYTES, 28_000);
    }

    #[test]
    fn a_card_has_the_version_that_teams_shows_everywhere() {
        assert_eq!(message(Vec::new(), Vec::new())["attachments"][0]["content"]["version"], "1.4");
    }

    #[test]
    fn a_card_without_actions_has_no_list_of_them() {
        let card = |actions| message(Vec::new(), actions)["attachments"][0]["content"].clone();
        assert_eq!(card(Vec::new()).get("actions"), None);
        assert_eq!(card(vec![json!(1)])["actions"], json!([1]));
    }
}
