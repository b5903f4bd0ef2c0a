//! Limits of templates and of their output.

use keeptrusts_webhooks_domain::limits::{MAX_DATA_BYTES, MAX_TEMPLATE_BYTES};

/// The most bytes of a template's output: the largest data plus the largest template, so that any
/// data fits into the text around it.
pub const MAX_CUSTOM_BODY_BYTES: usize = MAX_DATA_BYTES + MAX_TEMPLATE_BYTES;

/// The most steps of one rendering. 64 bytes that are read or made count as a step, and so do 4
/// bytes of an array or object that is written as JSON. This bounds the time (some fifty
/// milliseconds) and the memory (6 MiB).
pub const MAX_STEPS: u64 = 100_000;

/// How deeply loops and conditions of a template may be nested.
pub const MAX_NESTING: usize = 64;

/// The most characters of an error's text, which may quote the event's data.
pub(super) const MAX_REASON_CHARS: usize = 300;
