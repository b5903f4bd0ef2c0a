//! Where two documents of one entity differ, for people to read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::TEXT;

/// What is shown instead of a value that is not for people.
pub(super) const HIDDEN: &str = "(hidden)";
/// The same where the difference would not show.
pub(super) const HIDDEN_AND_DIFFERENT: &str = "(hidden, differs)";

/// The names of fields whose values are not shown.
pub(super) type HiddenFields = &'static [&'static str];

/// The whole document in one line.
pub(super) fn whole(document: &Value, hidden: HiddenFields) -> String {
    format!("{TEXT}={}", shown(TEXT, document, hidden))
}

/// The fields that differ, as `document.field=value`, of each side. A field that one side lacks is
/// absent on it.
pub(super) fn differing_fields(
    stored: &Value,
    rebuilt: &Value,
    hidden: HiddenFields,
) -> [String; 2] {
    let mut fields = [Vec::new(), Vec::new()];
    collect(TEXT, [Some(stored), Some(rebuilt)], hidden, &mut fields);
    fields.map(|fields| fields.join(" "))
}

fn collect(
    path: &str,
    sides: [Option<&Value>; 2],
    hidden: HiddenFields,
    fields: &mut [Vec<String>; 2],
) {
    match sides {
        [stored, rebuilt] if stored == rebuilt => {}
        [Some(Value::Object(stored)), Some(Value::Object(rebuilt))] => {
            let names: BTreeSet<&String> = stored.keys().chain(rebuilt.keys()).collect();
            for name in names {
                let sides = [stored.get(name), rebuilt.get(name)];
                collect(&format!("{path}.{name}"), sides, hidden, fields);
            }
        }
        sides => {
            for (fields, value) in fields.iter_mut().zip(sides) {
                fields.extend(value.map(|value| format!("{path}={}", shown(path, value, hidden))));
            }
        }
    }
}

/// A value without what is hidden.
fn shown(field: &str, value: &Value, hidden: HiddenFields) -> Value {
    match value {
        _ if hidden.contains(&field.rsplit('.').next().unwrap_or(field)) => Value::from(HIDDEN),
        Value::Object(fields) => {
            let shown = |(name, value)| (String::clone(name), shown(name, value, hidden));
            Value::Object(fields.iter().map(shown).collect())
        }
        Value::Array(values) => values.iter().map(|value| shown(field, value, hidden)).collect(),
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: HiddenFields = &["ciphertext", "token"];

    #[test]
    fn only_fields_that_differ_are_shown_with_the_path_to_them() {
        let stored = json!({ "id": "ep_1", "config": { "name": "a", "url": "u" }, "types": [1] });
        let rebuilt =
            json!({ "id": "ep_1", "config": { "name": "b", "url": "u" }, "types": [1, 2] });
        assert_eq!(
            differing_fields(&stored, &rebuilt, FIELDS),
            [
                "document.config.name=\"a\" document.types=[1]",
                "document.config.name=\"b\" document.types=[1,2]",
            ]
        );
    }

    #[test]
    fn a_field_that_one_side_lacks_is_absent_on_it() {
        let [stored, rebuilt] =
            differing_fields(&json!({ "a": 1 }), &json!({ "a": 1, "b": null }), FIELDS);
        assert_eq!((stored.as_str(), rebuilt.as_str()), ("", "document.b=null"));
    }

    #[test]
    fn hidden_fields_are_not_shown() {
        let sealed = |text: &str| json!({ "secret": { "key_id": "key-1", "ciphertext": text } });
        let hidden = "document.secret.ciphertext=\"(hidden)\"";
        assert_eq!(differing_fields(&sealed("c0ffee"), &sealed("dead"), FIELDS), [hidden, hidden]);
        let document = json!({ "secrets": [sealed("c0ffee")], "token": "beef", "tokens": 1 });
        assert_eq!(
            whole(&document, FIELDS).replace(r#"{"ciphertext":"(hidden)","key_id":"key-1"}"#, "S"),
            r#"document={"secrets":[{"secret":S}],"token":"(hidden)","tokens":1}"#
        );
    }
}
