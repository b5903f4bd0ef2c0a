//! docs/configuration.md lists every flag as the programs describe it. Its tables are made here:
//! `cargo xtask documents` writes them, and the test compares.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use super::{COMMANDS, is_only_written, said_by, variable_of};

/// Set by `cargo xtask documents`: the page is written, not compared.
const WRITE: &str = "KEEPTRUSTS_WRITE_DOCUMENTS";
const BEGIN: &str = "<!-- Made by `cargo xtask documents` from here on. -->\n";

/// A flag as one program describes it.
struct FlagDescription {
    program: String,
    heading: String,
    /// `--listen ADDRESS`.
    usage: String,
    /// `--listen`.
    name: String,
    default: Option<String>,
    about: String,
}

/// A flag as all programs that have it describe it.
struct Row {
    heading: String,
    usage: String,
    name: String,
    about: String,
    programs: Vec<(String, Option<String>)>,
}

/// The page's name of a program or subcommand.
fn called(command: &[&str]) -> String {
    if command.len() == 1 { command[0].to_owned() } else { command[1..].join(" ") }
}

/// Parses clap's output: headings at the margin, flags indented a little, and below each its
/// paragraphs, indented more.
fn described(program: &str, help: &str) -> Vec<FlagDescription> {
    const TEXT: &str = "          ";
    let mut flags: Vec<FlagDescription> = Vec::new();
    let mut heading = String::new();
    for line in help.lines() {
        if let Some(text) = line.strip_prefix(TEXT) {
            if let Some(flag) = flags.last_mut() {
                flag.read(text);
            }
        } else if let Some(usage) = line.trim_start().strip_prefix("--") {
            let usage = format!("--{usage}").replace(['<', '>'], "");
            let usage = usage.trim_end_matches("...").to_owned();
            let name = usage.split(' ').next().unwrap_or_default().to_owned();
            flags.push(FlagDescription {
                program: program.to_owned(),
                heading: heading.clone(),
                usage,
                name,
                default: None,
                about: String::new(),
            });
        } else if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            heading = name.to_owned();
        } else if line.trim_start().starts_with('-') {
            // -h, --help; -V, --version.
            flags.push(FlagDescription::nothing());
        }
    }
    flags.retain(|flag| !flag.name.is_empty());
    flags
}

impl FlagDescription {
    fn nothing() -> FlagDescription {
        let nothing = String::new;
        FlagDescription {
            program: nothing(),
            heading: nothing(),
            usage: nothing(),
            name: nothing(),
            default: None,
            about: nothing(),
        }
    }

    /// Reads a line of its text: a paragraph, a possible value, or clap's additions.
    fn read(&mut self, line: &str) {
        let (text, default) = match line.split_once("[default: ") {
            Some((text, default)) => (text, Some(default.trim_end_matches(']'))),
            None => (line, None),
        };
        self.default = self.default.take().or(default.map(str::to_owned));
        let text = text.trim();
        if text.is_empty() || text.starts_with("[env: ") {
            return;
        }
        let sentence = match text.strip_prefix("- ").and_then(|value| value.split_once(':')) {
            Some((value, meaning)) => format!("`{value}`: {}.", meaning.trim()),
            None if text.ends_with(['.', ':']) => text.to_owned(),
            None => format!("{text}."),
        };
        if !self.about.is_empty() {
            self.about.push(' ');
        }
        let special = [('|', "\\|"), ('*', "\\*"), ('<', "&lt;"), ('>', "&gt;")];
        let escaped = special.iter().fold(sentence, |text, (from, to)| text.replace(*from, to));
        self.about.push_str(&escaped);
    }
}

/// The flags of all programs; those with the same description are one row.
async fn rows() -> (Vec<Row>, Vec<String>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut programs = Vec::new();
    for command in COMMANDS {
        let program = called(command);
        let flags = described(&program, &said_by(command, "--help").await);
        if !flags.is_empty() {
            programs.push(program);
        }
        for flag in flags {
            let is_same = |row: &&mut Row| {
                row.heading == flag.heading && row.usage == flag.usage && row.about == flag.about
            };
            let with = (flag.program, flag.default);
            match rows.iter_mut().find(is_same) {
                Some(row) => row.programs.push(with),
                None => rows.push(Row {
                    heading: flag.heading,
                    usage: flag.usage,
                    name: flag.name,
                    about: flag.about,
                    programs: vec![with],
                }),
            }
        }
    }
    (rows, programs)
}

impl Row {
    fn variable(&self) -> Option<String> {
        let has_one = !is_only_written(&self.name);
        has_one.then(|| variable_of(&self.name))
    }

    fn defaults(&self) -> String {
        let defaults: BTreeSet<_> = self.programs.iter().map(|(_, default)| default).collect();
        let shown = |default: &Option<String>| {
            default.as_ref().map_or(String::new(), |default| format!("`{default}`"))
        };
        if let (1, Some(default)) = (defaults.len(), defaults.first()) {
            return shown(default);
        }
        let of_each = self.programs.iter();
        let of_each = of_each.map(|(program, default)| format!("{} ({program})", shown(default)));
        of_each.collect::<Vec<_>>().join(", ")
    }

    /// The programs that have it, by their common name if the page has one.
    fn programs(&self, all: &[String]) -> String {
        let names: Vec<&str> = self.programs.iter().map(|(program, _)| program.as_str()).collect();
        let is_service = |name: &str| name == "serve" || name.ends_with("-service");
        let is_server = |name: &str| is_service(name) || name == "console";
        let are = |of: &dyn Fn(&str) -> bool| {
            let wanted: BTreeSet<&str> =
                all.iter().map(String::as_str).filter(|name| of(name)).collect();
            wanted == names.iter().copied().collect()
        };
        if are(&|_| true) {
            "every program".to_owned()
        } else if are(&is_server) {
            "every server".to_owned()
        } else if are(&is_service) {
            "every service".to_owned()
        } else {
            names.join(", ")
        }
    }
}

async fn tables() -> String {
    let (rows, programs) = rows().await;
    assert!(rows.len() > 90, "only {} flags were found", rows.len());
    let mut headings: Vec<&str> = Vec::new();
    for row in &rows {
        if !headings.contains(&row.heading.as_str()) {
            headings.push(&row.heading);
        }
    }
    let mut page = String::new();
    for heading in headings {
        page.push_str(&format!(
            "\n## {heading}\n\n| flag and variable | default | programs | what |\n|---|---|---|---|\n"
        ));
        for row in rows.iter().filter(|row| row.heading == heading) {
            let variable = row.variable().map(|name| format!("<br>`{name}`")).unwrap_or_default();
            page.push_str(&format!(
                "| `{}`{variable} | {} | {} | {} |\n",
                row.usage,
                row.defaults(),
                row.programs(&programs),
                row.about
            ));
        }
    }
    page
}

#[tokio::test]
async fn the_page_on_configuration_is_what_the_programs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).expect("docs/configuration.md");
    let (before, listed) = page.split_once(BEGIN).expect("where the tables begin");
    let tables = tables().await;
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{tables}")).expect("the page can be written");
    } else {
        let differing = tables.lines().zip(listed.lines()).find(|(wanted, is)| wanted != is);
        let advice = "docs/configuration.md is out of date: run `cargo xtask documents`";
        assert!(tables == listed, "{advice}\n{differing:#?}");
    }
}
