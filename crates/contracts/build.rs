//! Compiles the protos with protox, so that no protoc is needed to build.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use protox::prost_reflect::{EnumDescriptor, FieldDescriptor, MessageDescriptor, Value};

/// The option of fields that are credentials. Of protobuf's own options, it is the one that says so.
const IS_SECRET: &str = "debug_redact";

const API_PACKAGE: &str = "keeptrusts.webhooks.v1";
/// The packages that only define options.
const OPTIONS: [&str; 2] = ["buf.validate", "google.api"];

/// google.api.FieldBehavior.INPUT_ONLY.
const INPUT_ONLY: i32 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // What our protos import of others: see the headers of the files there.
    let (root, imports) = (here.join("../../proto"), here.join("imports"));
    for folder in [&root, &imports] {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let api = [
        "keeptrusts/webhooks/v1/endpoint_service.proto",
        "keeptrusts/webhooks/v1/ingest_service.proto",
        "keeptrusts/webhooks/v1/dispatch_service.proto",
        "keeptrusts/webhooks/v1/access_service.proto",
        "keeptrusts/webhooks/v1/audit_service.proto",
        "keeptrusts/webhooks/v1/notification_service.proto",
    ];
    let mut compiler = protox::Compiler::new([root, imports])?;
    compiler.include_source_info(true).include_imports(true).open_files(api)?;
    // Encoded by the compiler, because prost's types know no extension: the options would be lost.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("api_descriptors.bin"), compiler.encode_file_descriptor_set())?;
    compiler.open_file("keeptrusts/webhooks/log/v1/record.proto")?;
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let messages: Vec<_> = compiler.descriptor_pool().all_messages().collect();
    let secrets: Vec<_> =
        messages.iter().flat_map(MessageDescriptor::fields).filter(is_secret).collect();
    let names: Vec<_> = secrets.iter().map(FieldDescriptor::full_name).collect();
    std::fs::write(out.join("secret_fields.rs"), format!("&{names:?}"))?;
    let shown = secrets.iter().filter(|field| !is_input_only(field));
    let names: Vec<_> = shown.map(FieldDescriptor::full_name).collect();
    std::fs::write(out.join("shown_secret_fields.rs"), format!("&{names:?}"))?;

    let enums = compiler.descriptor_pool().all_enums().collect::<Vec<_>>();
    let enums = enums.iter().filter(|one| one.package_name() == API_PACKAGE);
    std::fs::write(out.join("enum_names.rs"), enums.map(enum_names).collect::<String>())?;

    let mut build = tonic_prost_build::configure().extern_path(".google.rpc", "::tonic_types::pb");
    let mut redacted = String::new();
    for message in messages.iter().filter(|message| message.fields().any(|field| is_secret(&field)))
    {
        build = build.skip_debug([format!(".{}", message.full_name())]);
        for nested in message.child_enums() {
            // It matched as well.
            build = build.enum_attribute(format!(".{}", nested.full_name()), "#[derive(Debug)]");
        }
        write_redacted_debug(&mut redacted, message)?;
    }
    std::fs::write(out.join("redacted_debug.rs"), redacted)?;
    let mut descriptors = compiler.file_descriptor_set();
    // Nothing reads options at run time, so that they need no code.
    descriptors.file.retain(|file| !OPTIONS.contains(&file.package()));
    build.compile_fds(descriptors)?;
    Ok(())
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name(IS_SECRET).is_some_and(|option| option.as_bool() == Some(true))
}

/// Whether no response has the field (AIP-203).
fn is_input_only(field: &FieldDescriptor) -> bool {
    let pool = field.parent_pool();
    let behaviors = pool.get_extension_by_name("google.api.field_behavior").map(|behavior| {
        let options = field.options();
        let values = options.get_extension(&behavior).as_list().map(<[Value]>::to_vec);
        values.unwrap_or_default()
    });
    behaviors.unwrap_or_default().contains(&Value::EnumNumber(INPUT_ONLY))
}

/// The implementation of EnumNames, in the module of the package: all names but that of zero, which stands
/// for a value that is not given.
fn enum_names(descriptor: &EnumDescriptor) -> String {
    let module = descriptor.parent_message().map(|parent| snake_case(parent.name()) + "::");
    let values = descriptor.values().filter(|value| value.number() != 0);
    let names: Vec<_> = values.map(|value| value.name().to_owned()).collect();
    format!(
        "impl crate::enum_names::EnumNames for {}{} {{\n    const NAMES: &'static [&'static str] = &{names:?};\n}}\n",
        module.unwrap_or_default(),
        descriptor.name()
    )
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Writes Debug for a message, which says of a credential only whether there is one.
fn write_redacted_debug(
    code: &mut String,
    message: &MessageDescriptor,
) -> Result<(), Box<dyn Error>> {
    if message.parent_message().is_some() {
        return Err(format!("{}: a nested message with a credential", message.full_name()).into());
    }
    let name = message.name();
    writeln!(code, "impl ::std::fmt::Debug for {name} {{")?;
    writeln!(
        code,
        "    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {{"
    )?;
    writeln!(code, "        f.debug_struct({name:?})")?;
    for field in message.fields() {
        let name = field.name();
        if is_secret(&field) {
            let shown = format!("if self.{name}.is_empty() {{ \"\" }} else {{ \"(hidden)\" }}");
            writeln!(code, "            .field({name:?}, &{shown})")?;
        } else if field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic()) {
            writeln!(code, "            .field({name:?}, &self.r#{name})")?;
        }
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        writeln!(code, "            .field({0:?}, &self.{0})", oneof.name())?;
    }
    writeln!(code, "            .finish()\n    }}\n}}")?;
    Ok(())
}
