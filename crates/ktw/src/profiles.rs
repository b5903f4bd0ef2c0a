//! Profiles: servers, organizations and keys by name, in a file that only its owner can read.
//!
//! The file is TOML, `ktw/profiles.toml` in the user's configuration folder (`$XDG_CONFIG_HOME`,
//! `~/.config`), or what `KTW_PROFILES` names.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The variable that names another file.
pub(crate) const FILE_VARIABLE: &str = "KTW_PROFILES";

/// All profiles.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The one that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// One server, with what is needed to call it. Without Debug: it has a key.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    /// The key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Or the file that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
}

impl Profiles {
    /// The file's path.
    pub(crate) fn path() -> Result<PathBuf, Failure> {
        if let Some(path) = env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let folders = etcetera::choose_base_strategy();
        let folders = folders.map_err(|error| Failure::local("find your home folder", error))?;
        Ok(folders.config_dir().join("ktw").join("profiles.toml"))
    }

    /// The profiles of the file; none if it does not exist. A file that others can read is refused: it
    /// has keys.
    pub(crate) fn load(path: &Path) -> Result<Profiles, Failure> {
        let doing = || format!("read {}", path.display());
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => return Err(Failure::local(doing(), error)),
        };
        refuse_if_others_can_read(path)?;
        // The error of the library shows the line, which may have the key: only the place is said.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            Failure::local(doing(), format!("{place}{}", error.message()))
        })
    }

    /// Replaces the file in one step, readable by its owner only.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::local(format!("write {}", path.display()), error);
        let text = toml::to_string(self);
        let text = text.map_err(|error| Failure::local("write the profiles", error))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        // tempfile creates it with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The profile of this name.
    pub(crate) fn get(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| {
            let names: Vec<_> = self.profiles.keys().map(String::as_str).collect();
            Failure::Usage(match names.is_empty() {
                true => format!("there is no profile {name:?}: `ktw profiles add {name}` makes it"),
                false => format!("there is no profile {name:?}; there are: {}", names.join(", ")),
            })
        })
    }
}

#[cfg(unix)]
fn refuse_if_others_can_read(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path);
    let mode =
        metadata.map_err(|error| Failure::local(format!("read {}", path.display()), error))?;
    match mode.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(Failure::Usage(format!(
            "others can read {0}, which has keys: chmod 600 {0}",
            path.display()
        ))),
    }
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Path) -> Result<(), Failure> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            address: "https://webhooks.example.com".to_owned(),
            key: Some("kt_1".to_owned()),
            ..Profile::default()
        }
    }

    #[test]
    fn profiles_are_kept_in_a_file_of_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ktw/profiles.toml");
        let profiles = BTreeMap::from([("prod".to_owned(), profile())]);
        Profiles { default: Some("prod".to_owned()), profiles }.save(&path).expect("saved");
        let read = Profiles::load(&path).expect("read");
        let chosen = read.get(read.default.as_deref().expect("a default")).expect("known");
        assert_eq!(
            (chosen.address.as_str(), chosen.key.as_deref()),
            ("https://webhooks.example.com", Some("kt_1"))
        );
        assert!(matches!(read.get("test"), Err(Failure::Usage(_))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
            assert!(matches!(Profiles::load(&path), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn an_error_of_the_file_shows_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("profiles.toml");
        Profiles::default().save(&path).expect("saved");
        fs::write(&path, "[profiles.x]\naddress = 1\nkey = kt_secret").expect("written");
        let failure = Profiles::load(&path).err().expect("refused");
        assert!(!failure.text().contains("kt_secret"), "{}", failure.text());
    }
}
