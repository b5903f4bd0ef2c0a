//! Where types are explained, and how they are called.

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use crate::PACKAGE;

/// The page of a service: `endpoint-service.md`.
pub(crate) fn page_of_service(name: &str) -> String {
    format!("{}-service.md", name.trim_end_matches("Service").to_lowercase())
}

/// The page on which a file's types are explained.
pub(crate) fn page_of_file(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".proto");
    match name {
        "event" => page_of_service("Ingest"),
        "delivery" | "replay" => page_of_service("Dispatch"),
        other => format!("{}-service.md", other.trim_end_matches("_service")),
    }
}

/// Whether a message is a method's request or response, whose fields stand there.
pub(crate) fn is_shown_with_a_method(message: &MessageDescriptor) -> bool {
    let pool = message.parent_pool();
    let mut methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.any(|method| method.input() == *message || method.output() == *message)
}

/// A field's type, with a link to where it is explained.
pub(crate) fn type_of(field: &FieldDescriptor) -> String {
    let link = |full_name: &str, file: &FileDescriptor| {
        let name = full_name.trim_start_matches(PACKAGE).trim_start_matches('.');
        let anchor = name.replace('.', "").to_lowercase();
        format!("[{name}]({}#{anchor})", page_of_file(file.name()))
    };
    let name = match field.kind() {
        Kind::Message(message) if message.package_name() == PACKAGE => {
            // The section of the method that it is the request of: anybody uses it who batches.
            match is_shown_with_a_method(&message) {
                true => format!("`{}`", message.name()),
                false => link(message.full_name(), &message.parent_file()),
            }
        }
        Kind::Enum(kind) if kind.package_name() == PACKAGE => {
            link(kind.full_name(), &kind.parent_file())
        }
        Kind::Message(message) => format!("`{}`", message.full_name()),
        kind => format!("`{kind:?}`").to_lowercase(),
    };
    if field.is_list() { format!("repeated {name}") } else { name }
}

/// The comment of a definition, one line for each paragraph or line that begins with a code.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let location = locations.clone().find(|location| location.path == path);
    let text = location.map_or("", |location| location.leading_comments());
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
