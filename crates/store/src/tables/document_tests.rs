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

/// The pinned documents of a version: the smallest, the fullest, and others for what those cannot
/// contain.
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

/// Whether a document has an empty value.
fn has_empty_value(document: &Value) -> bool {
    match document {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty() || values.iter().any(has_empty_value),
        Value::Object(fields) => fields.values().any(has_empty_value),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Checks the pinned documents of a table, and returns its name.
fn check_pinned_documents<Row: Entity + Document>() -> &'static str {
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
    assert!(!has_empty_value(&documents[1]), "{advice}");
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
        check_pinned_documents::<Channel>(),
        check_pinned_documents::<Endpoint>(),
        check_pinned_documents::<Key>(),
        check_pinned_documents::<Notification>(),
        check_pinned_documents::<Replay>(),
    ]);
    let has_documents = |table: &Projection| table.columns.contains(&TEXT);
    let tables = projections().into_iter().filter(has_documents).map(|table| table.name);
    assert_eq!(pinned, tables.collect(), "every table of documents has its pinned ones");
}

#[test]
fn a_newer_document_is_refused_with_what_to_do() {
    let (_, text) = pinned("channels", Channel::VERSION);
    let newer = read::<Channel>(Channel::VERSION + 1, &text).expect_err("is newer");
    let StoreError::Newer { table: "channels", .. } = newer else { panic!("{newer:?}") };
    assert!(newer.to_string().contains("use that version"), "{newer}");
    assert!(!newer.is_transient() && newer.problem().is_none());
}

/// JSON pointers (RFC 6901) of all objects in a document.
fn objects(document: &Value, pointer: &str, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            found.push(pointer.to_owned());
            fields
                .iter()
                .for_each(|(name, value)| objects(value, &format!("{pointer}/{name}"), found));
        }
        Value::Array(values) => {
            let values = values.iter().enumerate();
            values.for_each(|(index, value)| objects(value, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn a_damaged_document_is_reported_with_the_id_that_it_begins_with() {
    let (_, text) = pinned("channels", Channel::VERSION);
    for channel in read::<Channel>(Channel::VERSION, &text).expect("are channels") {
        let written = serde_json::to_string(&channel).expect("serializes");
        let error = decode::<Channel>(1, &written[..written.len() - 5]).expect_err("is cut off");
        let expected = format!("the document of channels {}: ", channel.id);
        assert!(error.to_string().contains(&expected), "{error}");
    }
    let error = decode::<Channel>(1, "{\"id\":\"a b").expect_err("has no id");
    assert!(error.to_string().contains("its id cannot be read"), "{error}");
}

/// The objects in a table's pinned documents that an unknown field can be added to unnoticed. Such a
/// field would be lost when this version writes the document again.
fn objects_that_lose_fields<Row: Entity + Document>() -> Vec<String> {
    let (_, text) = pinned(Row::TABLE.name, Row::VERSION);
    let documents: Value = serde_json::from_str(&text).expect("JSON");
    let mut pointers = Vec::new();
    objects(&documents, "", &mut pointers);
    let loses_a_field = |pointer: &String| {
        let mut changed = documents.clone();
        let object = changed.pointer_mut(pointer).and_then(Value::as_object_mut);
        object.expect("an object").insert("colour".to_owned(), Value::from(1));
        read::<Row>(Row::VERSION, &changed.to_string()).is_ok()
    };
    pointers.retain(loses_a_field);
    pointers.into_iter().map(|pointer| format!("{}{pointer}", Row::TABLE.name)).collect()
}

#[test]
fn an_unknown_field_is_refused_in_every_object_of_a_document() {
    let lossy = [
        objects_that_lose_fields::<Channel>(),
        objects_that_lose_fields::<Endpoint>(),
        objects_that_lose_fields::<Key>(),
        objects_that_lose_fields::<Notification>(),
        objects_that_lose_fields::<Replay>(),
    ];
    assert!(lossy.iter().all(Vec::is_empty), "give these a serde(deny_unknown_fields): {lossy:#?}");
    let (_, text) = pinned("channels", Channel::VERSION);
    let unknown = text.replace("\"address\":", "\"colour\": 1, \"address\":");
    let error = read::<Channel>(Channel::VERSION, &unknown).expect_err("has another field");
    assert!(error.to_string().contains("unknown field `colour`"), "{error}");
}
