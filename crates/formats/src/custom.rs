//! The custom format: a template of the endpoint's owner, in minijinja's language, that makes JSON.
//!
//! Templates are programs of customers that run in our process, so they get nothing that is not
//! bounded: a part of the language ([`language`]), the filters and tests of two lists here, so many
//! steps as the engine's fuel allows, and a result that our own writer bounds. Macros, includes and
//! imports are not even compiled in.

use std::sync::OnceLock;

use keeptrusts_webhooks_domain::limits::MAX_TEMPLATE_BYTES;
use keeptrusts_webhooks_domain::rfc3339;
use minijinja::value::ValueKind;
use minijinja::{
    Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context, filters, tests,
};
use serde::de::IgnoredAny;

use crate::FormatError;
use crate::event::Event;

mod language;

/// What a template may make, in bytes. As much as an event's data may have.
pub const MAX_CUSTOM_BODY_BYTES: usize = 256 * 1024;

/// What a template may use up in one rendering: a step is one, and so are 64 bytes that it reads or
/// makes. It bounds time (some ten milliseconds) and memory (6 MiB).
pub const MAX_STEPS: u64 = 100_000;

/// How deeply loops and blocks of a template may be nested, recursion included.
pub const MAX_NESTING: usize = 64;

/// An error's text is cut to so many characters: it may quote the event's data.
const MAX_REASON_CHARS: usize = 300;

const NAME: &str = "payload";

/// A compiled template.
pub struct CustomTemplate(Environment<'static>);

impl std::fmt::Debug for CustomTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomTemplate(..)")
    }
}

impl CustomTemplate {
    pub(crate) fn compile(template: &str) -> Result<CustomTemplate, FormatError> {
        // It was checked when it came; nothing longer is compiled, wherever it comes from.
        if template.len() > MAX_TEMPLATE_BYTES {
            return Err(FormatError::TooLarge { limit: MAX_TEMPLATE_BYTES });
        }
        language::check(template)?;
        let mut environment = environment().clone();
        let added = environment.add_template_owned(NAME, template.to_owned());
        added.map_err(|error| failed(&error))?;
        Ok(CustomTemplate(environment))
    }

    /// JSON, or an error.
    pub(crate) fn render(&self, event: &Event<'_>) -> Result<Vec<u8>, FormatError> {
        let data: Value = serde_json::from_str(event.data.get())
            .map_err(|error| FormatError::Data { reason: error.to_string() })?;
        let variables = context! {
            event => event.event_type.name(),
            event_id => event.id.to_string(),
            organization_id => event.organization_id.as_str(),
            timestamp => rfc3339::seconds(event.time),
            data => data,
        };
        let mut body = Bounded::default();
        let template = self.0.get_template(NAME).map_err(|error| failed(&error))?;
        let rendered = template.render_captured_to(variables, &mut body);
        if body.is_full {
            return Err(FormatError::TooLarge { limit: MAX_CUSTOM_BODY_BYTES });
        }
        rendered.map_err(|error| failed(&error))?;
        match serde_json::from_slice::<IgnoredAny>(&body.bytes) {
            Ok(IgnoredAny) => Ok(body.bytes),
            Err(error) => Err(FormatError::NotJson { reason: error.to_string() }),
        }
    }
}

/// What templates have. It is made once; a clone shares the lists.
fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::empty();
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(MAX_NESTING);
        // Events may lack any field: `{{ data.a.b }}` is null then.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_formatter(write_json);
        add_filters(&mut environment);
        add_tests(&mut environment);
        environment
    })
}

/// Filters whose result is no larger than what they are given, or that ask for fuel before they
/// make it larger (`join`, `replace`).
fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("abs", filters::abs);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
    environment.add_filter("join", filters::join);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("round", filters::round);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("json_text", json_text);
    environment.add_filter("tojson", |value: Value| value);
    environment.add_filter("truncate", truncate);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("number", tests::is_number);
    environment.add_test("string", tests::is_string);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
}

/// Whatever is printed is printed as JSON: a text with its quotation marks, what is missing as
/// null. `{{ data }}` and `{{ data|tojson }}` are the same.
fn write_json(
    out: &mut Output<'_>,
    _state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    out.write_str(&json(value)?)?;
    Ok(())
}

/// The JSON of a value as a text, for a text around it: `{{ "data: " ~ data|json_text }}`.
fn json_text(value: &Value) -> Result<String, Error> {
    json(value)
}

/// The first characters of a text, and an ellipsis in the place of the last one if it is longer.
fn truncate(state: &State<'_, '_>, value: &Value, length: usize) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(value.clone());
    }
    let Some(text) = value.as_str() else {
        let detail = format!("truncate takes a text, not a {}", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    };
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(match text.char_indices().nth(length) {
        None => value.clone(),
        Some(_) => {
            let kept = text.chars().take(length.saturating_sub(1));
            Value::from(kept.chain(['…']).collect::<String>())
        }
    })
}

/// Values can be small and have much to say, `[a, a]` of `[b, b]` of…: no more of it is written
/// than may be sent.
fn json(value: &Value) -> Result<String, Error> {
    if value.kind() == ValueKind::Undefined {
        return Ok("null".to_owned());
    }
    let mut written = Bounded::default();
    serde_json::to_writer(&mut written, value).map_err(|error| match written.is_full {
        true => Error::new(ErrorKind::OutOfFuel, "its JSON is too long"),
        false => Error::new(ErrorKind::BadSerialization, error.to_string()),
    })?;
    String::from_utf8(written.bytes)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Takes as much as may be sent, and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > MAX_CUSTOM_BODY_BYTES - self.bytes.len() {
            self.is_full = true;
            return Err(std::io::Error::other("it is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failed(error: &Error) -> FormatError {
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => {
            "it takes too many steps, or makes too large values: loop over less, and repeat less"
                .to_owned()
        }
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    let reason = crate::cut::Cutting::to(MAX_REASON_CHARS).cut(&reason);
    FormatError::Template { line: error.line().unwrap_or(1), reason }
}

#[cfg(test)]
#[path = "custom/tests.rs"]
mod tests_of_templates;
