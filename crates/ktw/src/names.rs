//! The names that people gave to endpoints and channels.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use keeptrusts_webhooks_client::{Client, Error, v1};
use serde_json::Value;

use crate::failure::Failure;

/// What has an id and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    Endpoint,
    Channel,
}

/// Each of them, with its id and its name.
pub(crate) type IdsAndNames = Vec<(String, String)>;

impl Named {
    /// What the field of this name has the id of.
    pub(crate) fn of_field(name: &str) -> Option<Named> {
        match name {
            "endpoint_id" | "endpoint_ids" => Some(Named::Endpoint),
            "channel_id" | "channel_ids" => Some(Named::Channel),
            _ => None,
        }
    }

    /// What the last field of a path has the id of.
    pub(crate) fn at(path: &str) -> Option<Named> {
        Named::of_field(path.rsplit('.').next().unwrap_or(path))
    }

    fn word(self) -> &'static str {
        match self {
            Named::Endpoint => "endpoint",
            Named::Channel => "channel",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Named::Endpoint => "ep_",
            Named::Channel => "chn_",
        }
    }

    /// Whether a text has the form of an id: the prefix and a ULID.
    pub(crate) fn is_id(self, text: &str) -> bool {
        let ulid = text.strip_prefix(self.prefix());
        ulid.is_some_and(|ulid| {
            ulid.len() == 26
                && ulid.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        })
    }

    /// All of an organization; of endpoints only those whose name or URL contains a text.
    pub(crate) async fn list(
        self,
        client: &Client,
        organization_id: String,
        search: &str,
    ) -> Result<IdsAndNames, Error> {
        match self {
            Named::Endpoint => {
                let request = v1::ListEndpointsRequest {
                    organization_id,
                    search: search.to_owned(),
                    page_size: i32::MAX,
                    ..Default::default()
                };
                let items = client.items(request);
                items.map_ok(|item| (item.id, item.display_name)).try_collect().await
            }
            Named::Channel => {
                let request = v1::ListChannelsRequest {
                    organization_id,
                    page_size: i32::MAX,
                    ..Default::default()
                };
                let items = client.items(request);
                items.map_ok(|item| (item.id, item.display_name)).try_collect().await
            }
        }
    }

    /// The one of this name. An error: there is none, or several.
    pub(crate) fn find(self, name: &str, all: IdsAndNames) -> Result<String, Failure> {
        let word = self.word();
        let mut ids: Vec<_> =
            all.into_iter().filter(|(_, known)| known == name).map(|(id, _)| id).collect();
        match ids.len() {
            1 => Ok(ids.remove(0)),
            0 => Err(Failure::NotFound(format!(
                "there is no {word} with the name {name:?}: `ktw {word}s list` shows names and ids (`{}` and 26 characters)",
                self.prefix()
            ))),
            count => Err(Failure::Usage(format!(
                "{count} {word}s have the name {name:?}: give the id instead\n  {}",
                ids.join("\n  ")
            ))),
        }
    }
}

/// The names that are known.
#[derive(Default)]
pub(crate) struct Names {
    by_id: BTreeMap<String, String>,
    /// For ids that are not among the known ones it was looked, too: what was deleted has no name any more.
    looked_for: BTreeSet<String>,
}

impl Names {
    /// The name of an id.
    pub(crate) fn of(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    /// What a table shows for an id: the name, with the id if another one has the same name, since commands
    /// take only names of one.
    pub(crate) fn label(&self, id: &str) -> String {
        match self.of(id) {
            Some(name) if self.by_id.values().filter(|other| *other == name).count() > 1 => {
                format!("{name} ({id})")
            }
            Some(name) => name.to_owned(),
            None => id.to_owned(),
        }
    }

    /// Which kinds have an id among these that was not looked for.
    pub(crate) fn missing(&self, ids: &[(Named, String)]) -> BTreeSet<Named> {
        let missing = ids.iter().filter(|(_, id)| !self.looked_for.contains(id));
        missing.map(|(kind, _)| *kind).collect()
    }

    /// Remembers names, and that these ids were looked for.
    pub(crate) fn add(&mut self, names: IdsAndNames, looked_for: &[(Named, String)]) {
        let names = names.into_iter().filter(|(_, name)| !name.is_empty());
        self.looked_for.extend(looked_for.iter().map(|(_, id)| id.clone()));
        self.by_id.extend(names.inspect(|(id, _)| {
            self.looked_for.insert(id.clone());
        }));
    }
}

/// The ids in the fields of these paths.
pub(crate) fn ids_at<'a>(
    item: &Value,
    paths: impl Iterator<Item = &'a str>,
) -> Vec<(Named, String)> {
    let mut ids = Vec::new();
    for path in paths {
        let value = path.split('.').try_fold(item, |value, name| value.get(name));
        if let (Some(kind), Some(value)) = (Named::at(path), value) {
            push_ids(kind, value, &mut ids);
        }
    }
    ids
}

/// The ids in all fields, however deep.
pub(crate) fn ids_in(item: &Value, ids: &mut Vec<(Named, String)>) {
    match item {
        Value::Object(fields) => {
            for (name, value) in fields {
                match Named::of_field(name) {
                    Some(kind) => push_ids(kind, value, ids),
                    None => ids_in(value, ids),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ids_in(item, ids)),
        _ => {}
    }
}

fn push_ids(kind: Named, value: &Value, ids: &mut Vec<(Named, String)>) {
    match value {
        Value::String(id) if !id.is_empty() => ids.push((kind, id.clone())),
        Value::Array(items) => items.iter().for_each(|item| push_ids(kind, item, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIRST: &str = "ep_01JSF0M3Z8Q2W4E6R8T0Y1V3B5";
    const SECOND: &str = "ep_01JSF0M3Z8Q2W4E6R8T0Y1V3B6";

    fn all() -> IdsAndNames {
        let pairs = [(FIRST, "siem"), (SECOND, "twin"), ("ep_3", "twin"), ("ep_4", "siem 2")];
        pairs.map(|(id, name)| (id.to_owned(), name.to_owned())).into()
    }

    #[test]
    fn a_name_is_taken_if_exactly_one_has_it() {
        let find = |name| Named::Endpoint.find(name, all());
        assert_eq!(find("siem").expect("one"), FIRST);
        assert!(matches!(find("sie"), Err(Failure::NotFound(_))));
        let several = find("twin").expect_err("two");
        assert!(matches!(several, Failure::Usage(_)));
        let text = several.text();
        assert!(text.contains(SECOND) && text.contains("ep_3"), "{text}");
    }

    #[test]
    fn only_a_whole_id_is_one() {
        assert!(Named::Endpoint.is_id(FIRST));
        for text in
            ["siem", "ep_1", "chn_01JSF0M3Z8Q2W4E6R8T0Y1V3B5", "ep_01jsf0m3z8q2w4e6r8t0y1v3b5"]
        {
            assert!(!Named::Endpoint.is_id(text), "{text}");
        }
    }

    #[test]
    fn a_label_has_the_id_where_the_name_alone_does_not_say_which() {
        let mut names = Names::default();
        names.add(all(), &[]);
        assert_eq!(names.label(FIRST), "siem");
        assert_eq!(names.label("ep_3"), "twin (ep_3)");
        assert_eq!(names.label("ep_deleted"), "ep_deleted");
    }

    #[test]
    fn names_are_asked_for_once_also_of_what_has_none() {
        let mut names = Names::default();
        let ids = [(Named::Endpoint, FIRST.to_owned()), (Named::Endpoint, "ep_deleted".to_owned())];
        assert_eq!(names.missing(&ids), BTreeSet::from([Named::Endpoint]));
        names.add(all(), &ids);
        assert!(names.missing(&ids).is_empty());
        assert!(names.missing(&[(Named::Endpoint, "ep_4".to_owned())]).is_empty());
    }

    #[test]
    fn ids_are_found_in_columns_and_in_all_fields() {
        let item = json!({"endpoint_id": "ep_1", "attempt": {"endpoint_id": "ep_2"},
            "more": [{"channel_id": "chn_1"}], "endpoint_ids": ["ep_3"], "id": "dlv_1"});
        let found = ids_at(&item, ["attempt.endpoint_id", "id", "endpoint_ids"].into_iter());
        assert_eq!(found, [(Named::Endpoint, "ep_2".into()), (Named::Endpoint, "ep_3".into())]);
        let mut found = Vec::new();
        ids_in(&item, &mut found);
        assert_eq!(found.len(), 4);
    }
}
