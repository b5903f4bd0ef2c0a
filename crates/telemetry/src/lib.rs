//! [Logs](LoggingFlags), traces and metrics.
//!
//! A `main` flattens [`TelemetryFlags`] into its own flags, and keeps the [`Telemetry`] that they
//! start until it ends. Everything else calls functions of this crate:
//!
//! * [`Call`] is the span of a call while it is answered. Whether its trace is recorded is decided
//!   once, when the call arrives. Everything that follows from the call, hours later and in other
//!   processes, respects the decision.
//! * [`FinishedSpan`] is a span that is made and exported when its work is over: an event's commit,
//!   its routing, each attempt.
//! * [`print_stdout!`] and [`print_stderr!`] print lines, and [`output::finish`] waits until they are
//!   written. Nothing else writes to the two streams, so that no thread blocks on a slow reader.
//! * [`counter`], [`seconds`], [`counts`] and [`meter`] create instruments. Each crate has its own,
//!   in a module called `metrics`.
//!
//! Without a process that has started telemetry (in tests, in commands) all of this does nothing.
//!
//! May depend on: the domain, OpenTelemetry, tracing and clap. Every other crate but the domain
//! and the contracts may depend on it.

mod call;
mod collection_hooks;
mod environment;
mod error;
mod event_attributes;
mod export;
mod finished_span;
mod flags;
mod global_telemetry;
mod logging;
mod metrics;
pub mod output;
mod panics;
mod repeated_lines;
mod resource;
mod sampling;

pub use call::{Call, code_name, new_span_id, new_trace};
pub use collection_hooks::before_collecting;
pub use error::TelemetryError;
pub use event_attributes::event_attributes;
pub use finished_span::{FinishedSpan, is_recorded};
pub use flags::TelemetryFlags;
pub use global_telemetry::Telemetry;
pub use logging::{LogFormat, LogLevel, LoggingFlags};
pub use metrics::{
    LONG_SECONDS, SHORT_SECONDS, Scrape, ScrapeError, counter, counts, meter, seconds,
};

pub use opentelemetry::metrics::{Counter, Histogram, ObservableGauge};
pub use opentelemetry::trace::SpanKind;
pub use opentelemetry::{KeyValue, Value};
