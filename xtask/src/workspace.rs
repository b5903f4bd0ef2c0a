//! Paths of this repository, and its cargo.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Result};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The directory that cargo builds into: this program is `<target>/debug/xtask`.
pub(crate) fn target() -> Result<PathBuf> {
    let program = env::current_exe().context(|| "find out where xtask is".to_owned())?;
    Ok(program.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_owned))
}

/// A cargo command that runs at the root as if called from a shell.
///
/// `cargo run` describes the xtask package in the environment. Build scripts that watch
/// those variables (ring's does) would run again each time cargo is called from here and
/// then from a shell, and everything above them would be compiled again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    for (name, _) in env::vars_os() {
        let about_xtask = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO"
        });
        if about_xtask {
            command.env_remove(name);
        }
    }
    command
}

/// The names of the integration tests (`<package>/tests/<name>.rs` or
/// `<package>/tests/<name>/main.rs`) of the packages under a folder of the root, sorted.
pub(crate) fn integration_tests(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for package in entries(&root().join(folder))? {
        let tests = package.join("tests");
        if !tests.is_dir() {
            continue;
        }
        for test in entries(&tests)? {
            let is_target = test.extension().is_some_and(|extension| extension == "rs")
                || test.join("main.rs").is_file();
            if let (true, Some(name)) = (is_target, test.file_stem().and_then(|s| s.to_str())) {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("read {}", directory.display());
    fs::read_dir(directory)
        .context(reading)?
        .map(|entry| Ok(entry.context(reading)?.path()))
        .collect()
}
