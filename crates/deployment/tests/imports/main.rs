//! No more than two files of a crate import each other: a reader can begin at the bottom, and a
//! change stays where it is made.
//!
//! Re-exports are followed to the file that defines the name, and are no import by themselves.
//! Tests are left out.

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use code::Crate;
use petgraph::graphmap::DiGraphMap;

/// Two files may be two halves of one thought.
const MAX_FILES_IN_A_CIRCLE: usize = 2;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The files that each crate's code begins with.
fn entry_files() -> Vec<PathBuf> {
    let folders = ["crates", "services"].map(|name| root().join(name));
    let packages = folders.iter().flat_map(|folder| {
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
    });
    let packages = packages.chain(iter::once(root().join("xtask")));
    let files = packages.flat_map(|it| [it.join("src/lib.rs"), it.join("src/main.rs")]);
    let mut files: Vec<_> = files.filter(|file| file.exists()).collect();
    files.sort();
    files
}

/// Every set of files each of which leads to all others, by however many steps.
fn circles(imports: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<BTreeSet<&Path>> {
    let arrows = imports
        .iter()
        .flat_map(|(file, others)| others.iter().map(|other| (file.as_path(), other.as_path())));
    let sets = petgraph::algo::tarjan_scc(&DiGraphMap::<&Path, ()>::from_edges(arrows));
    sets.into_iter().filter(|set| set.len() > 1).map(BTreeSet::from_iter).collect()
}

#[test]
fn no_more_than_two_files_import_each_other() {
    let mut found = String::new();
    for entry in entry_files() {
        let imports = Crate::read(&entry).imports();
        for circle in circles(&imports).iter().filter(|it| it.len() > MAX_FILES_IN_A_CIRCLE) {
            found.push_str("\na circle:\n");
            for file in circle {
                for to in imports[*file].iter().filter(|to| circle.contains(to.as_path())) {
                    let [file, to] = [*file, to].map(|it| it.strip_prefix(root()).unwrap_or(it));
                    found.push_str(&format!("  {} imports {}\n", file.display(), to.display()));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "files import each other; move what several need into a file of its own:\n{found}"
    );
}

#[test]
fn a_circle_is_found_through_re_exports_and_macros() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports/circle");
    let imports = Crate::read(&folder.join("lib.rs")).imports();
    let circles = circles(&imports);
    let names: Vec<Vec<_>> = circles
        .iter()
        .map(|circle| circle.iter().filter_map(|file| file.file_name()?.to_str()).collect())
        .collect();
    assert_eq!(names, [["first.rs", "second.rs", "third.rs"]]);
}
