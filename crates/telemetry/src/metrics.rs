//! Metrics: instruments for everybody, and their text for Prometheus.
//!
//! No label takes values that grow with use: organizations, endpoints and events are in spans
//! and in the API, not here.
//!
//! Decision: docs/decisions/metrics-have-bounded-labels.md

use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};
use prometheus::{Registry, TextEncoder};

use crate::{output, refresh, repeats};

/// Something that is counted. Instruments are made when they are first used, and not before:
/// those that are made before the telemetry has started do nothing.
pub fn counter(name: &'static str, about: &'static str) -> Counter<u64> {
    meter().u64_counter(name).with_description(about).build()
}

/// How long something takes, in seconds, by [`SHORT_SECONDS`] or [`LONG_SECONDS`].
pub fn seconds(name: &'static str, about: &'static str, bounds: &[f64]) -> Histogram<f64> {
    let meter = meter();
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(about);
    histogram.with_boundaries(bounds.to_vec()).build()
}

/// How many are taken at once.
pub fn counts(name: &'static str, about: &'static str) -> Histogram<u64> {
    let bounds = (0..=10).map(|power| f64::from(1_u32 << power)).collect();
    meter().u64_histogram(name).with_description(about).with_boundaries(bounds).build()
}

/// What makes the instruments that are more than that.
pub fn meter() -> Meter {
    global::meter(SCOPE)
}

/// What is not in the log. Observed when metrics are collected: what counts while a line is logged
/// must not log itself.
pub(crate) fn tell_of_log_lines() {
    meter()
        .u64_observable_counter("keeptrusts_webhooks.log.lines_left_out")
        .with_description("log lines that nobody read in time, and those that were summed up")
        .with_callback(|observer| {
            observer.observe(output::lost_lines(), &[KeyValue::new("reason", "lost")]);
            observer.observe(repeats::summed_up_lines(), &[KeyValue::new("reason", "repeated")]);
        })
        .build();
}

/// Bounds for what takes milliseconds: a commit, a call, a request.
pub const SHORT_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds for what takes milliseconds or hours: the way from publishing to the receiver, with the
/// retry schedule's steps (1 min, 5 min, 30 min, 2 h, 12 h) within.
pub const LONG_SECONDS: &[f64] = &[
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0,
    14_400.0, 57_600.0,
];

/// The name of what makes all our spans and instruments.
pub(crate) const SCOPE: &str = "keeptrusts_webhooks";

/// What is scraped.
#[derive(Debug, Clone)]
pub struct Scrape(pub(crate) Registry);

/// The text could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics")]
pub struct ScrapeError(#[from] prometheus::Error);

impl Scrape {
    /// The content type of the text (Prometheus text format 0.0.4).
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// All metrics as they are now.
    pub async fn text(&self) -> Result<String, ScrapeError> {
        refresh::refresh().await;
        Ok(TextEncoder::new().encode_to_string(&self.0.gather())?)
    }
}
