//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> and
//! <https://docs.slack.dev/reference/block-kit/blocks>, of which header, section and context.

use serde_json::Value;

use super::{items, object, text};

pub(crate) fn check(body: &[u8]) {
    let message: Value = serde_json::from_slice(body).expect("JSON");
    let message = object(&message, &["text", "blocks"], &[]);
    text(&message["text"], 40_000);
    for block in items(&message["blocks"], 50) {
        match block["type"].as_str().expect("a type") {
            "header" => {
                let header = object(block, &["type", "text"], &["block_id"]);
                text_object(&header["text"], "plain_text", 150);
            }
            "section" => {
                let section = object(block, &["type"], &["text", "fields", "block_id"]);
                assert!(section.contains_key("text") || section.contains_key("fields"));
                section.get("text").inspect(|text| text_object(text, "mrkdwn", 3_000));
                for field in section.get("fields").into_iter().flat_map(|fields| items(fields, 10))
                {
                    text_object(field, "plain_text", 2_000);
                }
            }
            "context" => {
                let context = object(block, &["type", "elements"], &["block_id"]);
                for element in items(&context["elements"], 10) {
                    let kind = element["type"].as_str().expect("a type");
                    assert!(["mrkdwn", "plain_text"].contains(&kind), "{kind}");
                    text_object(element, kind, 3_000);
                }
            }
            other => panic!("{other} is no block of ours"),
        }
    }
}

/// <https://docs.slack.dev/reference/block-kit/composition-objects/text-object>
fn text_object(value: &Value, kind: &str, limit: usize) {
    let object = object(value, &["type", "text"], &["emoji", "verbatim"]);
    assert_eq!(object["type"], kind);
    text(&object["text"], limit);
}
