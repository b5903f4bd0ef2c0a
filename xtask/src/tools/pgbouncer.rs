//! Finds PgBouncer, or installs it from the system's packages.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Failure, Result};
use crate::shell;

/// Links `link` to PgBouncer.
pub(super) fn prepare(link: &Path) -> Result<String> {
    let program = match find() {
        Some(program) => program,
        None => {
            apt::install_without_a_server("pgbouncer (in PATH or /usr/sbin)", "pgbouncer")?;
            find()
                .ok_or_else(|| Failure::new("pgbouncer was installed, but is not in /usr/sbin"))?
        }
    };
    if fs::read_link(link).ok().as_deref() != Some(&program) {
        if link.is_symlink() {
            fs::remove_file(link).context(|| format!("remove {}", link.display()))?;
        }
        symlink(&program, link).context(|| format!("make the link {}", link.display()))?;
    }
    let said = shell::run_quietly(Command::new(link).arg("--version"))?;
    Ok(format!("{} in {}", said.lines().next().unwrap_or_default(), program.display()))
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Not in everybody's PATH.
    let directories = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join("pgbouncer")).find(|program| program.is_file())
}
