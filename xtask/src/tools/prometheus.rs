//! Finds promtool, Prometheus's checker of configuration and rules, or installs it from the system's
//! packages.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Failure, Result};
use crate::shell;

/// Links `link` to promtool.
pub(super) fn prepare(link: &Path) -> Result<String> {
    let program = match find() {
        Some(program) => program,
        None => {
            apt::install_without_a_server("promtool (in PATH)", "prometheus")?;
            find().ok_or_else(|| {
                Failure::new("prometheus was installed, but promtool is not in PATH")
            })?
        }
    };
    if fs::read_link(link).ok().as_deref() != Some(&program) {
        if link.is_symlink() {
            fs::remove_file(link).context(|| format!("remove {}", link.display()))?;
        }
        symlink(&program, link).context(|| format!("make the link {}", link.display()))?;
    }
    let said = shell::run_quietly(Command::new(link).arg("--version"))?;
    let version = said.split_whitespace().nth(2).unwrap_or_default();
    Ok(format!("promtool {version} in {}", program.display()))
}

fn find() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join("promtool"))
        .find(|program| program.is_file())
}
