//! Finds the Postgres server's programs, or installs them from the system's packages.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Failure, Result};
use crate::shell;

/// What the tests start.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "psql", "pg_isready"];

/// Links `link` to the programs of the newest Postgres.
pub(super) fn prepare(link: &Path) -> Result<String> {
    let directory = match find()? {
        Some(directory) => directory,
        None => {
            install_without_a_cluster()?;
            find()?.ok_or_else(|| {
                Failure::new(
                    "Postgres was installed, but its programs are not where Debian puts them",
                )
            })?
        }
    };
    if fs::read_link(link).ok().as_deref() != Some(&directory) {
        if link.is_symlink() {
            fs::remove_file(link).context(|| format!("remove {}", link.display()))?;
        }
        symlink(&directory, link).context(|| format!("make the link {}", link.display()))?;
    }
    let version = shell::run_quietly(Command::new(link.join("postgres")).arg("--version"))?;
    Ok(format!("{} in {}", version.trim(), directory.display()))
}

fn find() -> Result<Option<PathBuf>> {
    if let Some(chosen) = env::var_os("KEEPTRUSTS_TEST_PG_BIN").map(PathBuf::from) {
        let directory = chosen
            .canonicalize()
            .context(|| format!("find KEEPTRUSTS_TEST_PG_BIN {}", chosen.display()))?;
        if !is_complete(&directory) {
            return Err(Failure::new(format!(
                "KEEPTRUSTS_TEST_PG_BIN is {}, where not all of {} are",
                directory.display(),
                PROGRAMS.join(", ")
            )));
        }
        return Ok(Some(directory));
    }
    let packaged = newest(Path::new("/usr/lib/postgresql"));
    Ok(packaged.or_else(|| {
        env::split_paths(&env::var_os("PATH")?)
            // Debian has links in /usr/bin to some of the programs.
            .filter_map(|directory| directory.join("postgres").canonicalize().ok())
            .filter_map(|program| Some(program.parent()?.to_owned()))
            .find(|directory| is_complete(directory))
    }))
}

/// The newest complete `<base>/<major version>/bin`.
fn newest(base: &Path) -> Option<PathBuf> {
    fs::read_dir(base)
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, directory)| is_complete(directory))
        .max()
        .map(|(_, directory)| directory)
}

fn is_complete(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| directory.join(program).is_file())
}

/// Debian's package creates and starts a cluster named main when it is installed. Running tests must
/// not start a database server on the machine.
fn install_without_a_cluster() -> Result {
    let install = || {
        let missing =
            "the Postgres server (in KEEPTRUSTS_TEST_PG_BIN, /usr/lib/postgresql or PATH)";
        apt::install(missing, &["postgresql"])
    };
    let configuration = Path::new("/etc/postgresql-common/createcluster.conf");
    if !apt::can_install() || configuration.exists() {
        return install();
    }
    let directory = Path::new("/etc/postgresql-common");
    fs::create_dir_all(directory).context(|| format!("create {}", directory.display()))?;
    fs::write(configuration, "create_main_cluster = false\n")
        .context(|| format!("write {}", configuration.display()))?;
    let outcome = install();
    let removed =
        fs::remove_file(configuration).context(|| format!("remove {}", configuration.display()));
    outcome.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_version_is_taken() {
        let base = env::temp_dir().join(format!("xtask-postgres-{}", std::process::id()));
        for (version, programs) in [("9", 4), ("15", 4), ("17", 1)] {
            let directory = base.join(version).join("bin");
            fs::create_dir_all(&directory).unwrap();
            for program in &PROGRAMS[..programs] {
                fs::write(directory.join(program), "").unwrap();
            }
        }

        assert_eq!(newest(&base), Some(base.join("15/bin")));
        assert_eq!(newest(&base.join("none")), None);

        fs::remove_dir_all(&base).unwrap();
    }
}
