//! The key that calls carry.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

/// How long a key that was read from a file is used before the file is read again.
const FRESH: Duration = Duration::from_secs(5);
/// No key is longer; a file that is cannot be one.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// A key, or the file that has it. Debug shows none.
pub(crate) enum Credential {
    /// Calls carry no key.
    None,
    Key(MetadataValue<Ascii>),
    File(KeyFile),
}

/// A file with the key, which may be replaced at any time.
pub(crate) struct KeyFile {
    path: PathBuf,
    last: Mutex<Read>,
}

#[derive(Clone)]
struct Read {
    value: MetadataValue<Ascii>,
    at: Instant,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the API key is empty")]
    Empty,
    #[error("the API key has characters other than visible ASCII ones")]
    NotVisibleAscii,
    #[error("cannot read the API key from {}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("the file of the API key, {}, has more than 16 KiB", .0.display())]
    TooLarge(PathBuf),
}

impl Credential {
    pub(crate) fn of_key(key: &str) -> Result<Credential, KeyError> {
        Ok(Credential::Key(bearer(key)?))
    }

    /// Reads the file for the first time, so that a wrong path is an error at once.
    pub(crate) fn of_file(path: PathBuf) -> Result<Credential, KeyError> {
        let value = read(&path)?;
        let last = Mutex::new(Read { value, at: Instant::now() });
        Ok(Credential::File(KeyFile { path, last }))
    }

    /// The value of `authorization`. None: calls carry no key.
    pub(crate) async fn current(&self) -> Option<MetadataValue<Ascii>> {
        match self {
            Credential::None => None,
            Credential::Key(value) => Some(value.clone()),
            Credential::File(file) => Some(file.current(FRESH).await),
        }
    }

    /// Whether there is another key now than the one that the server has just refused.
    pub(crate) async fn has_changed(&self, refused: Option<&MetadataValue<Ascii>>) -> bool {
        match self {
            Credential::File(file) => Some(&file.current(Duration::ZERO).await) != refused,
            Credential::None | Credential::Key(_) => false,
        }
    }
}

impl KeyFile {
    /// The key, read within this time. If the file cannot be read, as in the middle of its replacement,
    /// the last key stays.
    async fn current(&self, within: Duration) -> MetadataValue<Ascii> {
        let last = self.last();
        let now = Instant::now();
        if now.saturating_duration_since(last.at) < within {
            return last.value;
        }
        let path = self.path.clone();
        let value = match tokio::task::spawn_blocking(move || read(&path)).await {
            Ok(Ok(value)) => value,
            Ok(Err(_)) | Err(_) => last.value,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Read { value: value.clone(), at: now };
        value
    }

    fn last(&self) -> Read {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(path: &PathBuf) -> Result<MetadataValue<Ascii>, KeyError> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| KeyError::File { path: path.clone(), error })?;
    if text.len() as u64 > MAX_KEY_BYTES {
        return Err(KeyError::TooLarge(path.clone()));
    }
    bearer(text.trim())
}

fn bearer(key: &str) -> Result<MetadataValue<Ascii>, KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeyError::NotVisibleAscii);
    }
    let text = Zeroizing::new(format!("Bearer {key}"));
    let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| KeyError::NotVisibleAscii)?;
    // Keeps it out of Debug output and out of HTTP/2's header table (RFC 7541 section 7.1.3).
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::None => f.write_str("None"),
            Credential::Key(_) => f.write_str("Key(..)"),
            Credential::File(file) => write!(f, "File({})", file.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_and_no_output_shows_it() {
        let credential = Credential::of_key("kt_0123").expect("a key");
        let Credential::Key(value) = &credential else { panic!("{credential:?}") };
        assert_eq!(value.as_bytes(), b"Bearer kt_0123");
        assert!(!format!("{credential:?} {value:?}").contains("0123"));
        for wrong in ["", "kt 0", "kt\n", "ключ"] {
            let error = Credential::of_key(wrong).expect_err(wrong).to_string();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_replaced_in_its_file_is_taken_after_a_while_or_when_the_old_one_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "kt_1\n").expect("written");
        let credential = Credential::of_file(path.clone()).expect("a key");
        let first = credential.current().await.expect("a key");
        assert_eq!(first.as_bytes(), b"Bearer kt_1");

        std::fs::write(&path, "kt_2\n").expect("written");
        assert_eq!(credential.current().await.as_ref(), Some(&first), "not read for every call");
        assert!(credential.has_changed(Some(&first)).await);
        assert_eq!(credential.current().await.expect("a key").as_bytes(), b"Bearer kt_2");

        std::fs::write(&path, "kt_3\n").expect("written");
        tokio::time::advance(FRESH).await;
        assert_eq!(credential.current().await.expect("a key").as_bytes(), b"Bearer kt_3");

        std::fs::remove_file(&path).expect("removed");
        tokio::time::advance(FRESH).await;
        let kept = credential.current().await.expect("a key");
        assert_eq!(kept.as_bytes(), b"Bearer kt_3", "it is being replaced");
        assert!(!credential.has_changed(Some(&kept)).await);
    }
}
