//! Secrets at rest: sealed with AES-256-GCM under a master key that lives in a file of its own,
//! so that neither the log nor a backup of the database shows them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use sha2::{Digest, Sha256};

const KEY_BYTES: usize = 32;

/// The master key. Its Debug shows its id only.
#[derive(Clone)]
pub struct Keyring {
    key_id: String,
    cipher: Aes256Gcm,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", self.key_id)
    }
}

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or made.
    #[error("cannot {action} the master key file {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file's content is not a key.
    #[error(
        "{path} is not a master key: it must hold 64 hex digits (make one with `openssl rand -hex 32`)"
    )]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// The database's secrets were sealed with another key.
    #[error(
        "the master key in {path} (id {found}) is not the one that this database's secrets are sealed with (id {expected}): use the file that was made with the database"
    )]
    WrongKey {
        /// Which file.
        path: PathBuf,
        /// Its key's id.
        found: String,
        /// The id that the database expects.
        expected: String,
    },
}

/// A sealed secret that cannot be opened: another key's, or not this endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret was sealed with key {key_id} and cannot be opened")]
pub struct CannotOpen {
    key_id: String,
}

impl Keyring {
    /// Reads the key file, or makes one (mode 0600) if there is none.
    pub fn load_or_create(path: &Path) -> Result<Keyring, KeyringError> {
        match Self::load(path) {
            Err(KeyringError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)?;
                // What is in the file counts: another process may have been faster.
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the key file.
    pub fn load(path: &Path) -> Result<Keyring, KeyringError> {
        // A key is short; whatever is longer is not one, and is not read into memory.
        const MAX_FILE_BYTES: u64 = 1_024;
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
            .map_err(|source| KeyringError::File { action: "read", path: path.into(), source })?;
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key)
            .map_err(|_| KeyringError::NotAKey { path: path.into() })?;
        Ok(Self::from_key(key))
    }

    /// A keyring with this key.
    pub fn from_key(key: [u8; KEY_BYTES]) -> Keyring {
        let digest = Sha256::new().chain_update("keeptrusts master key id").chain_update(key);
        let key_id = hex::encode(&digest.finalize()[..8]);
        Keyring { key_id, cipher: Aes256Gcm::new(&key.into()) }
    }

    /// Says which key it is without saying anything about it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Encrypts an endpoint's secret.
    pub fn seal(
        &self,
        organization: &OrganizationId,
        endpoint: EndpointId,
        secret: &Secret,
    ) -> SealedSecret {
        let nonce = random();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: &associated_data(organization, endpoint),
        };
        let ciphertext = self.cipher.encrypt(Nonce::from_slice(&nonce), payload);
        SealedSecret {
            key_id: self.key_id.clone(),
            nonce,
            ciphertext: ciphertext.expect("AES-GCM takes messages of up to 64 GiB"),
        }
    }

    /// Decrypts an endpoint's secret.
    pub fn open(
        &self,
        organization: &OrganizationId,
        endpoint: EndpointId,
        sealed: &SealedSecret,
    ) -> Result<Secret, CannotOpen> {
        let cannot_open = || CannotOpen { key_id: sealed.key_id.clone() };
        let payload =
            Payload { msg: &sealed.ciphertext, aad: &associated_data(organization, endpoint) };
        let plain = self
            .cipher
            .decrypt(Nonce::from_slice(&sealed.nonce), payload)
            .map_err(|_| cannot_open())?;
        let text = String::from_utf8(plain).map_err(|_| cannot_open())?;
        Secret::new(text).map_err(|_| cannot_open())
    }

    fn create(path: &Path) -> Result<(), KeyringError> {
        let failed = |action| {
            let path = path.to_owned();
            move |source| KeyringError::File { action, path, source }
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        }
        // Written beside and linked into place, so that nobody ever reads half a key and of
        // two processes that start at once one wins.
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&draft).and_then(|mut file| {
            writeln!(file, "{}", hex::encode(random::<KEY_BYTES>()))?;
            file.sync_all()
        });
        written.map_err(failed("write"))?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).map_err(failed("tidy up after"))?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed("make")(error))
            }
            _ => Ok(()),
        }
    }
}

/// Random bytes from the operating system, fit for keys.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// Ties a ciphertext to its place: moved to another endpoint, it cannot be opened.
fn associated_data(organization: &OrganizationId, endpoint: EndpointId) -> Vec<u8> {
    format!("{organization}/{endpoint}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("correct horse battery".to_owned()).expect("long enough")
    }

    fn organization() -> OrganizationId {
        "default".parse().expect("valid")
    }

    #[test]
    fn a_secret_is_opened_only_with_its_key_and_at_its_place() {
        let keyring = Keyring::from_key([1; 32]);
        let sealed = keyring.seal(&organization(), EndpointId::MIN, &secret());
        let open = |keyring: &Keyring, endpoint| keyring.open(&organization(), endpoint, &sealed);
        assert_eq!(open(&keyring, EndpointId::MIN), Ok(secret()));
        assert!(open(&keyring, EndpointId::MAX).is_err(), "another endpoint's");
        assert!(open(&Keyring::from_key([2; 32]), EndpointId::MIN).is_err(), "another key");
    }

    #[test]
    fn invariant_10_a_sealed_secret_does_not_contain_the_secret() {
        let sealed = Keyring::from_key([1; 32]).seal(&organization(), EndpointId::MIN, &secret());
        let plain = secret();
        let plain = plain.expose().as_bytes();
        assert!(
            !sealed.ciphertext.windows(8).any(|part| plain.windows(8).any(|other| part == other))
        );
    }

    #[test]
    fn a_key_file_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/master.key");
        let made = Keyring::load_or_create(&path).expect("made");
        let read = Keyring::load_or_create(&path).expect("read");
        assert_eq!(made.key_id(), read.key_id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path().join("data")).expect("a folder").count(), 1);
    }

    #[test]
    fn a_file_that_is_not_a_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("master.key");
        fs::write(&path, "secret").expect("written");
        assert!(matches!(Keyring::load_or_create(&path), Err(KeyringError::NotAKey { .. })));
    }
}
