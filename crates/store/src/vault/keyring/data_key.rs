//! An organization's data key, which seals its secrets and is itself wrapped under a master key.

use std::fmt;

use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use zeroize::Zeroizing;

use super::error::KeyProblem;
use super::master_keys::MasterKey;
use crate::encryption::{KEY_BYTES, decrypt, encrypt};
use crate::random::random;
use crate::vault::WrappedDataKey;

/// A data key in clear. Its memory is wiped on drop; its Debug shows its id only.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct DataKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// The owner of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOwner {
    /// An endpoint: the secret that signs its deliveries.
    Endpoint(EndpointId),
    /// An endpoint with PagerDuty's payload format: its routing key.
    RoutingKey(EndpointId),
    /// A notification channel.
    Channel(ChannelId),
}

impl From<EndpointId> for SecretOwner {
    fn from(id: EndpointId) -> Self {
        SecretOwner::Endpoint(id)
    }
}

impl From<ChannelId> for SecretOwner {
    fn from(id: ChannelId) -> Self {
        SecretOwner::Channel(id)
    }
}

impl DataKey {
    pub(super) fn generate() -> DataKey {
        let id = format!("dk_{}", hex::encode(random::<16>()));
        DataKey { id, key: Zeroizing::new(random()) }
    }

    /// Encrypts the key under a master key, for the database.
    pub(super) fn wrapped(
        &self,
        organization: &OrganizationId,
        master_key: &MasterKey,
    ) -> WrappedDataKey {
        let (nonce, ciphertext) =
            encrypt(master_key.bytes(), &self.key[..], &key_place(organization, &self.id));
        let (data_key_id, master_key_id) = (self.id.clone(), master_key.id().to_owned());
        WrappedDataKey { data_key_id, master_key_id, nonce: nonce.to_vec(), ciphertext }
    }

    /// Decrypts a key with the master key that it names.
    pub(super) fn unwrapped(
        organization: &OrganizationId,
        wrapped: &WrappedDataKey,
        master_key: &MasterKey,
    ) -> Result<DataKey, KeyProblem> {
        let place = key_place(organization, &wrapped.data_key_id);
        let damaged = || KeyProblem::damaged(organization, wrapped);
        let nonce = wrapped.nonce.as_slice().try_into().map_err(|_| damaged())?;
        let plain = decrypt(master_key.bytes(), nonce, &wrapped.ciphertext, &place);
        let plain = plain.ok_or_else(damaged)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if plain.len() != KEY_BYTES {
            return Err(damaged());
        }
        key.copy_from_slice(&plain);
        Ok(DataKey { id: wrapped.data_key_id.clone(), key })
    }

    pub(super) fn seal(
        &self,
        organization: &OrganizationId,
        owner: SecretOwner,
        secret: &Secret,
    ) -> SealedSecret {
        let place = secret_place(organization, owner);
        let (nonce, ciphertext) = encrypt(&self.key, secret.expose().as_bytes(), &place);
        SealedSecret { key_id: self.id.clone(), nonce, ciphertext }
    }

    pub(super) fn open(
        &self,
        organization: &OrganizationId,
        owner: SecretOwner,
        sealed: &SealedSecret,
    ) -> Result<Secret, KeyProblem> {
        let unreadable = || KeyProblem::Unreadable { key_id: sealed.key_id.clone() };
        if sealed.key_id != self.id {
            return Err(unreadable());
        }
        let place = secret_place(organization, owner);
        let plain = decrypt(&self.key, &sealed.nonce, &sealed.ciphertext, &place);
        let plain = plain.ok_or_else(unreadable)?;
        let text = std::str::from_utf8(&plain).map_err(|_| unreadable())?;
        Ok(Secret::opened(text.to_owned()))
    }
}

/// Ties a wrapped key to its place: moved to another organization, it cannot be unwrapped.
fn key_place(organization: &OrganizationId, data_key_id: &str) -> Vec<u8> {
    format!("{organization}/{data_key_id}").into_bytes()
}

/// Ties a ciphertext to its place: moved to another endpoint or channel, or taken for the endpoint's
/// other secret, it cannot be opened.
fn secret_place(organization: &OrganizationId, owner: SecretOwner) -> Vec<u8> {
    // The prefixes of ids tell endpoints and channels apart.
    match owner {
        SecretOwner::Endpoint(id) => format!("{organization}/{id}").into_bytes(),
        SecretOwner::RoutingKey(id) => format!("{organization}/{id}/routing_key").into_bytes(),
        SecretOwner::Channel(id) => format!("{organization}/{id}").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("correct horse battery".to_owned()).expect("long enough")
    }

    fn organization(id: &str) -> OrganizationId {
        id.parse().expect("valid")
    }

    #[test]
    fn a_secret_is_opened_only_with_its_key_and_at_its_place() {
        let (key, other) = (DataKey::generate(), DataKey::generate());
        let (acme, globex) = (organization("acme"), organization("globex"));
        let sealed = key.seal(&acme, EndpointId::MIN.into(), &secret());
        assert_eq!(key.open(&acme, EndpointId::MIN.into(), &sealed), Ok(secret()));
        assert!(key.open(&acme, EndpointId::MAX.into(), &sealed).is_err(), "another endpoint's");
        assert!(key.open(&acme, ChannelId::MIN.into(), &sealed).is_err(), "a channel's");
        let routing_key = SecretOwner::RoutingKey(EndpointId::MIN);
        assert!(key.open(&acme, routing_key, &sealed).is_err(), "the endpoint's other secret");
        assert!(
            key.open(&globex, EndpointId::MIN.into(), &sealed).is_err(),
            "another organization's"
        );
        let renamed = SealedSecret { key_id: other.id.clone(), ..sealed.clone() };
        assert!(other.open(&acme, EndpointId::MIN.into(), &renamed).is_err(), "another key");
        assert!(
            key.open(&acme, EndpointId::MIN.into(), &renamed).is_err(),
            "not the key that it names"
        );
    }

    #[test]
    fn a_data_key_is_unwrapped_only_with_its_master_key_and_at_its_place() {
        let (key, master_key) = (DataKey::generate(), MasterKey::generate());
        let (acme, globex) = (organization("acme"), organization("globex"));
        let wrapped = key.wrapped(&acme, &master_key);
        assert_eq!(wrapped.master_key_id, master_key.id());
        assert_eq!(DataKey::unwrapped(&acme, &wrapped, &master_key), Ok(key));
        assert!(DataKey::unwrapped(&globex, &wrapped, &master_key).is_err(), "moved");
        assert!(DataKey::unwrapped(&acme, &wrapped, &MasterKey::generate()).is_err());
        let renamed = WrappedDataKey { data_key_id: "dk_other".to_owned(), ..wrapped.clone() };
        assert!(DataKey::unwrapped(&acme, &renamed, &master_key).is_err(), "renamed");
        let mut changed = wrapped;
        changed.ciphertext[0] ^= 1;
        assert!(DataKey::unwrapped(&acme, &changed, &master_key).is_err(), "changed");
    }

    #[test]
    fn invariant_10_what_is_sealed_or_shown_does_not_contain_the_secret_or_the_key() {
        let (key, master_key) = (DataKey::generate(), MasterKey::generate());
        let acme = organization("acme");
        let contains = |whole: &[u8], part: &[u8]| {
            whole.windows(8).any(|window| part.windows(8).any(|other| window == other))
        };
        let sealed = key.seal(&acme, EndpointId::MIN.into(), &secret());
        assert!(!contains(&sealed.ciphertext, secret().expose().as_bytes()));
        assert!(!contains(&key.wrapped(&acme, &master_key).ciphertext, &key.key[..]));
        assert_eq!(format!("{key:?}"), format!("DataKey({})", key.id));
    }
}
