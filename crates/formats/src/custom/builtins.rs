//! The filters and tests that templates have. None converts an argument before it has paid for
//! reading it; the engine's own are used where they read nothing but numbers.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters, tests};

use super::cost::{Meter, charge, pay};
use super::data::Number;
use super::operators::{is_number, number};
use super::write::{json, text};

/// The filters, sorted.
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

/// The tests, sorted.
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
    environment.add_filter("abs", abs);
    environment.add_filter("capitalize", capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", first);
    environment.add_filter("float", float);
    environment.add_filter("int", int);
    environment.add_filter("items", items);
    environment.add_filter("join", join);
    environment.add_filter("json_text", json);
    environment.add_filter("length", length);
    environment.add_filter("lower", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(text(state, value)?.to_lowercase())
    });
    environment.add_filter("replace", replace);
    environment.add_filter("round", round);
    environment.add_filter("title", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(filters::title(text(state, value)?))
    });
    environment.add_filter("tojson", |value: Value| value);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", truncate);
    environment.add_filter("upper", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(text(state, value)?.to_uppercase())
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

/// Tests of texts are false of anything else, which is not read.
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

fn wrong(filter: &str, takes: &str, value: &Value) -> Error {
    let detail = format!("{filter} takes {takes}, not a {}", value.kind());
    Error::new(ErrorKind::InvalidOperation, detail)
}

fn abs(value: &Value) -> Result<Value, Error> {
    match value.downcast_object_ref::<Number>() {
        Some(number) => Ok(number.absolute()),
        None => filters::abs(value.clone()),
    }
}

fn capitalize(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = text(state, value)?;
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    Ok(first.chain(characters.as_str().chars().flat_map(char::to_lowercase)).collect())
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
        _ => Err(wrong("first", "a list, an object or a text", value)),
    }
}

/// A number that no double comes near stays as it is.
fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    match value.downcast_object_ref::<Number>() {
        Some(number) if !number.is_finite() => Ok(value.clone()),
        _ => filters::float(state, &number(value), default, kwargs),
    }
}

/// A number of which the engine has no integer stays as it is.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    /// The engine's integers go up to 2¹²⁷.
    const LIMIT: f64 = 1.7e38;
    let native = number(value);
    let is_own = value.downcast_object_ref::<Number>().is_some();
    let is_integer = native.is_integer();
    if is_own && !is_integer && !f64::try_from(native.clone()).is_ok_and(|it| it.abs() < LIMIT) {
        return Ok(value.clone());
    }
    filters::int(state, &native, default, base, kwargs)
}

fn items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => filters::items(value),
        _ => Err(wrong("items", "an object", value)),
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
        _ => return Err(wrong("join", "a list", value)),
    }
    let mut joined = String::new();
    let mut meter = Meter::new(state);
    for (index, item) in value.try_iter()?.enumerate() {
        let item = match &attribute {
            Some(name) => item.get_item(name).unwrap_or_default(),
            None => item,
        };
        let item = text(state, &item)?;
        meter.item(joiner.len() + item.len())?;
        if index > 0 {
            joined.push_str(&joiner);
        }
        joined.push_str(&item);
    }
    meter.finish()?;
    Ok(joined)
}

fn length(value: &Value) -> Result<usize, Error> {
    // The engine has charged for a text.
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(0),
        _ => value.len().ok_or_else(|| wrong("length", "a list, an object or a text", value)),
    }
}

fn replace(
    state: &State<'_, '_>,
    value: &Value,
    from: &Value,
    to: &Value,
) -> Result<String, Error> {
    let (value, from, to) = (text(state, value)?, text(state, from)?, text(state, to)?);
    // Paid before it is made.
    let count = value.matches(&*from).count();
    charge(state, value.len().saturating_add(count.saturating_mul(to.len())))?;
    Ok(value.replace(&*from, &to))
}

/// A number that no double comes near stays as it is.
fn round(
    state: &State<'_, '_>,
    value: &Value,
    precision: Option<i32>,
    method: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    /// A double is written in decimal digits to be rounded.
    const DIGITS_PER_STEP: usize = 4;
    if value.downcast_object_ref::<Number>().is_some_and(|number| !number.is_finite()) {
        return Ok(value.clone());
    }
    let precision = match precision {
        Some(precision) => Some(precision),
        None => kwargs.get("precision")?,
    };
    let digits = precision.unwrap_or_default().unsigned_abs() as usize;
    pay(state, 16 + digits / DIGITS_PER_STEP)?;
    filters::round(number(value), precision, method, kwargs)
}

fn trim(state: &State<'_, '_>, value: &Value, characters: Option<Value>) -> Result<String, Error> {
    const SORTED_PER_STEP: usize = 8;
    let whole = text(state, value)?;
    let Some(characters) = characters else { return Ok(whole.trim().to_owned()) };
    let characters = text(state, &characters)?;
    // They are sorted, so that each character of the text is found among them at once.
    pay(state, characters.len() / SORTED_PER_STEP)?;
    let mut trimmed: Vec<char> = characters.chars().collect();
    trimmed.sort_unstable();
    let is_trimmed = |character: char| trimmed.binary_search(&character).is_ok();
    Ok(whole.trim_matches(is_trimmed).to_owned())
}

/// The first characters of a text, and an ellipsis in the place of the last one if it is longer.
fn truncate(state: &State<'_, '_>, value: &Value, length: usize) -> Result<Value, Error> {
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
