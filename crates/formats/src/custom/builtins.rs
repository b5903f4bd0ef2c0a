//! The filters and tests of templates. Each charges for reading an argument before it converts it;
//! the engine's own are used where they read nothing. Those for numbers are in [`numbers`].
//!
//! Decision: docs/decisions/template-operators-are-ours.md

use std::borrow::Cow;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, State, Value, filters, tests};

use super::arguments::{whole_number, wrong_argument};
use super::cost::{Meter, charge, pay};
use super::data::{Map, is_number};
use super::numbers;
use super::write::{json, text};

/// Sorted.
pub(super) const FILTERS: [&str; 18] = [
    "abs",
    "capitalize",
    "default",
    "first",
    "float",
    "int",
    "items",
    "join",
    "json_text",
    "length",
    "lower",
    "replace",
    "round",
    "title",
    "tojson",
    "trim",
    "truncate",
    "upper",
];

/// Sorted.
pub(super) const TESTS: [&str; 10] = [
    "boolean",
    "defined",
    "endingwith",
    "mapping",
    "none",
    "number",
    "sequence",
    "startingwith",
    "string",
    "undefined",
];

pub(super) fn add_to(environment: &mut Environment<'static>) {
    add_filters(environment);
    add_tests(environment);
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("abs", numbers::abs);
    environment.add_filter("capitalize", capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", first);
    environment.add_filter("float", numbers::float);
    environment.add_filter("int", numbers::int);
    environment.add_filter("items", items);
    environment.add_filter("join", join);
    environment.add_filter("json_text", json);
    environment.add_filter("length", length);
    environment.add_filter("lower", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(letters(state, value)?.to_lowercase())
    });
    environment.add_filter("replace", replace);
    environment.add_filter("round", numbers::round);
    environment.add_filter("title", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(filters::title(letters(state, value)?))
    });
    environment.add_filter("tojson", |value: Value| value);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", truncate);
    environment.add_filter("upper", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(letters(state, value)?.to_uppercase())
    });
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("endingwith", |state: &State<'_, '_>, value: &Value, end: &Value| {
        both_texts(state, value, end, |text, end| text.ends_with(end))
    });
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", is_number);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", |state: &State<'_, '_>, value: &Value, start: &Value| {
        both_texts(state, value, start, |text, start| text.starts_with(start))
    });
    environment.add_test("string", tests::is_string);
    environment.add_test("undefined", tests::is_undefined);
}

/// False if one of them is no string. Nothing is read then.
fn both_texts(
    state: &State<'_, '_>,
    value: &Value,
    other: &Value,
    holds: fn(&str, &str) -> bool,
) -> Result<bool, Error> {
    match (value.as_str(), other.as_str()) {
        (Some(value), Some(other)) => {
            charge(state, other.len())?;
            Ok(holds(value, other))
        }
        _ => Ok(false),
    }
}

/// A string whose letters are mapped one by one, which takes longer than copying it.
fn letters<'a>(state: &State<'_, '_>, value: &'a Value) -> Result<Cow<'a, str>, Error> {
    let text = text(state, value)?;
    charge(state, text.len())?;
    Ok(text)
}

fn capitalize(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = letters(state, value)?;
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    Ok(first.collect::<String>() + &characters.as_str().to_lowercase())
}

fn first(value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().next().map_or(Value::UNDEFINED, Value::from));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::UNDEFINED),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            Ok(value.try_iter()?.next().unwrap_or_default())
        }
        _ => Err(wrong_argument("first", "a list, an object or a text", value)),
    }
}

fn items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => filters::items(value),
        _ => Err(wrong_argument("items", "an object", value)),
    }
}

fn join(
    state: &State<'_, '_>,
    value: &Value,
    joiner: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let attribute: Option<Value> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    let joiner = joiner.unwrap_or_default();
    let joiner = text(state, &joiner)?;
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Seq
        | ValueKind::Iterable
        | ValueKind::Map
        | ValueKind::String => {}
        _ => return Err(wrong_argument("join", "a list, an object or a text", value)),
    }
    let name = attribute.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
    let bytes_to_find = Map::bytes_to_find(name);
    let mut joined = String::new();
    let mut meter = Meter::new(state);
    for (index, item) in value.try_iter()?.enumerate() {
        meter.item(bytes_to_find)?;
        let item = match &attribute {
            Some(name) => item.get_item(name).unwrap_or_default(),
            None => item,
        };
        let item = text(state, &item)?;
        meter.bytes(joiner.len() + item.len())?;
        if index > 0 {
            joined.push_str(&joiner);
        }
        joined.push_str(&item);
    }
    meter.finish()?;
    Ok(joined)
}

fn length(value: &Value) -> Result<usize, Error> {
    // The engine has charged for a string.
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(0),
        _ => value
            .len()
            .ok_or_else(|| wrong_argument("length", "a list, an object or a text", value)),
    }
}

fn replace(
    state: &State<'_, '_>,
    value: &Value,
    from: &Value,
    to: &Value,
) -> Result<String, Error> {
    let (value, from, to) = (text(state, value)?, text(state, from)?, text(state, to)?);
    // Charged before it is made.
    let count = value.matches(&*from).count();
    charge(state, value.len().saturating_add(count.saturating_mul(to.len())))?;
    Ok(value.replace(&*from, &to))
}

fn trim(state: &State<'_, '_>, value: &Value, characters: Option<Value>) -> Result<String, Error> {
    const SORTED_PER_STEP: usize = 8;
    let whole = text(state, value)?;
    let Some(characters) = characters else { return Ok(whole.trim().to_owned()) };
    let characters = text(state, &characters)?;
    // Sorted, so that looking up each character of the text is fast.
    pay(state, characters.len() / SORTED_PER_STEP)?;
    let mut trimmed: Vec<char> = characters.chars().collect();
    trimmed.sort_unstable();
    let is_trimmed = |character: char| trimmed.binary_search(&character).is_ok();
    Ok(whole.trim_matches(is_trimmed).to_owned())
}

/// The first characters of a text. If it is longer, an ellipsis replaces the last of them.
fn truncate(state: &State<'_, '_>, value: &Value, length: &Value) -> Result<Value, Error> {
    let Some(length) = whole_number::<usize>("truncate", "length", Some(length))? else {
        return Err(wrong_argument("truncate", "a whole number as its length", length));
    };
    if value.is_undefined() || value.is_none() {
        return Ok(value.clone());
    }
    let text = text(state, value)?;
    Ok(match text.char_indices().nth(length) {
        None => Value::from(text),
        Some(_) => {
            let kept = text.chars().take(length.saturating_sub(1));
            Value::from(kept.chain(['…']).collect::<String>())
        }
    })
}
