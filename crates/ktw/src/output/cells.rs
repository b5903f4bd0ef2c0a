//! Which fields of a resource a table shows, and how.

use comfy_table::Color;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::query::{find, plain};
use crate::descriptors::shorten;
use crate::names::{Named, Names};
use crate::times;

/// How a kind of resource is shown.
pub(crate) struct View {
    /// The message's name in the API.
    pub(crate) message: &'static str,
    /// What several of them are called, in "no endpoints".
    pub(crate) plural: &'static str,
    /// The path of its id.
    pub(crate) id: &'static str,
    /// The columns of its table.
    pub(crate) columns: &'static [Column],
}

/// For whom values are shown.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// The time zone of times.
    pub(crate) zone: &'a TimeZone,
    /// What is shown for ids.
    pub(crate) names: &'a Names,
}

impl Reader<'_> {
    /// A name instead of an id that the field of this path has.
    fn label(&self, path: &str, value: String) -> String {
        match Named::at(path) {
            Some(_) => self.names.label(&value),
            None => value,
        }
    }
}

/// A column of a table.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// The field: names with dots.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
}

/// A table shows the number of more items than this; `get` shows all.
const MAX_SHOWN_ITEMS: usize = 3;

/// How a value is shown to people.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// The same, of a few digits.
    Number,
    /// A value of an enum: short, and coloured if it says that something is well or not.
    Enum,
    /// In the user's time zone.
    Time,
    /// In seconds or milliseconds.
    Duration,
    /// Texts, with commas.
    List,
    /// `yes`, or nothing.
    Flag,
}

impl Column {
    pub(crate) const fn new(title: &'static str, path: &'static str, kind: Kind) -> Column {
        Column { title, path, kind }
    }

    /// Whether its values may be broken into several lines: names, URLs and errors, but not what is copied.
    pub(crate) fn is_free_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::List) && !self.is_id()
    }

    /// Whether it shows ids, and not names instead of them.
    pub(crate) fn is_id(&self) -> bool {
        self.path.ends_with("id") && !self.is_reference()
    }

    /// Whether it shows names instead of ids.
    pub(crate) fn is_reference(&self) -> bool {
        Named::at(self.path).is_some()
    }

    /// The value for people.
    pub(crate) fn shown(&self, message: &str, item: &Value, reader: &Reader<'_>) -> String {
        let Some(value) = find(item, self.path) else { return String::new() };
        shown(self.kind, value, message, self.path, reader)
    }

    /// The value for programs.
    pub(crate) fn raw(&self, item: &Value) -> String {
        find(item, self.path).map(plain).unwrap_or_default()
    }

    /// The colour of a value.
    pub(crate) fn color(&self, shown: &str) -> Option<Color> {
        match self.kind {
            Kind::Enum => color(shown),
            _ => None,
        }
    }
}

pub(crate) fn shown(
    kind: Kind,
    value: &Value,
    message: &str,
    path: &str,
    reader: &Reader<'_>,
) -> String {
    let text = plain(value);
    match kind {
        Kind::Text | Kind::Number => one_line(&reader.label(path, text)),
        Kind::Enum => shorten(message, path, &text).unwrap_or(text),
        Kind::Time => times::shown(&text, reader.zone),
        Kind::Duration => times::shown_duration(&text),
        Kind::List => match value.as_array() {
            Some(items) if items.len() > MAX_SHOWN_ITEMS => format!("{} of them", items.len()),
            Some(items) => {
                let short = |item| {
                    let text = plain(item);
                    shorten(message, path, &text).unwrap_or_else(|| reader.label(path, text))
                };
                one_line(&items.iter().map(short).collect::<Vec<_>>().join(","))
            }
            None => text,
        },
        Kind::Flag => {
            if text == "true" {
                "yes".to_owned()
            } else {
                String::new()
            }
        }
    }
}

/// Green for what is well, yellow for what waits, red for what has failed.
fn color(shown: &str) -> Option<Color> {
    match shown {
        "active" | "delivered" | "valid" | "sent" | "done" => Some(Color::Green),
        "retrying" | "scheduled" | "failing" | "waiting" | "running" | "paused" => {
            Some(Color::Yellow)
        }
        "failed" | "degraded" | "disabled" | "revoked" | "expired" => Some(Color::Red),
        _ => None,
    }
}

/// A text from elsewhere must not move the cursor of a terminal, nor break the table.
pub(crate) fn one_line(text: &str) -> String {
    // With what changes the direction of a text, too (Unicode's Bidi_Control).
    let is_unsafe = |char: char| {
        char.is_control()
            || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|char| if is_unsafe(char) { ' ' } else { char }).collect()
}
