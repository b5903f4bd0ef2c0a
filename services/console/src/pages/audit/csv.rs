//! Entries of the audit trail as CSV (RFC 4180).

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};
use keeptrusts_webhooks_contracts::time::timestamp_from_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::audit::AuditAction;

const COLUMNS: [&str; 14] = [
    "time",
    "action",
    "actor",
    "actor_name",
    "address",
    "organization_id",
    "endpoint_id",
    "delivery_id",
    "event_id",
    "key_id",
    "changes",
    "trace_id",
    "id",
    // At the end: files of earlier versions have the others in these places.
    "channel_id",
];

/// Why a file is incomplete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("the export broke off: try again")]
    BrokenOff,
    #[error("an entry cannot be written")]
    Unwritable(#[from] csv::Error),
}

/// Entries as lines; the first call also writes the header.
pub(crate) fn written(
    entries: &[v1::AuditEntry],
    with_header: bool,
) -> Result<Vec<u8>, ExportError> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    if with_header {
        writer.write_record(COLUMNS)?;
    }
    for entry in entries {
        let cells = cells(entry);
        writer.write_record(cells.iter().map(|cell| inert(cell).into_owned()))?;
    }
    writer.into_inner().map_err(|_| ExportError::BrokenOff)
}

fn cells(entry: &v1::AuditEntry) -> [String; COLUMNS.len()] {
    let action = Option::<AuditAction>::from(entry.action()).map_or("", AuditAction::name);
    let time = entry.create_time.as_ref().and_then(timestamp_from_proto);
    [
        time.map(|time| time.to_string()).unwrap_or_default(),
        action.to_owned(),
        entry.actor.clone(),
        entry.actor_name.clone(),
        entry.address.clone(),
        entry.organization_id.clone(),
        entry.endpoint_id.clone(),
        entry.delivery_id.clone(),
        entry.event_id.clone(),
        entry.key_id.clone(),
        entry.changes.iter().map(change).collect::<Vec<_>>().join("\n"),
        entry.trace_id.clone(),
        entry.id.clone(),
        entry.channel_id.clone(),
    ]
}

/// A line for each changed field; of a secret only that it changed.
fn change(change: &v1::AuditChange) -> String {
    let v1::AuditChange { field, before, after } = change;
    match (before.is_empty(), after.is_empty()) {
        (true, true) => field.clone(),
        (true, false) => format!("{field}: {after}"),
        (false, _) => format!("{field}: {before} -> {after}"),
    }
}

/// A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection").
fn inert(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[v1::AuditEntry]) -> String {
        String::from_utf8(written(entries, true).expect("written")).expect("UTF-8")
    }

    #[test]
    fn an_entry_is_a_line_and_what_would_break_it_is_quoted() {
        let change = |field: &str, before: &str, after: &str| v1::AuditChange {
            field: field.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let entry = v1::AuditEntry {
            id: "0-7".to_owned(),
            create_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            action: v1::AuditAction::EndpointUpdated.into(),
            actor: "key_1".to_owned(),
            actor_name: "a \"b\", c".to_owned(),
            changes: vec![change("name", "old", "new"), change("secret", "", "")],
            ..Default::default()
        };
        let text = lines(&[entry]);
        let expected = "1970-01-01T00:00:00Z,endpoint.updated,key_1,\"a \"\"b\"\", c\",,,,,,,\
             \"name: old -> new\nsecret\",,0-7,\r\n";
        assert_eq!(text, format!("{}\r\n{expected}", COLUMNS.join(",")));
        assert_eq!(written(&[], false).expect("written"), b"", "the header is there once");
    }

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for beginning in ['=', '+', '-', '@', '\t', '\r'] {
            let hostile = format!("{beginning}HYPERLINK(1)");
            assert_eq!(inert(&hostile), format!("'{hostile}"));
            let entry = v1::AuditEntry { actor_name: hostile, ..Default::default() };
            assert!(lines(&[entry]).contains(&format!("'{beginning}HYPERLINK(1)")));
        }
        assert_eq!(inert("a=b"), "a=b");
    }
}
