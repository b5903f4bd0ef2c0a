//! promtool, Prometheus' own judge of its configuration: found, or installed from the system's
//! packages.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Failure, Result};
use crate::shell;

/// Debian asks it before it starts what it has installed; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes `link` lead to promtool.
pub(super) fn prepare(link: &Path) -> Result<String> {
    let program = match find() {
        Some(program) => program,
        None => {
            install_without_a_server()?;
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

/// Debian's package starts a Prometheus when it is installed, and at each boot. A machine should
/// not get a server by running tests.
fn install_without_a_server() -> Result {
    let policy = Path::new(POLICY);
    // Whoever has a policy knows what should be started.
    let needs_policy = apt::can_install() && !policy.exists();
    if needs_policy {
        fs::write(policy, "#!/bin/sh\nexit 101\n").context(|| format!("write {POLICY}"))?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
            .context(|| format!("make {POLICY} executable"))?;
    }
    let outcome = apt::install("promtool (in PATH)", &["prometheus"]);
    if needs_policy {
        fs::remove_file(policy).context(|| format!("remove {POLICY}"))?;
    }
    outcome?;
    // Without systemd there is nothing to disable.
    shell::succeeds(Command::new("systemctl").args(["disable", "prometheus.service"]));
    Ok(())
}
