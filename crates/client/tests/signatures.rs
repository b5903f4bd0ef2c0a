//! The verifier and the signer are those of testdata/signatures.json, and survive any bytes.

#![cfg(feature = "verify")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keeptrusts_webhooks_client::verify::{InvalidSecret, Secret, Verifier, VerifyError, sign};
use proptest::prelude::*;
use serde_json::Value;

const GENERATED: &str = "whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=";

fn vectors(of: &str) -> Vec<Value> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../testdata/signatures.json")).expect("JSON");
    vectors[of].as_array().expect("a list").clone()
}

fn body(case: &Value) -> Vec<u8> {
    match case["body_base64"].as_str() {
        Some(base64) => BASE64_STANDARD.decode(base64).expect("base64"),
        None => case["body"].as_str().expect("a body").into(),
    }
}

fn secret(text: &Value) -> Secret {
    Secret::new(text.as_str().expect("a text")).expect("a secret")
}

fn headers(case: &Value) -> Vec<(String, String)> {
    let headers = case["headers"].as_object().expect("headers");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    headers.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn time(seconds: &Value) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.as_u64().expect("seconds"))
}

/// By its name in the vectors.
fn name(result: Result<(), VerifyError>) -> &'static str {
    match result {
        Ok(()) => "valid",
        Err(VerifyError::MissingHeader(_)) => "missing_header",
        Err(VerifyError::MalformedHeader(_)) => "malformed_header",
        Err(VerifyError::BadSignature) => "bad_signature",
        Err(VerifyError::TimestampTooOld) => "timestamp_too_old",
        Err(VerifyError::TimestampTooNew) => "timestamp_too_new",
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn each_request_of_the_vectors_has_its_result() {
    let cases = vectors("verifications");
    assert!(cases.len() > 100, "{} cases", cases.len());
    for case in cases {
        let (body, headers) = (body(&case), headers(&case));
        let tolerance = Duration::from_secs(case["tolerance_seconds"].as_u64().expect("seconds"));
        let secrets = case["secrets"].as_array().expect("a list").iter().map(secret);
        let verifier = Verifier::of(secrets).tolerance(tolerance);
        let standard = verifier.verify_at(&headers, &body, time(&case["now"]));
        assert_eq!(name(standard), case["standard"], "{}, standard", case["name"]);
        let keeptrusts = verifier.verify_body(&headers, &body);
        assert_eq!(name(keeptrusts), case["keeptrusts"], "{}, keeptrusts", case["name"]);
    }
}

#[test]
fn the_signer_makes_the_headers_of_the_vectors() {
    for case in vectors("signatures") {
        let previous = case.get("previous_secret").filter(|it| !it.is_null()).map(secret);
        let id = case["webhook_id"].as_str().expect("an id");
        let signed = sign(
            &secret(&case["secret"]),
            previous.as_ref(),
            id,
            time(&case["timestamp"]),
            &body(&case),
        );
        let mut signed: Vec<_> =
            signed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut expected: Vec<_> = headers(&case)
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        signed.sort();
        expected.sort();
        assert_eq!(signed, expected, "{}", case["name"]);
    }
}

#[test]
fn a_header_that_comes_twice_is_malformed_whichever_is_right() {
    let (secret, body) = (Secret::new(GENERATED).expect("a secret"), b"{}");
    let verifier = Verifier::of([secret.clone()]);
    let signed = sign(&secret, None, "evt_1", SystemTime::now(), body);
    assert_eq!(verifier.verify(&signed, body), Ok(()));
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        for at in [0, signed.len()] {
            let mut twice = signed.clone();
            twice.insert(at, (name, "1".to_owned()));
            let result = verifier.verify(twice, body);
            assert_eq!(result, Err(VerifyError::MalformedHeader(name)), "at {at}");
        }
    }
    let mut twice = signed;
    twice.push(("X-Keeptrusts-Signature", "1".to_owned()));
    let result = verifier.verify_body(twice, body);
    assert_eq!(result, Err(VerifyError::MalformedHeader("x-keeptrusts-signature")));
}

#[test]
fn headers_may_be_a_map_of_http_or_of_texts() {
    let secret = Secret::new(GENERATED).expect("a secret");
    let verifier = Verifier::of([secret.clone()]);
    let signed = sign(&secret, None, "evt_1", SystemTime::now(), b"{}");
    let texts: std::collections::HashMap<String, String> =
        signed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    assert_eq!(verifier.verify(&texts, b"{}"), Ok(()));
    let map: http::HeaderMap = signed
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
        .collect();
    assert_eq!(verifier.verify(&map, b"{}"), Ok(()));
    assert_eq!(verifier.verify_body(&map, b"{}"), Ok(()));
}

#[test]
fn a_secret_is_a_text_or_whsec_and_base64_and_no_output_shows_it() {
    for text in [GENERATED, "correct horse battery staple", "whsec_paWl"] {
        let secret = Secret::new(text).expect(text);
        assert_eq!(
            format!("{secret:?} {:?}", Verifier::of([secret.clone()])).matches(text).count(),
            0
        );
    }
    assert_eq!(Secret::new("").err(), Some(InvalidSecret::Empty));
    assert_eq!(Secret::new("whsec_").err(), Some(InvalidSecret::Empty));
    for text in ["whsec_correct horse", "whsec_paW", "whsec_paWlpaWl="] {
        let error = Secret::new(text).expect_err(text);
        assert_eq!(error, InvalidSecret::NotBase64);
        assert!(!error.to_string().contains("paW"), "{error}");
    }
}

#[test]
fn no_secrets_accept_nothing() {
    let signed = sign(&Secret::new(GENERATED).expect("one"), None, "a", SystemTime::now(), b"");
    assert_eq!(Verifier::of([]).verify(signed, b""), Err(VerifyError::BadSignature));
}

#[test]
fn clocks_at_the_ends_of_time_are_no_panic() {
    let secret = Secret::new(GENERATED).expect("a secret");
    let verifier = Verifier::of([secret.clone()]).tolerance(Duration::MAX);
    let far = UNIX_EPOCH + Duration::from_secs(999_999_999_999);
    let signed = sign(&secret, None, "evt_1", far, b"");
    let before = UNIX_EPOCH - Duration::from_secs(1_000_000);
    assert_eq!(verifier.verify_at(&signed, b"", before), Ok(()));
    let strict = verifier.tolerance(Duration::ZERO);
    let result = strict.verify_at(&signed, b"", before);
    assert_eq!(result, Err(VerifyError::TimestampTooNew));
}

/// The names that are looked for, others, and any bytes.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
        "X-Keeptrusts-Signature",
        "x-keeptrusts-signature-previous",
        "content-type",
    ];
    prop_oneof![
        9 => prop::sample::select(names.to_vec()).prop_map(|name: &str| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Parts of what is expected, in any order, and any bytes.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"v1,",
        b" ",
        b",",
        b"sha256=",
        b"v1a,",
        b"1776940200",
        b"-",
        b"=",
        b"evt_1",
        b".",
        b"\xff",
        b"KM9PDNqcht+ZcSVW3p/fX3gZBVCDGwy8fsPPcAtnC24=",
        b"dd1886e53a1943f381c57696ad25cec20c8f0e88c9bc80c847c20e4d656501a4",
    ];
    let parts = prop::sample::select(parts.to_vec()).prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![4 => parts, 1 => prop::collection::vec(any::<u8>(), 0..50)];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn random_headers_are_refused_and_cause_no_panic(
        headers in prop::collection::vec((any_name(), any_value()), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let verifier = Verifier::new(GENERATED).expect("a secret");
        prop_assert!(verifier.verify(&headers, &body).is_err());
        prop_assert!(verifier.verify_body(&headers, &body).is_err());
    }

    #[test]
    fn a_single_changed_byte_is_noticed(
        body in prop::collection::vec(any::<u8>(), 1..64), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let secret = Secret::new(GENERATED).expect("a secret");
        let verifier = Verifier::of([secret.clone()]);
        let signed = sign(&secret, None, "evt_1", SystemTime::now(), &body);
        prop_assert_eq!(verifier.verify(&signed, &body), Ok(()));
        prop_assert_eq!(verifier.verify_body(&signed, &body), Ok(()));
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1_u8 << bit;
        prop_assert_eq!(verifier.verify(&signed, &changed), Err(VerifyError::BadSignature));
        prop_assert_eq!(verifier.verify_body(&signed, &changed), Err(VerifyError::BadSignature));
    }

    #[test]
    fn any_text_may_be_tried_as_a_secret(text in ".*") {
        let _ = Secret::new(text.clone());
        let _ = Secret::new(format!("whsec_{text}"));
    }
}
