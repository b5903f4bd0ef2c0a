//! Limits of templates and of what they make.

use keeptrusts_webhooks_domain::limits::{MAX_DATA_BYTES, MAX_TEMPLATE_BYTES};

/// What a template may make, in bytes: as much as an event's data may have, and once more as much as
/// a template may have, so that whatever is published fits into what is written around it.
pub const MAX_CUSTOM_BODY_BYTES: usize = MAX_DATA_BYTES + MAX_TEMPLATE_BYTES;

/// What a template may use up in one rendering: a step is one, and so are 64 bytes that it reads or
/// makes, and 4 bytes of an array or object that it writes as JSON. It bounds time (some fifty
/// milliseconds) and memory (6 MiB).
pub const MAX_STEPS: u64 = 100_000;

/// How deeply loops and blocks of a template may be nested.
pub const MAX_NESTING: usize = 64;

/// An error's text is cut to so many characters: it may quote the event's data.
pub(super) const MAX_REASON_CHARS: usize = 300;
