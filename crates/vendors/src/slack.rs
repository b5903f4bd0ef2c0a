//! Slack: incoming webhooks,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, and the blocks of
//! their messages, <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::{Value, json};

use crate::truncate::Truncator;

/// Of a header block's text, in characters:
/// <https://docs.slack.dev/reference/block-kit/blocks/header-block>.
const MAX_HEADER: usize = 150;
/// Of a section's text, in characters:
/// <https://docs.slack.dev/reference/block-kit/blocks/section-block>.
const MAX_SECTION: usize = 3_000;
/// Of a section.
pub const MAX_FIELDS: usize = 10;
/// Of a field's text, in characters.
pub const MAX_FIELD: usize = 2_000;
/// Of `text`, which notifications show instead of the blocks, in characters. Slack advises not to
/// exceed it, and cuts at ten times as many:
/// <https://docs.slack.dev/reference/methods/chat.postMessage>.
const MAX_TEXT: usize = 4_000;

const CODE: &str = "```";

/// A header's text, which is plain and needs no escaping.
pub fn header(text: &str) -> String {
    Truncator::to(MAX_HEADER).truncate(text)
}

/// The `text` of a message. Data in it can neither mention anybody nor hide a link.
pub fn text(text: &str) -> String {
    escaping(MAX_TEXT).truncate(text)
}

/// A section's text that shows `text` as a block of code.
pub fn code_block(text: &str) -> String {
    // The text must not contain the end of the block.
    let text = text.replace(CODE, "'''");
    let code = escaping(MAX_SECTION - 2 * (CODE.len() + 1)).truncate(&text);
    format!("{CODE}\n{code}\n{CODE}")
}

/// Text without formatting: mrkdwn cannot show a `*`, a `_`, a `~` or a backtick.
pub fn plain_text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

/// Text that Slack formats.
pub fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

/// Escapes the three characters that Slack interprets in all texts:
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
fn escaping(limit: usize) -> Truncator {
    Truncator::to(limit).escaping(|character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truncate::tests::assert_limit;

    #[test]
    fn texts_are_truncated_to_slacks_limits() {
        assert_limit(150, "x", header);
        assert_limit(4_000, "x", text);
        assert_limit(3_000 - 8, "x", |text| {
            let block = code_block(text);
            let code = block.strip_prefix("```\n").and_then(|block| block.strip_suffix("\n```"));
            code.expect("a block of code").to_owned()
        });
    }

    /// <https://docs.slack.dev/reference/block-kit/blocks/section-block>: "Maximum number of items is
    /// 10. Maximum length for the text in each item is 2000 characters."
    #[test]
    fn the_limits_of_fields_are_the_documented_ones() {
        assert_eq!((MAX_FIELDS, MAX_FIELD), (10, 2_000));
    }

    #[test]
    fn characters_that_slack_interprets_are_escaped_and_count_in_their_escaped_form() {
        assert_eq!(text("<!channel> & *all*"), "&lt;!channel&gt; &amp; *all*");
        assert_eq!(text(&"&".repeat(801)), format!("{}…", "&amp;".repeat(799)));
        assert_eq!(code_block("a ``` b <"), "```\na ''' b &lt;\n```");
    }
}
