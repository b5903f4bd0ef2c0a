//! Installs tools from the npm registry: buf, axe-core for the browser tests, and the types that Slack,
//! PagerDuty and CloudEvents publish.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installation;
use crate::failure::{Context, Failure, Result};
use crate::{shell, workspace};

pub(super) fn buf(directory: &Path) -> PathBuf {
    directory.join("node_modules/.bin/buf")
}

pub(super) fn prepare(directory: &Path) -> Result<String> {
    let pins = workspace::root().join("xtask/npm/package.json");
    if !installation::is_installed(directory, &pins) || versions(directory).is_err() {
        install(directory, &pins)?;
        versions(directory)?;
        installation::mark_installed(directory, &pins)?;
    }
    versions(directory)
}

fn install(directory: &Path, pins: &Path) -> Result {
    if !shell::succeeds(Command::new("npm").arg("--version")) {
        return Err(Failure::new(
            "npm is not found: buf and axe-core come from its registry; install Node.js 20 or newer \
             with npm",
        ));
    }
    println!("    installing buf and axe-core from the npm registry");
    fs::create_dir_all(directory).context(|| format!("create {}", directory.display()))?;
    fs::copy(pins, directory.join("package.json"))
        .context(|| format!("copy {} into {}", pins.display(), directory.display()))?;
    // No lock file: the few packages pin each other exactly, and npm leaves the other
    // platforms' packages out of a lock made where a registry's mirror lacks them. Install
    // scripts are not needed: buf's only saves its starter some milliseconds.
    shell::run_quietly(
        Command::new("npm")
            .args(["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"])
            .current_dir(directory),
    )?;
    Ok(())
}

fn versions(directory: &Path) -> Result<String> {
    let buf = shell::run_quietly(Command::new(buf(directory)).arg("--version"))?;
    let axe = shell::run_quietly(
        Command::new("node").args(["-p", AXE_CORE_VERSION]).current_dir(directory),
    )?;
    Ok(format!("buf {}, axe-core {}", buf.trim(), axe.trim()))
}

/// Read from the file that the tests give to the browser.
const AXE_CORE_VERSION: &str = "require('./node_modules/axe-core/axe.min.js').version";
