//! Tables, details and CSV.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde_json::Value;

use super::cells::{Column, Kind, Reader, View, one_line, shown};
use super::query::plain;
use crate::descriptors::{fields, shorten};
use crate::names::Named;

/// A column of free text is not made narrower than this.
const NARROWEST: usize = 12;

/// A table with a line for each item, no wider than the terminal; on one that is too narrow for that, a
/// paragraph for each item.
pub(super) fn of(view: &View, items: &[Value], reader: &Reader<'_>, width: Option<u16>) -> String {
    let widths = least_widths(view, items, reader);
    if width.is_some_and(|width| widths.iter().sum::<usize>() > usize::from(width)) {
        return paragraphs(view, items, reader);
    }
    let mut table = Table::new();
    // Colours are taken out again where the output does not want them.
    table.load_style(presets::NOTHING).enforce_styling();
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.set_header(view.columns.iter().map(|column| column.title));
    for item in items {
        table.add_row(view.columns.iter().map(|column| {
            let shown = column.shown(view.message, item, reader);
            let color = column.color(&shown);
            let cell = Cell::new(shown);
            match color {
                Some(color) => cell.fg(color),
                None => cell,
            }
        }));
    }
    for ((shown, least), column) in view.columns.iter().zip(widths).zip(table.column_iter_mut()) {
        column.set_padding((0, 1));
        let least = Width::Fixed(u16::try_from(least).unwrap_or(u16::MAX));
        // What is copied stays whole; names, URLs and errors are broken instead.
        column.set_constraint(match shown.is_free_text() {
            true => ColumnConstraint::LowerBoundary(least),
            false => ColumnConstraint::ContentWidth,
        });
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// How wide the columns have to be, with only free text broken into several lines.
fn least_widths(view: &View, items: &[Value], reader: &Reader<'_>) -> Vec<usize> {
    let of_column = |column: &Column| {
        let cells = items.iter().map(|item| column.shown(view.message, item, reader));
        column.title.len().max(cells.map(|cell| least_width_of(column, &cell)).max().unwrap_or(0))
            + 1
    };
    view.columns.iter().map(of_column).collect()
}

fn least_width_of(column: &Column, cell: &str) -> usize {
    let length = |text: &str| text.chars().count();
    if column.is_reference() {
        // An id behind a name stays whole.
        cell.split_whitespace().map(length).max().unwrap_or(0)
    } else if column.is_free_text() {
        length(cell).min(NARROWEST)
    } else {
        length(cell)
    }
}

/// A paragraph for each item, with a line for each column that has a value.
fn paragraphs(view: &View, items: &[Value], reader: &Reader<'_>) -> String {
    let widest = view.columns.iter().map(|column| column.title.len()).max().unwrap_or_default();
    let paragraphs = items.iter().map(|item| {
        let lines = view.columns.iter().filter_map(|column| {
            let shown = column.shown(view.message, item, reader);
            let line = format!("{:widest$}  {}\n", column.title, colored(column, &shown));
            (!shown.is_empty()).then_some(line)
        });
        lines.collect::<String>()
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// One line of a stream: columns are as wide as their titles or usual values, so that lines align
/// without knowing those to come.
pub(super) fn line(view: &View, item: &Value, reader: &Reader<'_>, is_first: bool) -> String {
    let mut text = String::new();
    if is_first {
        let titles = view.columns.iter().map(|column| pad(column, column.title, column.title));
        let titles: String = titles.collect();
        text.push_str(titles.trim_end());
        text.push('\n');
    }
    let cells = view.columns.iter().map(|column| {
        let shown = column.shown(view.message, item, reader);
        pad(column, &shown, &colored(column, &shown))
    });
    let cells: String = cells.collect();
    text.push_str(cells.trim_end());
    text.push('\n');
    text
}

fn pad(column: &Column, plain: &str, colored: &str) -> String {
    let usual = match column.kind {
        Kind::Time => 19,
        Kind::Enum => 11,
        Kind::Duration => 8,
        Kind::Text if column.is_id() => 30,
        Kind::Text | Kind::List => 20,
        Kind::Flag | Kind::Number => 5,
    };
    let missing = usual.max(column.title.len()).saturating_sub(plain.chars().count());
    format!("{colored}{}  ", " ".repeat(missing))
}

fn colored(column: &Column, shown: &str) -> String {
    let color = column.color(shown).map(|color| match color {
        Color::Green => AnsiColor::Green,
        Color::Yellow => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    });
    let style = Style::new().fg_color(color.map(Into::into));
    format!("{style}{shown}{style:#}")
}

/// All fields of one item that are not empty, a line each; lists of messages are indented below.
pub(super) fn details(view: &View, item: &Value, reader: &Reader<'_>) -> String {
    let mut text = String::new();
    write_fields(&mut text, view.message, "", item, reader, 0);
    text
}

fn write_fields(
    text: &mut String,
    message: &str,
    prefix: &str,
    item: &Value,
    reader: &Reader<'_>,
    depth: usize,
) {
    let indent = "  ".repeat(depth);
    let fields = fields(message, prefix);
    let given = fields.iter().filter_map(|name| Some((name, item.get(name)?)));
    let shown_fields: Vec<_> = given.filter(|(_, value)| !is_empty(value)).collect();
    let widest = shown_fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in shown_fields {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(_) => {
                line_of(text, &indent, &format!("{name}:"), "", 0);
                write_fields(text, message, &format!("{path}."), value, reader, depth + 1);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                line_of(text, &indent, &format!("{name}:"), "", 0);
                for item in items {
                    line_of(text, &indent, "  -", "", 0);
                    write_fields(text, message, &format!("{path}."), item, reader, depth + 2);
                }
            }
            value => {
                let shown = one_value(message, &path, name, value, reader);
                line_of(text, &indent, &format!("{name}:"), &shown, widest + 1);
            }
        }
    }
}

fn line_of(text: &mut String, indent: &str, name: &str, value: &str, width: usize) {
    // Writing to a String cannot fail.
    let _ = match value {
        "" => writeln!(text, "{indent}{name}"),
        value => writeln!(text, "{indent}{name:width$}  {value}"),
    };
}

fn one_value(message: &str, path: &str, name: &str, value: &Value, reader: &Reader<'_>) -> String {
    let kind = match value {
        Value::Array(_) => Kind::List,
        _ if name.ends_with("_time") => Kind::Time,
        _ if name.ends_with("duration") => Kind::Duration,
        _ => Kind::Text,
    };
    match value {
        Value::String(text) => match shorten(message, path, text) {
            Some(short) => short,
            None if text.contains('\n') => format!("\n{}", block(text)),
            None if Named::at(path).is_some() => one_line(&with_name(reader, path, text.clone())),
            None => shown(kind, value, message, path, reader),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| {
                let text = plain(item);
                shorten(message, path, &text).unwrap_or_else(|| with_name(reader, path, text))
            });
            one_line(&items.collect::<Vec<_>>().join(", "))
        }
        value => plain(value),
    }
}

/// An id with its name behind it.
fn with_name(reader: &Reader<'_>, path: &str, id: String) -> String {
    match Named::at(path).and_then(|_| reader.names.of(&id)) {
        Some(name) => format!("{id} ({name})"),
        None => id,
    }
}

/// A text of several lines, without what moves the cursor of a terminal.
fn block(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {}", one_line(line)));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text.ends_with("_UNSPECIFIED"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The columns as CSV (RFC 4180), with a header if it is wanted.
pub(super) fn csv(view: &View, items: &[Value], with_header: bool) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail.
    if with_header {
        let _ = writer.write_record(view.columns.iter().map(|column| column.path));
    }
    for item in items {
        let _ = writer.write_record(view.columns.iter().map(|column| column.raw(item)));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::names::Names;

    fn reader(names: &Names) -> Reader<'_> {
        static UTC: TimeZone = TimeZone::UTC;
        Reader { zone: &UTC, names }
    }

    const ENDPOINTS: View = View {
        message: "Endpoint",
        plural: "endpoints",
        id: "id",
        columns: &[
            Column::new("ID", "id", Kind::Text),
            Column::new("STATE", "state", Kind::Enum),
            Column::new("EVENT TYPES", "event_types", Kind::List),
        ],
    };

    fn endpoint() -> Value {
        json!({"id": "ep_1", "state": "STATE_ACTIVE", "event_types": ["a", "b"], "description": "",
            "create_time": "2026-04-23T12:00:00Z"})
    }

    #[test]
    fn a_table_has_a_header_and_a_line_for_each_item() {
        let text = of(&ENDPOINTS, &[endpoint()], &reader(&Names::default()), None);
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["ID", "STATE", "EVENT", "TYPES"], vec!["ep_1", "active", "a,b"]]);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_for_a_table_gets_paragraphs() {
        let names = Names::default();
        let items = [endpoint(), endpoint()];
        let of = |width| of(&ENDPOINTS, &items, &reader(&names), Some(width));
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        assert_eq!(plain(&of(24)).lines().count(), 3);
        let one = "ID           ep_1\nSTATE        active\nEVENT TYPES  a,b\n";
        assert_eq!(plain(&of(23)), format!("{one}\n{one}"));
    }

    #[test]
    fn details_have_all_fields_that_are_not_empty() {
        let text = details(&ENDPOINTS, &endpoint(), &reader(&Names::default()));
        assert_eq!(
            text,
            "id:           ep_1\nevent_types:  a, b\nstate:        active\ncreate_time:  2026-04-23 12:00:00\n"
        );
    }

    #[test]
    fn csv_has_the_values_as_they_are() {
        let text = csv(&ENDPOINTS, &[endpoint()], true);
        assert_eq!(text, "id,state,event_types\nep_1,STATE_ACTIVE,\"[\"\"a\"\",\"\"b\"\"]\"\n");
    }

    #[test]
    fn texts_from_elsewhere_move_no_cursor() {
        let item = json!({"id": "\u{1b}[2Jx\ny", "state": "STATE_ACTIVE"});
        let text = details(&ENDPOINTS, &item, &reader(&Names::default()));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let text = line(&ENDPOINTS, &item, &reader(&Names::default()), false);
        assert!(!text.contains("\u{1b}[2J"), "{text:?}");
    }
}
