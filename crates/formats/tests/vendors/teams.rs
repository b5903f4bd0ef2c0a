//! <https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook>, the message, and
//! <https://adaptivecards.io/explorer>, of which AdaptiveCard, TextBlock and FactSet in 1.4.

use keeptrusts_webhooks_vendors::teams::MAX_MESSAGE_BYTES;
use serde_json::Value;

use super::{items, object, one_of, text};

pub(crate) fn check(body: &[u8]) {
    let units = std::str::from_utf8(body).expect("UTF-8").encode_utf16().count();
    assert!(body.len() <= MAX_MESSAGE_BYTES, "{} bytes in UTF-8", body.len());
    assert!(2 * units <= MAX_MESSAGE_BYTES, "{} bytes in UTF-16", 2 * units);
    let message: Value = serde_json::from_slice(body).expect("JSON");
    let message = object(&message, &["type", "attachments"], &[]);
    assert_eq!(message["type"], "message");
    let [attachment] = &items(&message["attachments"], 1)[..] else { panic!("one attachment") };
    let attachment = object(attachment, &["contentType", "contentUrl", "content"], &[]);
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachment["contentUrl"], Value::Null);
    let card = object(&attachment["content"], &["$schema", "type", "version", "body"], &[]);
    assert_eq!(card["$schema"], "http://adaptivecards.io/schemas/adaptive-card.json");
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(card["version"], "1.4");
    for element in items(&card["body"], 50) {
        match element["type"].as_str().expect("a type") {
            "TextBlock" => {
                let optional = ["size", "weight", "wrap", "isSubtle", "fontType"];
                let block = object(element, &["type", "text"], &optional);
                text(&block["text"], MAX_MESSAGE_BYTES);
                block.get("size").inspect(|size| {
                    one_of(size, &["Default", "Small", "Medium", "Large", "ExtraLarge"]);
                });
                block.get("weight").inspect(|it| one_of(it, &["Default", "Lighter", "Bolder"]));
                block.get("fontType").inspect(|it| one_of(it, &["Default", "Monospace"]));
                for flag in ["wrap", "isSubtle"] {
                    assert!(block.get(flag).is_none_or(Value::is_boolean), "{flag}");
                }
            }
            "FactSet" => {
                let set = object(element, &["type", "facts"], &[]);
                for fact in items(&set["facts"], 100) {
                    let fact = object(fact, &["title", "value"], &[]);
                    assert!(fact["title"].is_string() && fact["value"].is_string());
                }
            }
            other => panic!("{other} is no element of ours"),
        }
    }
}
