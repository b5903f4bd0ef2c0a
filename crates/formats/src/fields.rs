//! An event's data, divided into what fits in a line and the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an event's data, in the order in which its publisher wrote them.
pub(crate) struct Fields<'a> {
    /// Texts, numbers, true, false and null, each with its name.
    pub(crate) scalars: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Objects and arrays, as `"name": value` in lines. Empty if there are none.
    pub(crate) rest: String,
}

impl<'a> Fields<'a> {
    /// At most `max_scalars` of the scalars come alone; the others are of the rest.
    pub(crate) fn of(data: &'a RawValue, max_scalars: usize) -> Fields<'a> {
        // It was checked to be an object when the event was accepted.
        let entries =
            serde_json::from_str(data.get()).map_or(Vec::new(), |Entries(entries)| entries);
        let mut fields = Fields { scalars: Vec::new(), rest: String::new() };
        for (name, value) in entries {
            match scalar(value) {
                Some(value) if fields.scalars.len() < max_scalars => {
                    fields.scalars.push((text(name), value));
                }
                _ => {
                    let separator = if fields.rest.is_empty() { "" } else { ",\n" };
                    let (name, value) = (name.get(), value.get());
                    fields.rest.extend([separator, name, ": ", value]);
                }
            }
        }
        fields
    }
}

/// A scalar as people read it: a text without its quotation marks, anything else as written.
fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first() {
        Some(b'{' | b'[') | None => None,
        Some(_) => Some(text(value)),
    }
}

/// What a JSON string says. One that is not Unicode (half of a surrogate pair is valid JSON)
/// stays as it is written.
fn text(value: &RawValue) -> Cow<'_, str> {
    match value.get().starts_with('"') {
        true => serde_json::from_str(value.get()).map_or(Cow::Borrowed(value.get()), Cow::Owned),
        false => Cow::Borrowed(value.get()),
    }
}

/// An object's members, in their order, unread.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_and_the_rest_stays_as_it_is_written() {
        let data = r#"{"b":"é\n","n":1.10e+2,"o":{"x":[1, 2]},"t":true,"z":null,"s":"\ud800","\ud800":1,"a":[]}"#;
        let data: &RawValue = serde_json::from_str(data).expect("JSON");
        let fields = Fields::of(data, 10);
        let scalars: Vec<_> =
            fields.scalars.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            scalars,
            [
                ("b", "é\n"),
                ("n", "1.10e+2"),
                ("t", "true"),
                ("z", "null"),
                ("s", r#""\ud800""#),
                (r#""\ud800""#, "1")
            ]
        );
        assert_eq!(fields.rest, "\"o\": {\"x\":[1, 2]},\n\"a\": []");
        assert_eq!(Fields::of(data, 1).scalars.len(), 1);
        assert!(Fields::of(data, 1).rest.starts_with("\"n\": 1.10e+2,\n"));
    }
}
