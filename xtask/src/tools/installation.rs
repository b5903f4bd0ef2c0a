//! Records which pinned versions a directory has installed.

use std::fs;
use std::path::Path;

use crate::failure::{Context, Result};

/// Whether a directory has the versions of a file of pinned versions.
pub(super) fn is_installed(directory: &Path, pins: &Path) -> bool {
    match (fs::read(directory.join(STAMP)), fs::read(pins)) {
        (Ok(installed), Ok(wanted)) => installed == wanted,
        _ => false,
    }
}

/// Records the pinned versions. Call it as the last step of an installation.
pub(super) fn mark_installed(directory: &Path, pins: &Path) -> Result {
    fs::copy(pins, directory.join(STAMP))
        .context(|| format!("note in {} what is installed", directory.display()))?;
    Ok(())
}

const STAMP: &str = ".installed-from";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_counts_only_for_the_pins_it_was_made_from() {
        let directory = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let pins = directory.join("pins.txt");

        fs::write(&pins, "tool==1").unwrap();
        assert!(!is_installed(&directory, &pins));
        mark_installed(&directory, &pins).unwrap();
        assert!(is_installed(&directory, &pins));
        fs::write(&pins, "tool==2").unwrap();
        assert!(!is_installed(&directory, &pins));

        fs::remove_dir_all(&directory).unwrap();
    }
}
