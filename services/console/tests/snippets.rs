//! Runs the verification code that the console and docs/receiving.md show to receivers, each in its
//! own language: it accepts our signatures, and nothing else.

use std::process::Command;

use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::keeptrusts_signature;

/// A secret of the customer's own, and one as it is generated.
const SECRETS: [&str; 2] =
    ["a secret with ünïcode in it", "whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU="];
const BODY: &str =
    r#"{"event":"policy.block","timestamp":"2026-04-23T10:30:00Z","data":{"é":1.0}}"#;

/// Headers, and whether they are valid.
fn headers(of: &str) -> Vec<(String, bool)> {
    let secret = |text: &str| Secret::new(text.to_owned()).expect("long enough");
    let good = keeptrusts_signature(&secret(of), BODY.as_bytes());
    let of_another = keeptrusts_signature(&secret("the secret of another"), BODY.as_bytes());
    let of_another_body = keeptrusts_signature(&secret(of), b"{}");
    let cut = good[..good.len() - 2].to_owned();
    vec![
        (good, true),
        (of_another, false),
        (of_another_body, false),
        (cut, false),
        (String::new(), false),
        ("sha256=nonsense".to_owned(), false),
    ]
}

/// Runs a program that prints one line, `true` or `false`, for each header.
fn assert_verifies(program: &str, arguments: [&str; 2], print: &str) {
    SECRETS.iter().for_each(|secret| assert_verifies_with(secret, program, arguments, print));
}

fn assert_verifies_with(secret: &str, program: &str, arguments: [&str; 2], print: &str) {
    let headers = headers(secret);
    let code = format!("{}\n{print}", arguments[1]);
    let output = Command::new(program)
        .args([arguments[0], &code])
        .env("SECRET", secret)
        .env("BODY", BODY)
        .env(
            "HEADERS",
            headers.iter().map(|(header, _)| header.as_str()).collect::<Vec<_>>().join(" "),
        )
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    let verdicts = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let expected: Vec<_> = headers.iter().map(|(_, good)| good.to_string()).collect();
    assert_eq!(verdicts.lines().collect::<Vec<_>>(), expected, "{program}");
}

#[test]
fn the_node_snippet_verifies_what_we_sign_and_nothing_else() {
    let print = r#"
const { SECRET, BODY, HEADERS } = process.env;
for (const header of HEADERS.split(" ")) console.log(verify(SECRET, Buffer.from(BODY), header));
"#;
    assert_verifies("node", ["-e", include_str!("../snippets/verify.js")], print);
}

#[test]
fn the_python_snippet_verifies_what_we_sign_and_nothing_else() {
    let print = r#"
import os
for header in os.environ["HEADERS"].split(" "):
    print(verify(os.environ["SECRET"], os.environ["BODY"].encode(), header))
"#;
    assert_verifies("python3", ["-c", include_str!("../snippets/verify.py")], print);
}

mod rust {
    include!("../snippets/verify.rs");

    pub(super) fn verifies(secret: &str, body: &str, header: &str) -> bool {
        verify(secret, body.as_bytes(), header)
    }
}

#[test]
fn the_rust_snippet_verifies_what_we_sign_and_nothing_else() {
    for secret in SECRETS {
        for (header, good) in headers(secret) {
            assert_eq!(rust::verifies(secret, BODY, &header), good, "{header}");
        }
    }
}
