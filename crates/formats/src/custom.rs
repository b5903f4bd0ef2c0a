//! The custom format: the endpoint's owner writes a template in minijinja's language that makes
//! JSON.
//!
//! Templates are programs of customers that run in our process, so everything that they can do is
//! bounded: a part of the language ([`language`]), two lists of filters and tests ([`builtins`]), our
//! own operators ([`operators`]), and a number of steps, the engine's fuel. Whatever reads or makes
//! more than a few bytes costs more than one step ([`cost`]). Macros, includes and imports are not
//! compiled in.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use keeptrusts_webhooks_domain::json::{self, JsonError};
use keeptrusts_webhooks_domain::limits::{MAX_PAYLOAD_DEPTH, MAX_TEMPLATE_BYTES};
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::visible_text::with_blanks_for_hidden;
use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
};

use crate::error::FormatError;
use crate::payload_event::PayloadEvent;

mod arguments;
mod builtins;
mod cost;
mod data;
mod decimal;
mod engine_error;
mod language;
mod limits;
mod numbers;
mod operators;
mod write;

pub use cost::Interrupt;
use cost::{RENDERING, Rendering};
use engine_error::template_error;
pub use limits::{MAX_CUSTOM_BODY_BYTES, MAX_NESTING, MAX_STEPS};

/// A template that has been checked. It is compiled for each rendering, because the engine's compiled
/// form borrows from the source; that takes a small part of a rendering's time.
pub struct CustomTemplate {
    source: String,
}

impl std::fmt::Debug for CustomTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomTemplate(..)")
    }
}

impl CustomTemplate {
    pub(crate) fn compile(template: &str) -> Result<CustomTemplate, FormatError> {
        // Requests are checked too; nothing longer is compiled, wherever it comes from.
        if template.len() > MAX_TEMPLATE_BYTES {
            return Err(FormatError::TooLarge { limit: MAX_TEMPLATE_BYTES });
        }
        language::read(template)?;
        Ok(CustomTemplate { source: template.to_owned() })
    }

    /// Returns JSON. May take some fifty milliseconds, unless it is interrupted.
    pub(crate) fn render(
        &self,
        event: &PayloadEvent<'_>,
        interrupt: &Interrupt,
    ) -> Result<Vec<u8>, FormatError> {
        let (body, _) = self.run(event, interrupt)?;
        if body.len() > MAX_CUSTOM_BODY_BYTES {
            return Err(FormatError::TooLarge { limit: MAX_CUSTOM_BODY_BYTES });
        }
        match json::check(&body, MAX_PAYLOAD_DEPTH) {
            Ok(()) => Ok(body.into_bytes()),
            Err(error) => Err(not_json(&body, &error)),
        }
    }

    /// The output, and how many steps it took.
    fn run(
        &self,
        event: &PayloadEvent<'_>,
        interrupt: &Interrupt,
    ) -> Result<(String, u64), FormatError> {
        let data = data::value(event.data.get())
            .map_err(|error| FormatError::Data { reason: error.to_string() })?;
        let rendering = Arc::new(Rendering::new(interrupt.clone()));
        let variables = Value::from_pairs([
            ("event", Value::from(event.event_type.name())),
            ("event_id", Value::from(event.id.to_string())),
            ("organization_id", Value::from(event.organization_id.as_str())),
            ("timestamp", Value::from(rfc3339::seconds(event.time))),
            ("data", data),
            (RENDERING, Value::from_dyn_object(Arc::clone(&rendering))),
        ]);
        let mut generator = CodeGenerator::new(language::TEMPLATE_NAME, &self.source);
        generator.compile_stmt(&language::read(&self.source)?);
        let (instructions, _) = generator.finish();
        let mut body = String::new();
        let mut output = make_string_output(&mut body);
        // The language has no blocks.
        let blocks = BTreeMap::new();
        let done =
            eval(environment(), &instructions, variables, &blocks, &mut output, AutoEscape::None);
        let steps = match done {
            Ok((_, state)) => state.fuel_levels().map_or(0, |(used, _)| used),
            Err(_) if interrupt.is_raised() => return Err(FormatError::Interrupted),
            Err(_) if rendering.is_full() => {
                return Err(FormatError::TooLarge { limit: MAX_CUSTOM_BODY_BYTES });
            }
            Err(error) => return Err(template_error(&error)),
        };
        Ok((body, steps))
    }
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::empty();
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(MAX_NESTING);
        // Events may lack any field: then `{{ data.a.b }}` is null.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_formatter(write_json);
        builtins::add_to(&mut environment);
        operators::add_to(&mut environment);
        environment
    })
}

/// Values are printed as JSON: a string with its quotation marks, a missing value as null.
/// `{{ data }}` and `{{ data|tojson }}` are the same. The engine charges for it.
fn write_json(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let rendering = cost::rendering(state)?;
    rendering.go_on()?;
    let json = write::uncharged_json(value)?;
    if !rendering.print(json.len()) {
        return Err(Error::new(ErrorKind::OutOfFuel, "it prints too much"));
    }
    out.write_str(&json)?;
    Ok(())
}

/// Authors do not see the invalid output, so the error shows the text before the place.
fn not_json(body: &str, error: &JsonError) -> FormatError {
    const SHOWN_CHARS: usize = 40;
    let before = &body[..error.position()];
    let line = before.split('\n').count();
    let shown = before.rsplit('\n').next().unwrap_or_default();
    let start = shown.char_indices().rev().nth(SHOWN_CHARS - 1).map_or(0, |(start, _)| start);
    let ellipsis = if start > 0 { "…" } else { "" };
    let shown = with_blanks_for_hidden(&shown[start..]);
    let place = match shown.trim() {
        "" => format!("in line {line} of it"),
        shown => format!("in line {line} of it, after {ellipsis}{shown}"),
    };
    let hint = match error.is_of_grammar() {
        true => ": values bring their own quotation marks, as in {\"text\": {{ event }}}",
        false => "",
    };
    FormatError::NotJson { reason: format!("{error} ({place}){hint}") }
}

#[cfg(test)]
#[path = "custom/tests.rs"]
mod tests;
