//! Verifies a request as a receiver does. The server's part is played by `sign`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::SystemTime;

use keeptrusts_webhooks_client::verify::{Secret, Verifier, sign};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = Secret::new("whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=")?;
    let body = br#"{"event":"webhook.test"}"#;
    let headers = sign(&secret, None, "evt_1", SystemTime::now(), body);

    let verifier = Verifier::of([secret]);
    println!("as it was sent: {:?}", verifier.verify(&headers, body));
    println!("tampered with: {:?}", verifier.verify(&headers, b"{}"));
    Ok(())
}
