//! Checks the dependencies with cargo-deny, by the rules of `deny.toml`.
//!
//! The RustSec database is on GitHub and in no registry. The registry does know which versions were
//! withdrawn: the step `yanked` asks it each time. The step `advisories` asks RustSec, on machines
//! that reach GitHub.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, os};

use crate::failure::{Context, Failure, Result};
use crate::{shell, tools, workspace};

/// Licences, banned crates and sources.
pub(crate) fn rules() -> Command {
    let mut command = deny();
    command.args(["--locked", "check", "bans", "licenses", "sources"]);
    // The path to a duplicate is long; `cargo tree --duplicates` shows it.
    command.arg("--hide-inclusion-graph");
    command
}

/// Advisories of RustSec; fetches its database from GitHub.
pub(crate) fn advisories() -> Command {
    let mut command = deny();
    command.args(["--locked", "check", "advisories"]);
    command
}

/// Yanked versions among the crates that are built, by the registry's current state. Crates that are
/// only in Cargo.lock, as unused options, are ignored.
///
/// cargo-deny reads cargo's copy of the index, and cargo does not ask again about versions in a lock
/// file. So cargo gets a home with an empty index, and has to ask about every crate. It shares the
/// user's downloads and configuration.
pub(crate) fn yanked() -> Result<Command> {
    // cargo-deny runs offline, so that it does not need RustSec, and reads every crate.
    let mut fetch = workspace::cargo(&["fetch", "--locked", "--quiet"]);
    shell::run_quietly(&mut fetch).map_err(unknown)?;

    let directory = workspace::root().join("target/tools/yanked");
    let home = directory.join("cargo-home");
    make_home_without_index(&home)?;
    make_database_of_nothing(&directory.join("no-advisories"))?;

    // Updates nothing, and reads the index entry of each crate in the lock file.
    let mut ask = workspace::cargo(&["update", "--workspace", "--locked", "--quiet"]);
    shell::run_quietly(ask.env("CARGO_HOME", &home)).map_err(unknown)?;

    let mut command = deny();
    command
        .args(["--offline", "--config", "xtask/deny/yanked.toml"])
        // A crate that the index does not know must not pass as one that is not yanked.
        .args(["check", "--deny", "index-failure", "--deny", "index-cache-load-failure"])
        .args(["--hide-inclusion-graph", "advisories"])
        .env("CARGO_HOME", home);
    Ok(command)
}

fn unknown(failure: Failure) -> Failure {
    Failure::new(format!(
        "could not ask the registry which crates are yanked, so nothing is known about them; \
         check that this machine reaches crates.io and that Cargo.lock is up to date: {failure}"
    ))
}

fn deny() -> Command {
    let mut command = Command::new(tools::cargo_deny());
    command.current_dir(workspace::root());
    command
}

fn make_home_without_index(home: &Path) -> Result {
    if home.exists() {
        fs::remove_dir_all(home).context(|| format!("remove {}", home.display()))?;
    }
    let registry = home.join("registry");
    fs::create_dir_all(&registry).context(|| format!("create {}", registry.display()))?;
    let users = users_cargo_home()?;
    for shared in ["config.toml", "credentials.toml", "registry/cache", "registry/src"] {
        let target = users.join(shared);
        if target.exists() {
            let link = home.join(shared);
            os::unix::fs::symlink(target, &link)
                .context(|| format!("create the link {}", link.display()))?;
        }
    }
    Ok(())
}

fn users_cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .ok_or_else(|| Failure::new("there is no home directory: set CARGO_HOME or HOME"))
}

/// Makes what cargo-deny takes for a freshly fetched database. Its directory is named after the last
/// part of the URL in xtask/deny/yanked.toml and a hash of the URL.
fn make_database_of_nothing(databases: &Path) -> Result {
    let database = databases.join("none-6a65c4d1f6f59e87");
    for directory in [database.join("crates"), database.join(".git")] {
        fs::create_dir_all(&directory).context(|| format!("create {}", directory.display()))?;
    }
    for (name, content) in [(".git/FETCH_HEAD", ""), ("crates/none.md", ADVISORY_OF_NOTHING)] {
        let file = database.join(name);
        fs::write(&file, content).context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// cargo-deny refuses a database without any advisory. No crate can have this package name.
const ADVISORY_OF_NOTHING: &str = "```toml
[advisory]
id = \"NONE-0000-0001\"
package = \"-\"
date = \"2026-01-01\"

[versions]
patched = []
```

# No advisory

Only yanked crates are looked for.
";
