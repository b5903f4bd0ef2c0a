//! Checks arguments of filters and operators, with errors for the template's author.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::data::is_number;

/// The kind of a value, in JSON's terms.
pub(super) fn kind_of(value: &Value) -> &'static str {
    if is_number(value) {
        return "a number";
    }
    match value.kind() {
        ValueKind::Undefined => "a value that is missing",
        ValueKind::None => "null",
        ValueKind::Bool => "true or false",
        ValueKind::String => "a text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "an object",
        // Templates have no values of other kinds.
        _ => "something else",
    }
}

pub(super) fn wrong_argument(filter: &str, takes: &str, value: &Value) -> Error {
    let detail = format!("{filter} takes {takes}, not {}", kind_of(value));
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// An argument that must be a whole number. `None`: it is missing.
pub(super) fn whole_number<T: TryFrom<i128>>(
    filter: &str,
    argument: &str,
    value: Option<&Value>,
) -> Result<Option<T>, Error> {
    let Some(value) = value.filter(|value| !value.is_undefined() && !value.is_none()) else {
        return Ok(None);
    };
    let takes = || format!("a whole number as its {argument}");
    if !is_number(value) {
        return Err(wrong_argument(filter, &takes(), value));
    }
    let whole = i128::try_from(value.clone()).ok().and_then(|whole| T::try_from(whole).ok());
    whole.map(Some).ok_or_else(|| {
        let detail = format!("{filter} takes {}, not {value}", takes());
        Error::new(ErrorKind::InvalidOperation, detail)
    })
}
