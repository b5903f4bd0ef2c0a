//! Microsoft Teams: Adaptive Cards for the Workflows trigger "When a Teams webhook request is
//! received", <https://learn.microsoft.com/connectors/teams>, in the schema of
//! <https://adaptivecards.io/explorer>.

use serde_json::{Value, json};

/// The version of the schema. Teams shows cards of up to 1.5 on its desktop, and of 1.4 everywhere.
const CARD_VERSION: &str = "1.4";

/// How large a message may be:
/// <https://learn.microsoft.com/microsoftteams/limits-specifications-teams>. Microsoft writes 28 KB
/// and neither how many bytes a KB has nor in which encoding they are counted. A message that has
/// less in UTF-8 and in UTF-16 is within it.
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

/// `text` as a TextRun shows it as it is, which reads no Markdown:
/// <https://adaptivecards.io/explorer/TextRun.html>.
///
/// `{{DATE(…)}}` and `{{TIME(…)}}` become dates in every text of a card
/// (<https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features>), unless
/// something stands between the braces: a space that has no width.
pub fn verbatim(text: &str) -> String {
    text.replace("{{", "{\u{200b}{")
}

/// The same for a TextBlock and a fact, which read Markdown. A link of data's own would show one
/// address and lead to another; it is none if its two halves do not touch.
pub fn without_links(text: &str) -> String {
    verbatim(text).replace("](", "] (")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_datas_own_is_shown_as_it_is_written_and_so_is_a_link() {
        assert_eq!(verbatim("{{DATE(2017-02-14T06:00Z)}}"), "{\u{200b}{DATE(2017-02-14T06:00Z)}}");
        assert_eq!(verbatim("[a](https://b)"), "[a](https://b)");
        assert_eq!(without_links("[a](https://b) {{TIME("), "[a] (https://b) {\u{200b}{TIME(");
    }

    #[test]
    fn a_card_without_actions_has_no_list_of_them() {
        let card = |actions| message(Vec::new(), actions)["attachments"][0]["content"].clone();
        assert_eq!(card(Vec::new()).get("actions"), None);
        assert_eq!(card(vec![json!(1)])["actions"], json!([1]));
    }
}
