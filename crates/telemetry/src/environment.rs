//! Reads OpenTelemetry's environment variables:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//! Empty ones count as not set.

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

pub(crate) fn is_set(name: &str) -> bool {
    variable(name).is_some()
}

pub(crate) fn is(name: &str, value: &str) -> bool {
    variable(name).is_some_and(|set| set.eq_ignore_ascii_case(value))
}

/// The specification demands that a value that is no number is ignored with a warning.
pub(crate) fn number(name: &str) -> Option<usize> {
    let value = variable(name)?;
    let number = value.trim().parse();
    if number.is_err() {
        tracing::warn!(name, value, "is not a number, and is ignored");
    }
    number.ok()
}
