//! Verifies signatures with third parties' code.
//!
//! - `X-Keeptrusts-Signature`: the Node function of the product's tutorial for receivers;
//! - Standard Webhooks: the `standardwebhooks` package from PyPI.
//!
//! Each call verifies any number of requests in one process, because starting it takes longer than all
//! the verifications.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::receiver::ReceivedRequest;
use crate::tools;

/// Whether a signature is valid, or the verifier's error.
pub type VerificationResult = Result<(), String>;

/// A body with the value of `X-Keeptrusts-Signature` that came with it.
#[derive(Clone, Copy, Debug)]
pub struct HmacCheck<'a> {
    /// The secret whose UTF-8 bytes are the key.
    pub secret: &'a str,
    pub body: &'a [u8],
    /// `sha256=` and hex digits.
    pub header: &'a str,
}

impl<'a> HmacCheck<'a> {
    /// For the signature with the previous secret, pass `x-keeptrusts-signature-previous` as the
    /// header's name.
    pub fn of(secret: &'a str, request: &'a ReceivedRequest, header_name: &str) -> Self {
        let header = request.header(header_name).unwrap_or("");
        Self { secret, body: &request.body, header }
    }
}

/// A body with its headers, among them `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[derive(Clone, Copy, Debug)]
pub struct StandardWebhooksCheck<'a> {
    /// As it is shown to users.
    pub secret: &'a str,
    pub body: &'a [u8],
    pub headers: &'a [(String, String)],
}

impl<'a> StandardWebhooksCheck<'a> {
    pub fn of(secret: &'a str, request: &'a ReceivedRequest) -> Self {
        Self { secret, body: &request.body, headers: &request.headers }
    }
}

/// Verifies `X-Keeptrusts-Signature` values with the tutorial's Node function.
pub fn node_hmac(checks: &[HmacCheck<'_>]) -> Vec<VerificationResult> {
    let lines = checks.iter().map(|check| {
        json!({
            "secret": check.secret,
            "body": BASE64_STANDARD.encode(check.body),
            "header": check.header,
        })
    });
    verify(Path::new("node"), ["-e", include_str!("verify/node_hmac.js")], lines.collect())
}

/// Verifies Standard Webhooks signatures with the package from PyPI, which also requires
/// that `webhook-timestamp` is at most five minutes away from now.
///
/// The package is given a secret that begins with `whsec_` as it is shown. Any other text is the key
/// by its UTF-8 bytes, and the package is given `whsec_` and their base64, as our receivers do.
pub fn standard_webhooks(checks: &[StandardWebhooksCheck<'_>]) -> Vec<VerificationResult> {
    let lines = checks.iter().map(|check| {
        let headers: serde_json::Map<String, Value> = check
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        json!({
            "key": as_the_package_takes_it(check.secret),
            "body": BASE64_STANDARD.encode(check.body),
            "headers": headers,
        })
    });
    let script = include_str!("verify/standard_webhooks.py");
    verify(&tools::python(), ["-c", script], lines.collect())
}

fn as_the_package_takes_it(secret: &str) -> String {
    match secret.starts_with("whsec_") {
        true => secret.to_owned(),
        false => format!("whsec_{}", BASE64_STANDARD.encode(secret)),
    }
}

/// Panics unless both signatures of every request are valid.
pub fn assert_signed(secret: &str, requests: &[Arc<ReceivedRequest>]) {
    let hmac: Vec<_> = requests
        .iter()
        .map(|request| HmacCheck::of(secret, request, "x-keeptrusts-signature"))
        .collect();
    let standard: Vec<_> =
        requests.iter().map(|request| StandardWebhooksCheck::of(secret, request)).collect();
    for (scheme, verdicts) in [
        ("X-Keeptrusts-Signature", node_hmac(&hmac)),
        ("Standard Webhooks", standard_webhooks(&standard)),
    ] {
        for (request, verdict) in requests.iter().zip(verdicts) {
            if let Err(reason) = verdict {
                panic!("the signature by {scheme} is refused: {reason}\n{request:#?}");
            }
        }
    }
}

/// Writes one check per line to a program, and reads one result per line: null, or the error.
fn verify(program: &Path, arguments: [&str; 2], checks: Vec<Value>) -> Vec<VerificationResult> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()));
    let mut input = child.stdin.take().expect("standard input is piped");
    let questions: String = checks.iter().map(|check| format!("{check}\n")).collect();
    let output = thread::scope(|scope| {
        // The program may answer before it has read everything, and both pipes are small.
        scope.spawn(move || input.write_all(questions.as_bytes()));
        child.wait_with_output().expect("a child can be waited for")
    });
    assert!(output.status.success(), "{} failed: {}", program.display(), output.status);

    let answers = String::from_utf8(output.stdout).expect("verdicts are UTF-8");
    let verdicts: Vec<VerificationResult> = answers
        .lines()
        .map(|line| match serde_json::from_str(line).expect("verdicts are JSON") {
            Some(reason) => Err(reason),
            None => Ok(()),
        })
        .collect();
    assert_eq!(verdicts.len(), checks.len(), "there is a verdict for each check");
    verdicts
}
