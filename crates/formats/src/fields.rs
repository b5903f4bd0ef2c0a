//! Splits an event's data into scalar fields, which fit in a line, and the rest.

use std::borrow::Cow;

use keeptrusts_webhooks_domain::json::{self, Json, Member};
use serde_json::value::RawValue;

/// In the order in which the publisher wrote them.
pub(crate) struct Fields<'a> {
    /// Names and values: strings, numbers, true, false and null.
    pub(crate) scalars: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Objects and arrays, a line `"name": value` for each.
    pub(crate) rest: String,
}

impl<'a> Fields<'a> {
    /// At most `max_scalars` are scalars; further ones go to the rest.
    pub(crate) fn of(data: &'a RawValue, max_scalars: usize) -> Fields<'a> {
        let mut fields = Fields { scalars: Vec::new(), rest: String::new() };
        // It was checked to be an object when the event was accepted.
        let Ok(Field { members, .. }) = json::read(data.get(), Field::new) else { return fields };
        for Member { name, name_text, value } in members {
            match value.scalar {
                Some(scalar) if fields.scalars.len() < max_scalars => {
                    fields.scalars.push((name, scalar));
                }
                _ => {
                    let separator = if fields.rest.is_empty() { "" } else { ",\n" };
                    fields.rest.extend([separator, name_text, ": ", value.text]);
                }
            }
        }
        fields
    }
}

struct Field<'a> {
    text: &'a str,
    /// A scalar for people: a string without its quotation marks, anything else as written.
    scalar: Option<Cow<'a, str>>,
    members: Vec<Member<'a, Field<'a>>>,
}

impl<'a> Field<'a> {
    fn new(text: &'a str, json: Json<'a, Field<'a>>) -> Field<'a> {
        let (scalar, members) = match json {
            Json::Null | Json::Boolean(_) | Json::Number => (Some(Cow::Borrowed(text)), Vec::new()),
            Json::String(string) => (Some(string), Vec::new()),
            Json::Array(_) => (None, Vec::new()),
            Json::Object(members) => (None, members),
        };
        Field { text, scalar, members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_and_the_rest_stays_as_it_is_written() {
        let data = r#"{"b":"é\n","n":1.10e+2,"o":{"x":[1, 2]},"t":true,"z":null,"a":[]}"#;
        let data: &RawValue = serde_json::from_str(data).expect("JSON");
        let fields = Fields::of(data, 10);
        let scalars: Vec<_> =
            fields.scalars.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(scalars, [("b", "é\n"), ("n", "1.10e+2"), ("t", "true"), ("z", "null"),]);
        assert_eq!(fields.rest, "\"o\": {\"x\":[1, 2]},\n\"a\": []");
        assert_eq!(Fields::of(data, 1).scalars.len(), 1);
        assert!(Fields::of(data, 1).rest.starts_with("\"n\": 1.10e+2,\n"));
    }
}
