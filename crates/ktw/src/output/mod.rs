//! What commands print: tables for people; JSON, YAML, CSV and ids for programs.
//!
//! A resource is JSON from here on (see [`descriptors`](crate::descriptors)); a [`View`] says which of
//! its fields a table shows.

mod cells;
mod pager;
mod query;
mod table;

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::failure::Failure;
use crate::names::Names;

use cells::Reader;
pub(crate) use cells::{Column, Kind, View};
pub(crate) use query::Query;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// Every field, with the names of the API; lists are arrays, streams a line for each item.
    Json,
    /// The same with a line for each item, of lists as well.
    Ndjson,
    /// The same as YAML.
    Yaml,
    /// The columns of the table, with values as they are.
    Csv,
    /// Only ids, a line each.
    Name,
}

/// How and where the results of a command are printed.
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) query: Option<Query>,
    pub(crate) zone: TimeZone,
    /// Whether long tables go through a pager.
    pub(crate) paging: bool,
}

impl Output {
    /// Prints a list.
    pub(crate) fn list(&self, view: &View, items: &[Value], names: &Names) -> Result<(), Failure> {
        if let Some(lines) = self.queried(view, items)? {
            return self.write(&lines);
        }
        match self.format {
            Format::Table if items.is_empty() => {
                message(&format!("no {}", view.plural));
                Ok(())
            }
            Format::Table => {
                let text = table::of(view, items, &self.reader(names), width());
                match self.paging {
                    true => pager::show(&text),
                    false => self.write(&text),
                }
            }
            Format::Json => self.write(&json(&items)),
            Format::Ndjson => self.write(&ndjson(items)),
            Format::Yaml => self.write(&yaml(&items)),
            Format::Csv => self.write(&table::csv(view, items, true)),
            Format::Name => self.write(&ids(view, items)),
        }
    }

    /// Prints one resource, with all its fields.
    pub(crate) fn one(&self, view: &View, item: &Value, names: &Names) -> Result<(), Failure> {
        let items = std::slice::from_ref(item);
        if let Some(lines) = self.queried(view, items)? {
            return self.write(&lines);
        }
        match self.format {
            Format::Table => self.write(&table::details(view, item, &self.reader(names))),
            Format::Json => self.write(&json(item)),
            Format::Ndjson => self.write(&ndjson(items)),
            Format::Yaml => self.write(&yaml(item)),
            Format::Csv => self.write(&table::csv(view, items, true)),
            Format::Name => self.write(&ids(view, items)),
        }
    }

    /// Prints an item of a stream, at once. `is_first`: for headers.
    pub(crate) fn item(
        &self,
        view: &View,
        item: &Value,
        is_first: bool,
        names: &Names,
    ) -> Result<(), Failure> {
        let items = std::slice::from_ref(item);
        if let Some(lines) = self.queried(view, items)? {
            return self.write(&lines);
        }
        match self.format {
            Format::Table => self.write(&table::line(view, item, &self.reader(names), is_first)),
            Format::Json | Format::Ndjson => self.write(&ndjson(items)),
            Format::Yaml => self.write(&format!("---\n{}", yaml(item))),
            Format::Csv => self.write(&table::csv(view, items, is_first)),
            Format::Name => self.write(&ids(view, items)),
        }
    }

    fn reader<'a>(&'a self, names: &'a Names) -> Reader<'a> {
        Reader { zone: &self.zone, names }
    }

    /// The lines of `--query`, if there is one.
    fn queried(&self, view: &View, items: &[Value]) -> Result<Option<String>, Failure> {
        let Some(query) = &self.query else { return Ok(None) };
        if let Some((unknown, known)) = query.unknown_field(view.message) {
            let known = known.join(", ");
            return Err(Failure::Usage(format!(
                "there is no field {unknown:?}; there are: {known}"
            )));
        }
        let lines = query.lines(items);
        // What others have written must not move the cursor of a terminal.
        Ok(Some(match io::stdout().is_terminal() {
            true => lines.lines().map(|line| format!("{}\n", cells::one_line(line))).collect(),
            false => lines,
        }))
    }

    /// Prints a text as it is.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = AutoStream::auto(io::stdout().lock());
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Refuses a form of results for a command that has none: programs read its exit status.
    pub(crate) fn refuse_forms(&self, command: &str) -> Result<(), Failure> {
        match self.is_for_people() {
            true => Ok(()),
            false => Err(Failure::Usage(format!(
                "`ktw {command}` has no results for --output and --query: its exit status tells programs"
            ))),
        }
    }

    /// Whether people read it, not programs.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table && self.query.is_none()
    }
}

/// Turns colours on or off for the whole program. Not given: a terminal gets them, unless NO_COLOR is set.
pub(crate) fn color(when: clap::ColorChoice) {
    let choice = match when {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Says something beside the results, on stderr, to people and logs.
pub(crate) fn message(text: &str) {
    let mut stderr = AutoStream::auto(io::stderr().lock());
    // Nobody reads it: that must not end the command.
    let _ = writeln!(stderr, "{text}");
}

/// The width of the terminal. None: the output is not a terminal.
fn width() -> Option<u16> {
    let (width, _) = terminal_size::terminal_size()?;
    io::stdout().is_terminal().then_some(width.0)
}

fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn ndjson(items: &[Value]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

fn yaml(value: &impl serde::Serialize) -> String {
    let mut text = serde_saphyr::to_string(value).unwrap_or_default();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn ids(view: &View, items: &[Value]) -> String {
    let ids = items.iter().filter_map(|item| query::find(item, view.id).and_then(Value::as_str));
    ids.map(|id| format!("{id}\n")).collect()
}

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    Ok(writeln!(stdout, "{text}")?)
}
