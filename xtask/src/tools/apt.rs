//! Installs Debian packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::failure::{Context, Failure, Result};
use crate::shell;

/// Installs the packages with `missing`, as root on a machine with apt. Otherwise the failure says
/// what to do.
pub(super) fn install(missing: &str, packages: &[&str]) -> Result {
    let packages_in_words = packages.join(" ");
    if !can_install() {
        return Err(Failure::new(format!(
            "{missing} is not found, and only root on a Debian system can install it from here; \
             install it yourself (there: `apt-get install {packages_in_words}`) and try again"
        )));
    }
    println!("    installing {packages_in_words} with apt-get");
    shell::run_quietly(apt_get().arg("update"))?;
    shell::run_quietly(
        apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages),
    )?;
    Ok(())
}

/// Debian runs this script before it starts an installed service; exit status 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs a package with a server, which Debian would start at once and at each boot. Running tests
/// must not start a server on the machine.
pub(super) fn install_without_a_server(missing: &str, package: &str) -> Result {
    let policy = Path::new(POLICY);
    // An existing policy is kept.
    let needs_policy = can_install() && !policy.exists();
    if needs_policy {
        fs::write(policy, "#!/bin/sh\nexit 101\n").context(|| format!("write {POLICY}"))?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
            .context(|| format!("make {POLICY} executable"))?;
    }
    let outcome = install(missing, &[package]);
    if needs_policy {
        fs::remove_file(policy).context(|| format!("remove {POLICY}"))?;
    }
    outcome?;
    // Without systemd there is nothing to disable.
    let unit = format!("{package}.service");
    shell::succeeds(Command::new("systemctl").args(["disable", &unit]));
    Ok(())
}

/// Whether [`install`] would try.
pub(super) fn can_install() -> bool {
    let is_root =
        shell::run_quietly(Command::new("id").arg("-u")).is_ok_and(|user_id| user_id.trim() == "0");
    is_root && shell::succeeds(Command::new("apt-get").arg("--version"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A configuration file that is there is kept, without a question.
        .env("UCF_FORCE_CONFFOLD", "1");
    command
}
