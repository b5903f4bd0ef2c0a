//! Independent verification: what Python's hmac signed is accepted, anything else is not.

use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::Version;
use keeptrusts_webhooks_testkit::receiver::ReceivedRequest;
use keeptrusts_webhooks_testkit::tools;
use keeptrusts_webhooks_testkit::verify::{
    HmacCheck, StandardWebhooksCheck, VerificationResult, assert_signed, node_hmac,
    standard_webhooks,
};

/// Not ASCII, and no base64: any text may be a secret.
const SECRET: &str = "correct horse – battery staple";
const BODY: &str = r#"{"event":"policy.violation","data":{"text":"Grüße 🌍"}}"#;

/// `HMAC-SHA256(key, message)` by Python, in hex or base64.
fn sign(key: &str, message: &str, encoding: &str) -> String {
    let script = "
import base64, hashlib, hmac, sys
key, message, encoding = sys.argv[1:]
digest = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()
print(digest.hex() if encoding == 'hex' else base64.b64encode(digest).decode())
";
    let output = Command::new(tools::python())
        .args(["-c", script, key, message, encoding])
        .output()
        .expect("python can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn accepted(verdicts: &[VerificationResult]) -> Vec<bool> {
    verdicts.iter().map(Result::is_ok).collect()
}

#[test]
fn the_tutorials_function_accepts_what_was_signed_and_nothing_else() {
    let good = format!("sha256={}", sign(SECRET, BODY, "hex"));
    let others = format!("sha256={}", sign("another secret", BODY, "hex"));
    let bare = good.replace("sha256=", "");
    let check =
        |body: &'static str, header| HmacCheck { secret: SECRET, body: body.as_bytes(), header };
    let verdicts = node_hmac(&[
        check(BODY, &good),
        check("{}", &good),
        check(BODY, &others),
        check(BODY, &good[..20]),
        check(BODY, &bare),
        check(BODY, ""),
        check(BODY, &good),
    ]);
    assert_eq!(accepted(&verdicts), [true, false, false, false, false, false, true]);
    assert_eq!(verdicts[1], Err("the signature does not match".to_owned()));
}

/// The headers of Standard Webhooks for [`BODY`], signed with a key at a time.
fn standard_headers(key: &str, timestamp: u64) -> Vec<(String, String)> {
    let signature = sign(key, &format!("evt_1.{timestamp}.{BODY}"), "base64");
    [
        ("webhook-id", "evt_1".to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
        ("content-type", "application/json".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

#[test]
fn standard_webhooks_accepts_what_was_signed_now_and_nothing_else() {
    let now = seconds_now();
    let (good, others) = (standard_headers(SECRET, now), standard_headers("another secret", now));
    let stale = standard_headers(SECRET, now - 600);
    // While a rotation overlaps there are two signatures, and one of them suffices.
    let mut both = good.clone();
    both[2].1 = format!("{} {}", others[2].1, good[2].1);
    let unsigned = &good[..2];

    let check = |body: &'static str, headers| StandardWebhooksCheck {
        secret: SECRET,
        body: body.as_bytes(),
        headers,
    };
    let verdicts = standard_webhooks(&[
        check(BODY, &good),
        check("{}", &good),
        check(BODY, &others),
        check(BODY, &stale),
        check(BODY, unsigned),
        check(BODY, &both),
    ]);
    assert_eq!(accepted(&verdicts), [true, false, false, false, false, true]);
    let reason = verdicts[3].as_ref().expect_err("it is stale");
    assert!(reason.contains("too old"), "{reason}");
}

#[test]
fn a_secret_that_begins_with_whsec_is_given_to_the_package_as_it_is_shown() {
    // The base64 of this text of 24 bytes.
    let shown = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u";
    let headers = standard_headers("0123456789abcdefghijklmn", seconds_now());
    let by_text = standard_headers(shown, seconds_now());
    let check = |headers| StandardWebhooksCheck { secret: shown, body: BODY.as_bytes(), headers };
    let verdicts = standard_webhooks(&[check(&headers), check(&by_text)]);
    assert_eq!(accepted(&verdicts), [true, false]);
}

#[test]
fn many_checks_take_one_process() {
    let body = vec![b'x'; 4096];
    let checks: Vec<_> =
        (0..500).map(|_| HmacCheck { secret: SECRET, body: &body, header: "sha256=00" }).collect();
    let verdicts = node_hmac(&checks);
    assert_eq!(verdicts.len(), 500);
    assert!(verdicts.iter().all(Result::is_err));
}

fn received(body: &'static str) -> Arc<ReceivedRequest> {
    let mut headers = standard_headers(SECRET, seconds_now());
    let signature = format!("sha256={}", sign(SECRET, BODY, "hex"));
    headers.push(("x-keeptrusts-signature".to_owned(), signature));
    Arc::new(ReceivedRequest {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        version: Version::HTTP_11,
        headers,
        body: body.into(),
        arrived: Instant::now(),
        arrived_at: SystemTime::now(),
        connection: 1,
    })
}

#[test]
fn a_received_request_with_both_signatures_passes() {
    assert_signed(SECRET, &[received(BODY), received(BODY)]);
}

#[test]
#[should_panic(expected = "the signature by X-Keeptrusts-Signature is refused")]
fn a_received_request_that_was_tampered_with_fails_the_test() {
    assert_signed(SECRET, &[received(BODY), received("{}")]);
}
