//! Writes values as JSON and as text.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::cost::{charge, charge_json};
use super::data::{self, Array, Map, Number};

/// The JSON of a value, charged for. A missing value is null, and so is a number that JSON cannot
/// express.
pub(super) fn json(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    // The event's values are charged before they are read; what a template makes is small.
    let size = data::size(value);
    charge_json(state, size.unwrap_or_default())?;
    let json = uncharged_json(value)?;
    if size.is_none() {
        charge_json(state, json.len())?;
    }
    Ok(json)
}

/// The same for callers that charge for it themselves.
pub(super) fn uncharged_json(value: &Value) -> Result<String, Error> {
    let mut written = Vec::new();
    write(value, &mut written)?;
    String::from_utf8(written).map_err(|error| unwritable(error.to_string()))
}

fn unwritable(reason: String) -> Error {
    Error::new(ErrorKind::BadSerialization, reason)
}

/// Recursion is bounded by the depth limit of events.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    if let Some(number) = value.downcast_object_ref::<Number>() {
        out.extend_from_slice(number.text().as_bytes());
        return Ok(());
    }
    if let Some(array) = value.downcast_object_ref::<Array>() {
        return write_items(array.items().iter().map(|item| Ok(Cow::Borrowed(item))), out);
    }
    if let Some(map) = value.downcast_object_ref::<Map>() {
        return write_members(
            map.members().iter().map(|it| Ok((&it.0, Cow::Borrowed(&it.1)))),
            out,
        );
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.extend_from_slice(b"null"),
        // Lists of constants, the pairs of `items`, and the engine's `loop`.
        ValueKind::Seq | ValueKind::Iterable => {
            return write_items(value.try_iter()?.map(|item| Ok(Cow::Owned(item))), out);
        }
        ValueKind::Map => {
            let names: Vec<_> = value.try_iter()?.collect();
            let member = |name| Ok((name, Cow::Owned(value.get_item(name)?)));
            return write_members(names.iter().map(member), out);
        }
        ValueKind::Bool | ValueKind::Number | ValueKind::String => {
            serde_json::to_writer(out, value).map_err(|error| unwritable(error.to_string()))?;
        }
        other => return Err(unwritable(format!("a {other} has no JSON"))),
    }
    Ok(())
}

fn write_items<'a>(
    items: impl Iterator<Item = Result<Cow<'a, Value>, Error>>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(&*item?, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_members<'a>(
    members: impl Iterator<Item = Result<(&'a Value, Cow<'a, Value>), Error>>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.push(b'{');
    for (index, member) in members.enumerate() {
        let (name, value) = member?;
        if index > 0 {
            out.push(b',');
        }
        write(name, out)?;
        out.push(b':');
        write(&value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A value as text, charged for: a text unchanged, anything else as JSON, where numbers keep their
/// text. A missing value and null are empty.
pub(super) fn text<'a>(state: &State<'_, '_>, value: &'a Value) -> Result<Cow<'a, str>, Error> {
    if let Some(text) = value.as_str() {
        charge(state, text.len())?;
        return Ok(Cow::Borrowed(text));
    }
    if let Some(number) = value.downcast_object_ref::<Number>() {
        charge(state, number.text().len())?;
        return Ok(Cow::Borrowed(number.text()));
    }
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Cow::Borrowed(""),
        _ => Cow::Owned(json(state, value)?),
    })
}
