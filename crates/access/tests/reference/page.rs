//! The page of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use keeptrusts_webhooks_access::{Rule, rule_of};
use keeptrusts_webhooks_domain::access::Role;
use prost_reflect::{
    EnumDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor, OneofDescriptor,
    ServiceDescriptor,
};
use prost_types::method_options::IdempotencyLevel;
use serde_json::value::RawValue;

use crate::Example;
use crate::rules::{about_several, behaviors, is_required, limits};
use crate::types::{comment, is_shown_with_a_method, page_of_file, page_of_service, type_of};

const ROLES: [(Role, &str); 4] = [
    (Role::Admin, "admin"),
    (Role::Platform, "platform"),
    (Role::Publisher, "publisher"),
    (Role::Viewer, "viewer"),
];

/// The codes that comments of methods name, as google.rpc.Code spells them.
const CODES: [&str; 11] = [
    "ABORTED",
    "ALREADY_EXISTS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
];

pub(crate) fn of(service: &ServiceDescriptor, examples: &BTreeMap<String, Example>) -> String {
    let name = service.name();
    let mut page = format!(
        "<!-- Made by `cargo xtask documents` from proto/ and the examples beside this page. -->\n# {name}\n\n{}\n\n",
        flowing(&comment(&service.parent_file(), service.path()))
    );
    let methods: Vec<_> = service.methods().collect();
    let links = methods.iter().map(|method| {
        let name = method.name();
        format!("[{name}](#{})", name.to_lowercase())
    });
    writeln!(page, "{}\n", links.collect::<Vec<_>>().join(" · ")).expect("a text");
    for method in &methods {
        let example = examples.get(method.name());
        let example = example.unwrap_or_else(|| panic!("{}: no example", method.full_name()));
        page.push_str(&section_of_method(method, example));
    }
    assert_eq!(examples.len(), methods.len(), "{name}: an example of no method");
    let own = page_of_service(name);
    let types = types(service).into_iter().filter(|(file, _)| page_of_file(file) == own);
    let types: String = types.map(|(_, section)| section).collect();
    if !types.is_empty() {
        write!(page, "## Types\n\n{types}").expect("a text");
    }
    // Links within the page.
    page.trim_end().replace(&format!("]({own}#"), "](#") + "\n"
}

fn section_of_method(method: &MethodDescriptor, example: &Example) -> String {
    let mut section = format!("## {}\n\n", method.name());
    let (about, errors) = about_and_errors(&comment(&method.parent_file(), method.path()));
    if !about.is_empty() {
        writeln!(section, "{about}\n").expect("a text");
    }
    writeln!(section, "{} {}\n", callers(method), repetition(method)).expect("a text");
    let stream = |is_streaming| if is_streaming { "a stream of " } else { "" };
    let (input, output) = (method.input(), method.output());
    let request =
        format!("**Request**: {}`{}`", stream(method.is_client_streaming()), input.name());
    section.push_str(&fields(&request, &input));
    let response =
        format!("**Response**: {}`{}`", stream(method.is_server_streaming()), output.name());
    section.push_str(&fields(&response, &output));
    if !errors.is_empty() {
        let lines = errors.iter().map(|(code, when)| format!("- `{code}`: {when}\n"));
        write!(
            section,
            "**Errors**, besides [those of every call](README.md#errors-of-every-call):\n\n{}\n",
            lines.collect::<String>()
        )
        .expect("a text");
    }
    let (request, response) = (shown(&example.request), shown(&example.response));
    let shortened = if example.shortened { ", shortened" } else { "" };
    write!(
        section,
        "```sh\ngrpcurl -H \"$KEY\" -d '{}' \\\n  \"$SERVER\" {}/{}\n```\n\nThe answer{shortened}:\n\n```json\n{response}\n```\n\n",
        with_mask_as_message(&request),
        method.parent_service().full_name(),
        method.name()
    )
    .expect("a text");
    section
}

/// A message as it is written in its file, without the indentation that it has there. A stream's messages
/// follow each other.
fn shown(message: &RawValue) -> String {
    let dedented =
        |json: &str, spaces: usize| json.replace(&format!("\n{}", " ".repeat(spaces)), "\n");
    match serde_json::from_str::<Vec<Box<RawValue>>>(message.get()) {
        Ok(messages) => {
            messages.iter().map(|message| dedented(message.get(), 6)).collect::<Vec<_>>().join("\n")
        }
        Err(_) => dedented(message.get(), 4),
    }
}

/// grpcurl (1.8) takes a FieldMask as a message, not as the text that protobuf's JSON has.
fn with_mask_as_message(example: &str) -> String {
    const MASK: &str = "\"update_mask\": \"";
    let Some((before, rest)) = example.split_once(MASK) else { return example.to_owned() };
    let (mask, after) = rest.split_once('"').expect("a text ends");
    let paths = mask.split(',').map(|path| {
        let snake = path.chars().map(|char| match char.is_ascii_uppercase() {
            true => format!("_{}", char.to_ascii_lowercase()),
            false => char.to_string(),
        });
        format!("\"{}\"", snake.collect::<String>())
    });
    let paths = paths.collect::<Vec<_>>().join(", ");
    format!("{before}\"update_mask\": {{\"paths\": [{paths}]}}{after}")
}

/// A text whose paragraphs have a line each.
fn flowing(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Who may call a method.
fn callers(method: &MethodDescriptor) -> String {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let roles: Vec<_> = match rule_of(&path) {
        Rule::Open => return "For everybody.".to_owned(),
        Rule::Missing => Vec::new(),
        Rule::Needs(permission) => {
            ROLES.iter().filter(|(role, _)| role.may(permission)).map(|(_, name)| *name).collect()
        }
    };
    match roles.len() {
        0 => "For nobody yet.".to_owned(),
        4 => "For every role.".to_owned(),
        1 => format!("For the [role](../access.md) {}.", roles[0]),
        count => {
            let (last, others) = (roles[count - 1], roles[..count - 1].join(", "));
            format!("For the [roles](../access.md) {others} and {last}.")
        }
    }
}

/// Whether a method may be called again when its answer was lost.
fn repetition(method: &MethodDescriptor) -> &'static str {
    let has = |name| method.input().get_field_by_name(name).is_some();
    match method
        .options()
        .get_field_by_name("idempotency_level")
        .as_deref()
        .and_then(prost_reflect::Value::as_enum_number)
    {
        Some(level) if level == IdempotencyLevel::NoSideEffects as i32 => "It changes nothing.",
        Some(level) if level == IdempotencyLevel::Idempotent as i32 => "It is safe to repeat.",
        _ if has("request_id") => "With a `request_id` it is safe to repeat.",
        _ if has("idempotency_key") => "With an `idempotency_key` it is safe to repeat.",
        _ if has("request") || has("requests") => {
            "With an `idempotency_key` for each event it is safe to repeat."
        }
        _ => "Each call counts.",
    }
}

/// What a method does, and its errors: a code, when it is the answer. Each begins a sentence of the comment.
fn about_and_errors(text: &str) -> (String, Vec<(String, String)>) {
    let (mut about, mut errors) = (String::new(), Vec::<(String, String)>::new());
    let lines = text.lines().flat_map(|line| match line.split_once(". NOT_FOUND: ") {
        Some((before, after)) => vec![format!("{before}."), format!("NOT_FOUND: {after}")],
        None => vec![line.to_owned()],
    });
    for line in lines {
        let code = line
            .split_once(": ")
            .filter(|(code, _)| CODES.contains(&code.trim_end_matches(" (with RetryInfo)")));
        match (code, errors.last_mut()) {
            (Some((code, when)), _) => errors.push((code.to_owned(), when.to_owned())),
            (None, Some((_, when))) => *when += &format!(" {line}"),
            (None, None) => about += &format!("{line}\n"),
        }
    }
    (flowing(about.trim()), errors)
}

/// A message's fields under its heading, and what holds between them.
fn fields(heading: &str, message: &MessageDescriptor) -> String {
    if message.fields().len() == 0 {
        return format!("{heading}, which is empty.\n\n");
    }
    let mut list = format!("{heading}\n\n");
    let mut oneofs = BTreeSet::new();
    for field in message.fields() {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        if let Some(oneof) = oneof.filter(|oneof| oneofs.insert(oneof.name().to_owned())) {
            list.push_str(&line_of_oneof(&oneof));
        }
        list.push_str(&line_of_field(&field));
    }
    for rule in about_several(message) {
        writeln!(list, "- {rule}.").expect("a text");
    }
    list + "\n"
}

/// What is said of a choice, before its first field.
fn line_of_oneof(oneof: &OneofDescriptor) -> String {
    let message = oneof.parent_message();
    let needed = if is_required(oneof) { ", **required**" } else { "" };
    let text = flowing(&comment(&message.parent_file(), oneof.path()));
    let text = text.strip_prefix("Required: ").unwrap_or(&text).replace("\n\n", "\n\n  ");
    format!("- `{}`: oneof{needed}. {}", oneof.name(), capitalized(&text)).trim_end().to_owned()
        + "\n"
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

fn line_of_field(field: &FieldDescriptor) -> String {
    let from = field.parent_message();
    let mut facts = vec![type_of(field)];
    facts.extend(behaviors(field));
    if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        facts.push(format!("one of `{}`", oneof.name()));
    }
    facts.extend(limits(field));
    if field
        .options()
        .get_field_by_name("debug_redact")
        .is_some_and(|value| value.as_bool() == Some(true))
    {
        facts.push("a secret".to_owned());
    }
    let text = flowing(&comment(&from.parent_file(), field.path()));
    let text = text.strip_prefix("Required.").unwrap_or(&text).trim().replace("\n\n", "\n\n  ");
    let line = format!("- `{}`: {}. {text}", field.name(), facts.join(", "));
    line.trim_end().to_owned() + "\n"
}

/// The sections of messages and enums that methods of the service use, in the order of their names, each
/// with the name of its file.
fn types(service: &ServiceDescriptor) -> Vec<(String, String)> {
    let pool = service.parent_pool();
    let mut sections = Vec::new();
    for message in pool.all_messages() {
        if message.package_name() == crate::PACKAGE && !is_shown_with_a_method(&message) {
            let about = flowing(&comment(&message.parent_file(), message.path()));
            let name = local_name(message.full_name());
            let heading = format!("### {name}\n\n{about}\n\n**Fields**");
            sections.push((
                message.parent_file().name().to_owned(),
                name,
                fields(&heading, &message),
            ));
        }
    }
    for kind in pool.all_enums().filter(|kind| kind.package_name() == crate::PACKAGE) {
        let name = local_name(kind.full_name());
        sections.push((kind.parent_file().name().to_owned(), name, section_of_enum(&kind)));
    }
    sections.sort_by(|one, other| one.1.cmp(&other.1));
    sections.into_iter().map(|(file, _, section)| (file, section)).collect()
}

fn section_of_enum(kind: &EnumDescriptor) -> String {
    let file = kind.parent_file();
    let mut section = format!(
        "### {}\n\n{}\n\n",
        local_name(kind.full_name()),
        flowing(&comment(&file, kind.path()))
    );
    for value in kind.values() {
        let about = comment(&file, value.path()).replace('\n', " ");
        let about = if about.is_empty() { about } else { format!(": {about}") };
        writeln!(section, "- `{}` = {}{about}", value.name(), value.number()).expect("a text");
    }
    section + "\n"
}

fn local_name(full_name: &str) -> String {
    full_name.trim_start_matches(crate::PACKAGE).trim_start_matches('.').to_owned()
}
