//! The signatures of requests, which receivers verify.
//!
//! Decision: docs/decisions/a-secret-is-one-text-and-two-keys.md

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

type HmacSha256 = Hmac<Sha256>;

/// The value of X-Keeptrusts-Signature: `sha256=` and the hex HMAC-SHA256 of the raw body,
/// keyed with the secret's UTF-8 bytes.
pub fn keeptrusts_signature(secret: &Secret, body: &[u8]) -> String {
    let tag = keyed(secret.expose().as_bytes()).chain_update(body).finalize().into_bytes();
    format!("sha256={}", hex::encode(tag))
}

/// One entry of `webhook-signature` as Standard Webhooks 1.0 defines it: `v1,` and the base64
/// HMAC-SHA256 of `{message id}.{timestamp}.{body}`, keyed with the secret's
/// [standard key](Secret::standard_key).
/// `timestamp` is in seconds since the Unix epoch; the header `webhook-timestamp` has the same.
pub fn standard_signature(
    secret: &Secret,
    message_id: impl Display,
    timestamp: i64,
    body: &[u8],
) -> String {
    let tag = keyed(&secret.standard_key())
        .chain_update(format!("{message_id}.{timestamp}."))
        .chain_update(body)
        .finalize()
        .into_bytes();
    format!("v1,{}", STANDARD.encode(tag))
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    // The expected values are from Python: hmac.new(key, message, "sha256").
    #[test]
    fn signatures_are_those_that_other_implementations_compute() {
        let secret = Secret::new("0123456789abcdef".to_owned()).expect("long enough");
        let body = br#"{"event":"webhook.test"}"#;
        assert_eq!(
            keeptrusts_signature(&secret, body),
            "sha256=8a45d16e04d0c75208dfb3d8762fe2c85afcd4749616029cb3817b18ac23657c"
        );
        let id = EventId::new(ulid::Ulid(1));
        assert_eq!(
            standard_signature(&secret, id, 1_700_000_000, body),
            "v1,K0uXNsNEmwTvb/VJiY/pQJBVaFDWavvneYSZtybyMFU="
        );
    }

    #[test]
    fn one_scheme_signs_with_the_text_of_a_secret_and_the_other_with_its_decoded_bytes() {
        let text = "whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=";
        let secret = Secret::new(text.to_owned()).expect("it is one");
        let body = br#"{"event":"webhook.test"}"#;
        assert_eq!(
            keeptrusts_signature(&secret, body),
            "sha256=186b59f16a48d450c41eea2e1e7e1f03c2dda0b4c76c34e707c813f8b2344e8e"
        );
        let id = EventId::new(ulid::Ulid(1));
        assert_eq!(
            standard_signature(&secret, id, 1_700_000_000, body),
            "v1,u/QdMMqkuIryAJMnztwh6/zWQRF4M7Eafh6/UvoOC8w="
        );
    }

    /// testdata/signatures.json, which Python's hmac has computed (testdata/signatures.py).
    #[test]
    fn the_test_vectors_for_receivers_are_what_we_send() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../testdata/signatures.json")).expect("JSON");
        let cases = vectors["signatures"].as_array().expect("a list");
        assert!(cases.len() > 10, "{} cases", cases.len());
        for case in cases {
            let text = |field: &str| case[field].as_str();
            let secret =
                |text: &str| Secret::new(text.to_owned()).expect("a secret that may be chosen");
            let current = secret(text("secret").expect("a secret"));
            let previous = text("previous_secret").map(secret);
            let body = match text("body_base64") {
                Some(base64) => STANDARD.decode(base64).expect("base64"),
                None => text("body").expect("a body").into(),
            };
            let id = text("webhook_id").expect("an id");
            let timestamp = case["timestamp"].as_i64().expect("seconds");

            let name = text("name").expect("a name");
            let expected = |header: &str| case["headers"][header].as_str();
            let form = current.standard_form();
            assert_eq!(text("standard_webhooks_secret"), Some(form.as_str()), "{name}");
            let by_current = keeptrusts_signature(&current, &body);
            assert_eq!(expected("X-Keeptrusts-Signature"), Some(&*by_current), "{name}");
            let by_previous = previous.as_ref().map(|secret| keeptrusts_signature(secret, &body));
            let header = expected("X-Keeptrusts-Signature-Previous");
            assert_eq!(header, by_previous.as_deref(), "{name}");
            let sign = |secret: &Secret| standard_signature(secret, id, timestamp, &body);
            let signatures: Vec<_> = [&current].into_iter().chain(&previous).map(sign).collect();
            assert_eq!(expected("webhook-signature"), Some(&*signatures.join(" ")), "{name}");
            assert_eq!(expected("webhook-timestamp"), Some(&*timestamp.to_string()), "{name}");
        }
    }
}
