//! The key that encrypts a shard's positions for clients.
//!
//! Decision: docs/decisions/clients-see-names-not-positions.md

use keeptrusts_webhooks_domain::ids::{OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::encryption::{KEY_BYTES, NONCE_BYTES, decrypt, encrypt};
use crate::error::StoreError;

/// Made with the shard, and never changed.
#[derive(Clone, PartialEq, Eq)]
pub struct PositionKey(Zeroizing<[u8; KEY_BYTES]>);

/// A position, and the operation whose record is there: a log that was restored from a backup has
/// another one at the same position. None: there is no record at the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedPosition {
    pub(crate) position: Position,
    pub(crate) operation: Option<OperationId>,
}

impl PositionKey {
    pub(crate) fn new(key: [u8; KEY_BYTES]) -> PositionKey {
        PositionKey(Zeroizing::new(key))
    }

    /// The key in a shard's row.
    pub(crate) fn stored(bytes: &[u8]) -> Result<PositionKey, StoreError> {
        let key = bytes.try_into().map(PositionKey::new);
        key.map_err(|_| {
            StoreError::Unreadable("a shard's position_key has not 32 bytes".to_owned())
        })
    }

    pub(crate) fn seal(&self, organization: &OrganizationId, sealed: SealedPosition) -> Vec<u8> {
        let SealedPosition { position, operation } = sealed;
        let operation = operation.unwrap_or(OperationId::MIN).ulid();
        let plain = [&position.0.to_be_bytes()[..], &operation.0.to_be_bytes()].concat();
        let (nonce, ciphertext) = encrypt(&self.0, &plain, place(organization));
        [&nonce[..], &ciphertext].concat()
    }

    /// None: it was not sealed for the organization with this key.
    pub(crate) fn open(
        &self,
        organization: &OrganizationId,
        sealed: &[u8],
    ) -> Option<SealedPosition> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let plain = decrypt(&self.0, nonce, ciphertext, place(organization))?;
        let (position, operation) = plain.split_first_chunk()?;
        let operation = u128::from_be_bytes(operation.try_into().ok()?);
        let operation =
            Some(OperationId::new(Ulid(operation))).filter(|id| *id != OperationId::MIN);
        Some(SealedPosition { position: Position(i64::from_be_bytes(*position)), operation })
    }
}

/// Ties a position to its organization: another one cannot open it.
fn place(organization: &OrganizationId) -> &[u8] {
    organization.as_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_opened_only_with_its_key_and_for_its_organization() {
        let (key, other) = (PositionKey::new([1; 32]), PositionKey::new([2; 32]));
        let [acme, globex]: [OrganizationId; 2] =
            ["acme", "globex"].map(|id| id.parse().expect("valid"));
        for operation in [None, Some(OperationId::MAX)] {
            let position = SealedPosition { position: Position(7), operation };
            let sealed = key.seal(&acme, position);
            assert_eq!(key.open(&acme, &sealed), Some(position));
            assert_eq!(key.open(&globex, &sealed), None, "another organization's");
            assert_eq!(other.open(&acme, &sealed), None, "another shard's");
            assert_ne!(key.seal(&acme, position), sealed, "equal positions do not show");
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(key.open(&acme, &changed), None, "changed at {at}");
                assert_eq!(key.open(&acme, &sealed[..at]), None, "cut at {at}");
            }
        }
    }
}
