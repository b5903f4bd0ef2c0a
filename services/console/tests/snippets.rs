//! Runs the verification code that the console and docs/receiving.md show to receivers, each in its
//! own language, on testdata/signatures.json.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../testdata/signatures.json");

/// What a snippet is given, and whether that is valid. Each snippet takes one secret and the value of
/// X-Keeptrusts-Signature.
struct Case {
    name: String,
    secret: String,
    body: Vec<u8>,
    header: Option<String>,
    is_valid: bool,
}

fn cases() -> Vec<Case> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let verifications = vectors["verifications"].as_array().expect("a list");
    let cases: Vec<_> = verifications.iter().filter_map(case).collect();
    let valid = cases.iter().filter(|case| case.is_valid).count();
    assert!(valid > 20 && cases.len() - valid > 20, "{valid} of {} cases", cases.len());
    cases
}

/// None: it is about what the snippets do not do.
fn case(of: &Value) -> Option<Case> {
    let text = |field: &str| of[field].as_str();
    let header = |wanted: &str| {
        let headers = of["headers"].as_object().expect("headers");
        let mut named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.next().map(|(_, value)| value.as_str().expect("a text").to_owned())
    };
    let secrets = of["secrets"].as_array().expect("a list");
    let is_of_one_secret =
        secrets.len() == 1 && header("x-keeptrusts-signature-previous").is_none();
    is_of_one_secret.then(|| Case {
        name: text("name").expect("a name").to_owned(),
        secret: secrets[0].as_str().expect("a secret").to_owned(),
        body: match text("body_base64") {
            Some(base64) => BASE64_STANDARD.decode(base64).expect("base64"),
            None => text("body").expect("a body").into(),
        },
        header: header("x-keeptrusts-signature"),
        is_valid: text("keeptrusts") == Some("valid"),
    })
}

/// Runs a program that reads cases as JSON and prints one line, `true` or `false`, for each.
fn assert_verifies(program: &str, flag: &str, code: &str) {
    let cases = cases();
    let input: Vec<_> = cases
        .iter()
        .map(|Case { secret, body, header, .. }| {
            json!({ "secret": secret, "body": BASE64_STANDARD.encode(body), "header": header })
        })
        .collect();
    let mut file = tempfile::tempfile().expect("a file");
    serde_json::to_writer(&mut file, &input).expect("written");
    std::io::Seek::rewind(&mut file).expect("rewound");
    let output = Command::new(program)
        .args([flag, code])
        .stdin(Stdio::from(file))
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    let verdicts = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert_eq!(verdicts.lines().count(), cases.len(), "{program}");
    for (case, verdict) in cases.iter().zip(verdicts.lines()) {
        assert_eq!(verdict, case.is_valid.to_string(), "{program}: {}", case.name);
    }
}

#[test]
fn the_node_snippet_verifies_what_we_sign_and_nothing_else() {
    let code = concat!(
        include_str!("../snippets/verify.js"),
        r#"
for (const { secret, body, header } of JSON.parse(require("fs").readFileSync(0)))
  console.log(verify(secret, Buffer.from(body, "base64"), header));
"#
    );
    assert_verifies("node", "-e", code);
}

#[test]
fn the_python_snippet_verifies_what_we_sign_and_nothing_else() {
    let code = concat!(
        include_str!("../snippets/verify.py"),
        r#"
import base64, json, sys
for case in json.load(sys.stdin):
    print(verify(case["secret"], base64.b64decode(case["body"]), case["header"]))
"#
    );
    assert_verifies("python3", "-c", code);
}

mod rust {
    include!("../snippets/verify.rs");

    pub(super) fn verifies(secret: &str, body: &[u8], header: &str) -> bool {
        verify(secret, body, header)
    }
}

#[test]
fn the_rust_snippet_verifies_what_we_sign_and_nothing_else() {
    for Case { name, secret, body, header, is_valid } in cases() {
        let header = header.unwrap_or_default();
        assert_eq!(rust::verifies(&secret, &body, &header), is_valid, "{name}");
    }
}

#[test]
fn the_vectors_are_those_that_their_script_computes() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/signatures.py");
    let output = Command::new("python3").arg(script).output().expect("python3 is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let computed = String::from_utf8_lossy(&output.stdout);
    assert!(computed == VECTORS, "python3 testdata/signatures.py > testdata/signatures.json");
}
