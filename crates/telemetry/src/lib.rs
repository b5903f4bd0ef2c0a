//! What a process tells of itself: [logs](LoggingFlags), traces and metrics.
//!
//! A `main` flattens [`TelemetryFlags`] into its own and keeps the [`Telemetry`] that they start
//! until it ends. Everything else is told through functions of this crate, wherever it happens:
//!
//! * [`Call`] is the span of a call while it is answered. It is decided once, when the call
//!   comes, whether its trace is recorded, and all that follows from it, hours later and in other
//!   processes, keeps to that.
//! * [`FinishedSpan`] is a span that is exported when it is over, from what the log says of it: an event's
//!   commit, its routing, each attempt.
//! * [`print_stdout!`] and [`print_stderr!`] print lines, and [`output::finish`] waits for them at
//!   the end. Nothing else writes to these two, so that nobody waits for a reader.
//! * [`counter`], [`seconds`], [`counts`] and [`meter`] make instruments. Each crate has its own,
//!   in a module called `metrics`.
//!
//! Without a process that has started it (in tests, in commands) all of it does nothing.
//!
//! May depend on: the domain, OpenTelemetry, tracing and clap. Every other crate but the domain
//! and the contracts may depend on it.
#![deny(missing_docs)]

mod call;
mod environment;
mod error;
mod export;
mod finished_span;
mod flags;
mod logging;
mod message;
mod metrics;
pub mod output;
mod panics;
mod refresh;
mod repeats;
mod resource;
mod sampling;
mod started;

pub use call::{Call, code_name, new_span_id, new_trace};
pub use error::TelemetryError;
pub use finished_span::{FinishedSpan, is_recorded};
pub use flags::TelemetryFlags;
pub use logging::{LogFormat, LogLevel, LoggingFlags};
pub use message::message;
pub use metrics::{
    LONG_SECONDS, SHORT_SECONDS, Scrape, ScrapeError, counter, counts, meter, seconds,
};
pub use refresh::before_collecting;
pub use started::Telemetry;

pub use opentelemetry::metrics::{Counter, Histogram, ObservableGauge};
pub use opentelemetry::trace::SpanKind;
/// Keys and values of spans and metrics, and kinds of spans.
pub use opentelemetry::{KeyValue, Value};
