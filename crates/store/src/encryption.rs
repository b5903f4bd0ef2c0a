//! AES-256-GCM, with a random nonce for each message.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use zeroize::Zeroizing;

use crate::random::random;

/// The size of every key.
pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 12;

/// Nonces are random: far below 2^32 messages under one key, they practically never repeat
/// (NIST SP 800-38D section 8.3).
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    plain: &[u8],
    place: &[u8],
) -> ([u8; NONCE_BYTES], Vec<u8>) {
    let nonce = random();
    let payload = Payload { msg: plain, aad: place };
    let encrypted = cipher(key).encrypt(Nonce::from_slice(&nonce), payload);
    (nonce, encrypted.expect("AES-GCM takes messages of up to 64 GiB"))
}

/// None: it was encrypted with another key or for another place, or has been changed.
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    ciphertext: &[u8],
    place: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload { msg: ciphertext, aad: place };
    cipher(key).decrypt(Nonce::from_slice(nonce), payload).map(Zeroizing::new).ok()
}

/// Made for each use: a key takes 32 bytes of memory, its cipher a thousand.
fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key))
}
