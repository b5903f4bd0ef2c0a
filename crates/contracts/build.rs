//! Compiles the protos with protox, so that no protoc is needed to build.

use std::path::{Path, PathBuf};

use prost::Message;
use protox::prost_reflect::FieldDescriptor;

/// The option of fields that are credentials. Of protobuf's own options, it is the one that says so.
const IS_SECRET: &str = "debug_redact";

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
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(protos)?;
    let descriptors = compiler.file_descriptor_set();
    // Reflection serves these.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    // The descriptors above know no option that is newer than their library.
    let messages = compiler.descriptor_pool();
    let fields = messages.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>());
    let secrets: Vec<_> = fields.filter(is_secret).collect();
    let names: Vec<_> = secrets.iter().map(FieldDescriptor::full_name).collect();
    std::fs::write(out.join("secret_fields.rs"), format!("&{names:?}"))?;
    let mut build = tonic_prost_build::configure();
    for secret in &secrets {
        // The message's Debug is written by hand, in `src/redacted.rs`. The compiler asks for it.
        build = build.skip_debug([format!(".{}", secret.parent_message().full_name())]);
    }
    build.compile_fds(descriptors)?;
    Ok(())
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name(IS_SECRET).is_some_and(|option| option.as_bool() == Some(true))
}
