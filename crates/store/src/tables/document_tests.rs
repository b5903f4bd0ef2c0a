use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::replay::Replay;
use serde_json::Value;

use super::*;
use crate::tables::{Projection, projections};

/// Documents of a version as they were written: the smallest, the fullest, and others that say what
/// those cannot.
fn pinned(table: &str, version: u16) -> (PathBuf, String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tables/documents");
    let path = PathBuf::from(format!("{folder}/{table}.v{version}.json"));
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

fn read<Row: Entity + Document>(version: u16, text: &str) -> Result<Vec<Row>, StoreError> {
    let documents: Vec<Value> = serde_json::from_str(text).expect("a list of JSON values");
    let texts = documents.iter().map(Value::to_string);
    texts.map(|text| decode(version.into(), &text)).collect()
}

/// Whether a document leaves something out that it could say.
fn lacks_something(document: &Value) -> bool {
    match document {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty() || values.iter().any(lacks_something),
        Value::Object(fields) => fields.values().any(lacks_something),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The table that was looked at.
fn hold_to_what_is_pinned<Row: Entity + Document>() -> &'static str {
    let (table, version) = (Row::TABLE.name, Row::VERSION);
    let (path, text) = pinned(table, version);
    let path = path.display();
    let advice = format!(
        "documents of {table} are not what {path} says. If a release has written such documents, \
         raise Document::VERSION beside the entity, give a new field a serde(default), leave this \
         file as it is and add one for the new version; otherwise change this one. Its second \
         document says all that one can say"
    );
    let entities = read::<Row>(version, &text).unwrap_or_else(|error| panic!("{error}: {advice}"));
    let mut written = serde_json::to_string_pretty(&entities).expect("serializes");
    written.push('\n');
    assert_eq!(written, text, "{advice}");
    let documents: Vec<Value> = serde_json::from_str(&text).expect("a list of JSON values");
    assert!(!lacks_something(&documents[1]), "{advice}");
    for older in 1..version {
        let (path, text) = pinned(table, older);
        let path = path.display();
        read::<Row>(older, &text).unwrap_or_else(|error| {
            panic!("{error}: documents of {path} must stay readable; give a field that came later a serde(default)")
        });
    }
    table
}

#[test]
fn documents_are_what_they_were() {
    let pinned = BTreeSet::from([
        hold_to_what_is_pinned::<Channel>(),
        hold_to_what_is_pinned::<Endpoint>(),
        hold_to_what_is_pinned::<Key>(),
        hold_to_what_is_pinned::<Notification>(),
        hold_to_what_is_pinned::<Replay>(),
    ]);
    let has_documents = |table: &Projection| table.columns.contains(&TEXT);
    let tables = projections().into_iter().filter(has_documents).map(|table| table.name);
    assert_eq!(pinned, tables.collect(), "every table of documents has its pinned ones");
}

#[test]
fn a_newer_document_and_one_with_an_unknown_field_are_refused_with_a_reason() {
    let (_, text) = pinned("channels", Channel::VERSION);
    let newer = read::<Channel>(Channel::VERSION + 1, &text).expect_err("is newer");
    let StoreError::Newer { table: "channels", .. } = newer else { panic!("{newer:?}") };
    assert!(newer.to_string().contains("update this process"), "{newer}");
    assert!(!newer.is_transient() && newer.problem().is_none());

    for place in ["\"id\":", "\"address\":", "\"nonce\":"] {
        let unknown = text.replace(place, &format!("\"colour\": 1, {place}"));
        let error = read::<Channel>(Channel::VERSION, &unknown).expect_err("has another field");
        assert!(error.to_string().contains("unknown field `colour`"), "{place} {error}");
    }
}
