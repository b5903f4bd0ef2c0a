//! Creates instruments for every crate, and writes metrics as text for Prometheus.
//!
//! No label takes values that grow with use: organizations, endpoints and events are in spans
//! and in the API, not here.
//!
//! Decision: docs/decisions/metrics-have-bounded-labels.md

use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};
use prometheus::{Registry, TextEncoder};

use crate::{collection_hooks, output, repeated_lines};

/// A counter. Create instruments when they are first used: those that are created before telemetry
/// has started do nothing.
pub fn counter(name: &'static str, about: &'static str) -> Counter<u64> {
    meter().u64_counter(name).with_description(about).build()
}

/// A histogram of durations in seconds. `bounds` are [`SHORT_SECONDS`] or [`LONG_SECONDS`].
pub fn seconds(name: &'static str, about: &'static str, bounds: &[f64]) -> Histogram<f64> {
    let meter = meter();
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(about);
    histogram.with_boundaries(bounds.to_vec()).build()
}

/// A histogram of batch sizes, from 1 to 1,024.
pub fn counts(name: &'static str, about: &'static str) -> Histogram<u64> {
    let bounds = (0..=10).map(|power| f64::from(1_u32 << power)).collect();
    meter().u64_histogram(name).with_description(about).with_boundaries(bounds).build()
}

/// For other kinds of instruments.
pub fn meter() -> Meter {
    global::meter(SCOPE)
}

/// Counts the lines that are not in the log. They are observed when metrics are collected, because
/// counting while a line is logged could log a line itself.
pub(crate) fn observe_log_lines() {
    meter()
        .u64_observable_counter("keeptrusts_webhooks.log.lines_left_out")
        .with_description("log lines that nobody read in time, and those that were summed up")
        .with_callback(|observer| {
            observer.observe(output::lost_lines(), &[KeyValue::new("reason", "lost")]);
            observer
                .observe(repeated_lines::summed_up_lines(), &[KeyValue::new("reason", "repeated")]);
        })
        .build();
}

/// Bounds for what mostly takes milliseconds: a commit, a call, a request.
pub const SHORT_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds for what takes milliseconds or hours: the time from publishing to delivery. The steps of the
/// retry schedule (1 min, 5 min, 30 min, 2 h, 12 h) are between them.
pub const LONG_SECONDS: &[f64] = &[
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0,
    14_400.0, 57_600.0,
];

/// The instrumentation scope of all spans and instruments.
pub(crate) const SCOPE: &str = "keeptrusts_webhooks";

/// Collects the metrics of the process for Prometheus.
#[derive(Debug, Clone)]
pub struct Scrape(pub(crate) Registry);

#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics")]
pub struct ScrapeError(#[from] prometheus::Error);

impl Scrape {
    /// Prometheus text format 0.0.4.
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// All metrics with their current values.
    pub async fn text(&self) -> Result<String, ScrapeError> {
        collection_hooks::run().await;
        Ok(TextEncoder::new().encode_to_string(&self.0.gather())?)
    }
}
