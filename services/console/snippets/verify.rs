use hmac::{Hmac, KeyInit, Mac};

fn verify(secret: &str, raw_body: &[u8], header: &str) -> bool {
    let Some(Ok(tag)) = header.strip_prefix("sha256=").map(hex::decode) else { return false };
    let keyed = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    keyed.chain_update(raw_body).verify_slice(&tag).is_ok()
}
