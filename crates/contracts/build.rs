//! Compiles the protos with protox, so that no protoc is needed to build.

use std::path::{Path, PathBuf};

use prost::Message;

/// Their Debug is written by hand, in `src/redacted.rs`, and does not show the secret.
const MESSAGES_WITH_SECRET: [&str; 12] = [
    "CreateEndpointRequest",
    "CreateEndpointResponse",
    "UpdateEndpointRequest",
    "RotateSecretRequest",
    "RotateSecretResponse",
    "RevealSecretResponse",
    "CreateKeyResponse",
    "CreateSessionResponse",
    "SlackDestination",
    "TeamsDestination",
    "PagerDutyDestination",
    "WebhookDestination",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let protos = [
        "keeptrusts/webhooks/v1/endpoint_service.proto",
        "keeptrusts/webhooks/v1/ingest_service.proto",
        "keeptrusts/webhooks/v1/dispatch_service.proto",
        "keeptrusts/webhooks/v1/access_service.proto",
        "keeptrusts/webhooks/v1/audit_service.proto",
        "keeptrusts/webhooks/v1/notification_service.proto",
        "keeptrusts/webhooks/log/v1/record.proto",
    ];
    let descriptors = protox::compile(protos, [&root])?;
    // Reflection serves these.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let with_secret = MESSAGES_WITH_SECRET.map(|name| format!(".keeptrusts.webhooks.v1.{name}"));
    tonic_prost_build::configure().skip_debug(with_secret).compile_fds(descriptors)?;
    Ok(())
}
