//! The documents are consistent with the repository: relative links and anchors, the decisions that
//! modules name, and the metrics that docs/monitoring.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The repository's files with an extension, without what is built or hidden.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let is_skipped = name.starts_with('.') || name == "target" || name == "node_modules";
            if entry.file_type().expect("a type").is_dir() && !is_skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The links of a document, and the anchors of its headings.
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Document {
    fn read(path: &Path) -> Document {
        let text = text(path);
        let (mut links, mut anchors) = (Vec::new(), BTreeSet::new());
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(&text, pulldown_cmark::Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    // Later headings with the same words have numbered anchors, which no link uses.
                    anchors.insert(anchor(&heading.take().unwrap_or_default()));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        Document { links, anchors }
    }
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// A path without `..`; the file need not exist.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_relative_link_leads_to_an_existing_file_and_heading() {
    let documents: BTreeMap<PathBuf, Document> =
        files("md").into_iter().map(|path| (path.clone(), Document::read(&path))).collect();
    assert!(documents.len() > 20, "only {} documents were found", documents.len());
    let mut broken = Vec::new();
    for (path, document) in &documents {
        let is_relative = |link: &&String| !link.contains("://") && !link.starts_with("mailto:");
        for link in document.links.iter().filter(is_relative) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => plain(&path.parent().expect("a folder").join(file)),
            };
            let leads_somewhere = match documents.get(&target) {
                Some(document) => anchor.is_empty() || document.anchors.contains(anchor),
                None => target.exists() && anchor.is_empty(),
            };
            if !leads_somewhere {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The decisions that modules name at the end of their headers: `//! Decision: docs/decisions/….md`.
fn named_decisions() -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for path in files("rs") {
        for line in text(&path).lines().take_while(|line| line.starts_with("//!")) {
            if let Some(decision) = line.strip_prefix("//! Decision: ") {
                let is_there = root().join(decision).is_file();
                assert!(is_there, "{} names {decision}, which is not there", path.display());
                named.insert(decision.to_owned());
            }
        }
    }
    named
}

#[test]
fn every_decision_is_listed_and_named_by_the_module_that_it_explains() {
    let named = named_decisions();
    let folder = root().join("docs/decisions");
    let listed = Document::read(&folder.join("README.md")).links;
    for entry in fs::read_dir(&folder).expect("decisions") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let decision = format!("docs/decisions/{name}");
        assert!(listed.contains(&name), "docs/decisions/README.md does not list {name}");
        assert!(named.contains(&decision), "no module ends its header with `Decision: {decision}`");
        let page = text(&folder.join(&name));
        for part in ["**Context.**", "**Decision.**", "**Consequences.**"] {
            assert!(page.contains(part), "{decision} has no {part}");
        }
    }
}

/// Anything longer belongs on a page of docs/, which these two link to.
#[test]
fn the_first_pages_to_read_stay_short() {
    for (name, most) in [("README.md", 4 * 1024), ("ARCHITECTURE.md", 12 * 1024)] {
        let length = text(&root().join(name)).len();
        assert!(length <= most, "{name} has {length} bytes, more than {most}");
    }
}

#[test]
fn the_map_of_the_architecture_has_every_crate_and_every_service() {
    let map = text(&root().join("ARCHITECTURE.md"));
    let paths: Vec<&str> = map
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    for folder in ["crates", "services"] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            // The first service of a row has the folder before its name, the others have not.
            let is_listed = paths.contains(&format!("{folder}/{name}").as_str())
                || (folder == "services" && paths.contains(&name.as_str()));
            assert!(is_listed, "ARCHITECTURE.md has no row for {folder}/{name}");
        }
    }
}

#[test]
fn every_page_of_the_documentation_is_listed() {
    let folder = root().join("docs");
    let listed = Document::read(&folder.join("README.md")).links;
    for entry in fs::read_dir(&folder).expect("docs") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        let is_page = name.ends_with(".md") && name != "README.md";
        assert!(!is_page || listed.contains(&name), "docs/README.md does not list {name}");
    }
}

#[test]
fn the_page_on_monitoring_lists_the_metrics_of_the_contract_and_no_others() {
    let types =
        include_str!("../contract.prom").lines().filter_map(|it| it.strip_prefix("# TYPE "));
    let contract: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let page = text(&root().join("docs/monitoring.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    assert_eq!(listed, contract);
}

#[test]
fn every_metric_that_the_code_makes_is_in_the_contract() {
    let types =
        include_str!("../contract.prom").lines().filter_map(|it| it.strip_prefix("# TYPE "));
    let contract: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    // In the middle of this string, so that it does not find itself.
    let start = concat!("\"keeptrusts_", "webhooks.");
    for path in files("rs") {
        let text = text(&path);
        for found in text.split(start).skip(1) {
            let name = found.split('"').next().unwrap_or_default().replace('.', "_");
            // As the exporter for Prometheus names them, by kind and unit.
            let is_known = ["", "_total", "_seconds"].iter().any(|ending| {
                contract.contains(format!("keeptrusts_webhooks_{name}{ending}").as_str())
            });
            assert!(is_known, "{}: contract.prom has no {name}", path.display());
        }
    }
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    for (heading, expected) in [
        ("The first key", "the-first-key"),
        ("What is kept, and for how long?", "what-is-kept-and-for-how-long"),
        ("Check and rebuild the tables", "check-and-rebuild-the-tables"),
        ("data_json", "data_json"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
}
