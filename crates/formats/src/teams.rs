//! Microsoft Teams: an Adaptive Card for the Workflows trigger "When a Teams webhook request is
//! received", <https://learn.microsoft.com/connectors/teams>, in the schema of
//! <https://adaptivecards.io/explorer>.

use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_vendors::{Truncator, teams};
use serde_json::{Value, json};

use crate::fields::Fields;
use crate::payload_event::PayloadEvent;

// With these limits a message has less than [`teams::MAX_MESSAGE_BYTES`] in UTF-8 and in UTF-16.
/// The most facts of a card.
const MAX_FACTS: usize = 16;
/// The most bytes of a fact's title: 64 letters.
const MAX_TITLE: usize = 128;
/// The most bytes of a fact's value: 400 letters.
const MAX_VALUE: usize = 800;
/// The most bytes of the block with everything else: 4,000 letters.
const MAX_REST: usize = 8_000;

pub(crate) fn message(event: &PayloadEvent<'_>) -> Vec<u8> {
    let PayloadEvent { id, organization_id, event_type, time, .. } = event;
    let fields = Fields::of(event.data, MAX_FACTS);
    let time = rfc3339::seconds(*time);
    let about = format!("{event_type} | {organization_id} | {time} | {id}");
    let mut body = vec![
        json!({
            "type": "TextBlock",
            "text": event_type.description(),
            "size": "Large",
            "weight": "Bolder",
            "wrap": true,
        }),
        json!({"type": "TextBlock", "text": about, "isSubtle": true, "wrap": true}),
    ];
    if !fields.scalars.is_empty() {
        let facts: Vec<_> = fields.scalars.iter().map(|(name, value)| fact(name, value)).collect();
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    if !fields.rest.is_empty() {
        body.push(json!({
            "type": "TextBlock",
            "text": plain(&fields.rest, MAX_REST),
            "fontType": "Monospace",
            "wrap": true,
        }));
    }
    serde_json::to_vec(&teams::message(body, Vec::new())).expect("texts can be written")
}

fn fact(name: &str, value: &str) -> Value {
    json!({"title": plain(name, MAX_TITLE), "value": plain(value, MAX_VALUE)})
}

fn plain(text: &str, limit: usize) -> String {
    Truncator::to(limit).counting_bytes().truncate(&teams::without_links(text))
}
