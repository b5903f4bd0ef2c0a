//! Debian's packages, where we may install them.

use std::process::Command;

use crate::failure::{Failure, Result};
use crate::shell;

/// Installs the packages that `missing` comes in, if we are root on a machine with apt;
/// otherwise says what to do.
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
