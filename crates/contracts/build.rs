//! Compiles the protos with protox, so that no protoc is needed to build.

use std::path::{Path, PathBuf};

use prost::Message;

/// Messages whose URL is a credential, which its name does not say.
const MESSAGES_WITH_SECRET_URL: [&str; 2] = ["SlackDestination", "TeamsDestination"];

/// Whether a field of the API is a credential. Tokens of pages and of watches are none.
fn is_secret(field: &str) -> bool {
    field == "token" || field == "routing_key" || field.ends_with("secret")
}

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
    let mut build = tonic_prost_build::configure();
    for file in descriptors.file.iter().filter(|file| file.package() == "keeptrusts.webhooks.v1") {
        for message in &file.message_type {
            let has_secret = message.field.iter().any(|field| is_secret(field.name()));
            if has_secret || MESSAGES_WITH_SECRET_URL.contains(&message.name()) {
                // Their Debug is written by hand, in `src/redacted.rs`. The compiler asks for it.
                build = build.skip_debug([format!(".{}.{}", file.package(), message.name())]);
            }
        }
    }
    build.compile_fds(descriptors)?;
    Ok(())
}
