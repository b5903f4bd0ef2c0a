//! Debug of messages with credentials, which says of a credential only whether there is one.

use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

/// The option of fields that are credentials.
const IS_SECRET: &str = "debug_redact";

/// The messages that have a credential.
pub(crate) fn messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    super::messages(pool).filter(|message| message.fields().any(|field| is_secret(&field)))
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name(IS_SECRET).is_some_and(|option| option.as_bool() == Some(true))
}

/// The implementations of Debug.
pub(crate) fn code(pool: &DescriptorPool) -> String {
    let mut code = String::new();
    for message in messages(pool) {
        let name = message.name();
        assert!(message.parent_message().is_none(), "{name}: a nested message with a credential");
        write!(
            code,
            "impl ::std::fmt::Debug for {name} {{
                 fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {{
                     f.debug_struct({name:?})"
        )
        .expect("written");
        for field in message.fields() {
            let name = field.name();
            if is_secret(&field) {
                let shown = format!("if self.{name}.is_empty() {{ \"\" }} else {{ \"(hidden)\" }}");
                write!(code, ".field({name:?}, &{shown})").expect("written");
            } else if field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic()) {
                write!(code, ".field({name:?}, &self.r#{name})").expect("written");
            }
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            write!(code, ".field({0:?}, &self.{0})", oneof.name()).expect("written");
        }
        writeln!(code, ".finish() }} }}").expect("written");
    }
    code
}
