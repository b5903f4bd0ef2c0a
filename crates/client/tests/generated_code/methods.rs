//! What the client has to know of each method: whether a request may be sent again, and what makes it so;
//! where a list has its items and tokens; where a watch has its token.

use std::fmt::Write;

use protox::prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

/// The fields that make it safe to send a request again (AIP-155), if they are not empty.
const IDS: [&str; 2] = ["request_id", "idempotency_key"];

/// google.protobuf.MethodOptions.IDEMPOTENCY_UNKNOWN.
const UNKNOWN: i32 = 0;

/// The implementations of the traits of `call.rs` and the methods of the client.
pub(crate) fn code(pool: &DescriptorPool) -> String {
    let services: Vec<_> =
        pool.services().filter(|service| super::is_ours(service.package_name())).collect();
    let (mut implementations, mut methods) = (String::new(), String::new());
    for service in &services {
        for method in service.methods() {
            match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, false) => {
                    write_unary(&mut implementations, &method);
                    write_list(&mut implementations, &method);
                    write_method(&mut methods, &method);
                }
                (false, true) => write_watch(&mut implementations, &method),
                // EventPublisher.
                (true, _) => {}
            }
        }
    }
    format!("{implementations}\nimpl Client {{\n{methods}}}\n")
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The same again does no more than once.
fn is_idempotent(method: &MethodDescriptor) -> bool {
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level");
    level.and_then(|level| level.as_enum_number()).is_some_and(|level| level != UNKNOWN)
}

fn write_unary(code: &mut String, method: &MethodDescriptor) {
    let (request, response) = (method.input(), method.output());
    let make = make_repeatable(&request).unwrap_or_else(|| is_idempotent(method).to_string());
    writeln!(
        code,
        "impl Sealed for v1::{request} {{}}
         impl UnaryRequest for v1::{request} {{
             type Response = v1::{response};
             const PATH: &'static str = {path:?};
             fn make_repeatable(&mut self) -> bool {{ {make} }}
         }}",
        request = request.name(),
        response = response.name(),
        path = path(method),
    )
    .expect("written");
}

/// The statements that give the request, or each request of a batch, an id of its own. None: it has no
/// field for one.
fn make_repeatable(request: &MessageDescriptor) -> Option<String> {
    if let Some(field) = IDS.iter().find(|name| request.get_field_by_name(name).is_some()) {
        return Some(format!("ensure_id(&mut self.{field}); true"));
    }
    let batch = request.fields().find_map(|field| {
        let item = items(&field)?;
        let id = IDS.iter().find(|name| item.get_field_by_name(name).is_some())?;
        Some(format!(
            "for item in &mut self.{} {{ ensure_id(&mut item.{id}); }} true",
            field.name()
        ))
    });
    // A resource that a request contains may have such a field too, as events have.
    batch.filter(|_| request.name().starts_with("Batch"))
}

/// The message of a repeated field.
fn items(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if field.cardinality() == Cardinality::Repeated => Some(message),
        _ => None,
    }
}

/// A list is what has a `page_token` (AIP-158).
fn write_list(code: &mut String, method: &MethodDescriptor) {
    let (request, response) = (method.input(), method.output());
    if request.get_field_by_name("page_token").is_none() {
        return;
    }
    let repeated: Vec<_> = response.fields().filter(|field| items(field).is_some()).collect();
    let [field] = &repeated[..] else { panic!("{}: which of its fields is it?", response.name()) };
    let item = items(field).expect("it is one");
    writeln!(
        code,
        "impl ListRequest for v1::{request} {{
             type Item = v1::{item};
             fn set_page_token(&mut self, token: String) {{ self.page_token = token; }}
             fn into_page(response: Self::Response) -> (Vec<Self::Item>, String) {{
                 (response.{field}, response.next_page_token)
             }}
         }}",
        request = request.name(),
        item = item.name(),
        field = field.name(),
    )
    .expect("written");
}

fn write_watch(code: &mut String, method: &MethodDescriptor) {
    let (request, response) = (method.input(), method.output());
    let resumes = request.get_field_by_name("resume_token").is_some();
    let resume = if resumes { "self.resume_token.clone_from(&last.resume_token);" } else { "" };
    let content: Vec<_> = response
        .fields()
        .filter(|field| matches!(field.kind(), Kind::Message(_)))
        .map(|field| format!("last.{}.is_some()", field.name()))
        .collect();
    assert!(!content.is_empty(), "{}: what does it show?", response.name());
    writeln!(
        code,
        "impl Sealed for v1::{request} {{}}
         impl WatchRequest for v1::{request} {{
             type Response = v1::{response};
             const PATH: &'static str = {path:?};
             const RESUMES: bool = {resumes};
             fn resume_after(&mut self, last: &Self::Response) -> bool {{
                 {resume}
                 {content}
             }}
         }}",
        request = request.name(),
        response = response.name(),
        path = path(method),
        content = content.join(" || "),
    )
    .expect("written");
}

fn write_method(code: &mut String, method: &MethodDescriptor) {
    for line in comment(method).lines() {
        writeln!(code, "///{line}").expect("written");
    }
    writeln!(
        code,
        "pub async fn {name}(&self, request: v1::{request}) -> Result<v1::{response}, Error> {{
             self.call(request).await
         }}",
        name = snake_case(method.name()),
        request = method.input().name(),
        response = method.output().name(),
    )
    .expect("written");
}

/// The comment of a method in its proto.
fn comment(method: &MethodDescriptor) -> String {
    let file = method.parent_service().parent_file();
    let infos =
        &file.file_descriptor_proto().source_code_info.as_ref().expect("asked for").location;
    let info = infos.iter().find(|info| info.path == method.path()).expect("it is in its file");
    let comment = info.leading_comments();
    assert!(!comment.trim().is_empty(), "{} has no comment", method.full_name());
    comment.to_owned()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut previous_is_upper = true;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !previous_is_upper {
            snake.push('_');
        }
        previous_is_upper = letter.is_ascii_uppercase();
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
