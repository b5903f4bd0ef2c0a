//! `--query`: one field of each result.

use serde_json::Value;

use crate::descriptors::fields;

/// The path of a field: names with dots, `[0]` for an item of a list, `[]` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
    Items,
}

impl Query {
    /// Reads a path; for clap.
    pub(crate) fn parse(text: &str) -> Result<Query, String> {
        let wrong = || {
            "not the path of a field: use for example `id`, `endpoint.url`, `event_types[0]` or `attempts[].status_code`".to_owned()
        };
        let mut steps = Vec::new();
        for part in text.trim_start_matches('.').split('.') {
            let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.is_empty() && (rest.is_empty() || !steps.is_empty()) {
                return Err(wrong());
            }
            if !name.is_empty() {
                steps.push(Step::Field(name.to_owned()));
            }
            while !rest.is_empty() {
                let (index, after) = rest
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once(']'))
                    .ok_or_else(wrong)?;
                steps.push(match index {
                    "" => Step::Items,
                    index => Step::Item(index.parse().map_err(|_| wrong())?),
                });
                rest = after;
            }
        }
        Ok(Query(steps))
    }

    /// A line for each value that is found: texts as they are, everything else as JSON.
    pub(crate) fn lines(&self, items: &[Value]) -> String {
        let found = items.iter().flat_map(|item| self.find(item));
        found.map(|value| format!("{}\n", plain(value))).collect()
    }

    /// The first field of the path that the message does not have, and those that there are.
    pub(crate) fn unknown_field(&self, message: &str) -> Option<(String, Vec<String>)> {
        let mut path = String::new();
        for step in &self.0 {
            let Step::Field(name) = step else { continue };
            let known = fields(message, &path);
            // Of a field that is no message, or that only this program adds, nothing is known.
            if known.is_empty() {
                return None;
            }
            if !known.contains(name) {
                return Some((name.clone(), known));
            }
            path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        }
        None
    }

    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| match step {
                    Step::Field(name) => value.get(name).into_iter().collect::<Vec<_>>(),
                    Step::Item(index) => value.get(index).into_iter().collect(),
                    Step::Items => {
                        value.as_array().map(|all| all.iter().collect()).unwrap_or_default()
                    }
                })
                .collect();
        }
        found
    }
}

/// The value at a path of names with dots.
pub(crate) fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// A value as a script wants it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_finds_fields_items_and_all_items() {
        let items = [json!({"id": "a", "tags": ["x", "y"], "n": {"m": 1}})];
        let lines = |query| Query::parse(query).expect("a path").lines(&items);
        assert_eq!(lines("id"), "a\n");
        assert_eq!(lines(".n.m"), "1\n");
        assert_eq!(lines("tags[1]"), "y\n");
        assert_eq!(lines("tags[]"), "x\ny\n");
        assert_eq!(lines("tags"), "[\"x\",\"y\"]\n");
        assert_eq!(lines("nothing"), "");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for wrong in ["", "a..b", "a[", "a[x]", "a]b["] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
