//! Checks bodies against the vendors' documentation. Fields that a page does not name are refused, so
//! that a misspelt field fails.

use serde_json::{Map, Value};

pub(crate) mod cloudevents;
pub(crate) mod pagerduty;
pub(crate) mod slack;
pub(crate) mod teams;

/// Requires an object with these members and no others.
fn object<'a>(value: &'a Value, required: &[&str], optional: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("is no object: {value}"));
    for name in required {
        assert!(object.contains_key(*name), "lacks {name}: {value}");
    }
    for name in object.keys() {
        assert!([required, optional].concat().contains(&name.as_str()), "has {name}: {value}");
    }
    object
}

/// Requires a text that is not empty and has at most `limit` UTF-16 code units.
fn text(value: &Value, limit: usize) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("is no text: {value}"));
    let units = text.encode_utf16().count();
    assert!((1..=limit).contains(&units), "has {units} characters, not 1 to {limit}: {text}");
    text
}

fn items(value: &Value, limit: usize) -> &Vec<Value> {
    let items = value.as_array().unwrap_or_else(|| panic!("is no array: {value}"));
    assert!((1..=limit).contains(&items.len()), "has {} items, not 1 to {limit}", items.len());
    items
}

fn one_of(value: &Value, values: &[&str]) {
    assert!(value.as_str().is_some_and(|value| values.contains(&value)), "{value} of {values:?}");
}
