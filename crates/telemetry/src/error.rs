//! Why telemetry cannot start.

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::error::OTelSdkError;
use tracing_subscriber::util::TryInitError;

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// This process has done so before.
    #[error("cannot start the logs")]
    Logs(#[from] TryInitError),
    /// The collector cannot be reached as it is configured.
    #[error("cannot send traces and metrics: look at --otlp-endpoint and OTEL_EXPORTER_OTLP_…")]
    Exporter(#[source] ExporterBuildError),
    /// The metrics cannot be served.
    #[error("cannot collect metrics")]
    Metrics(#[from] OTelSdkError),
    /// A certificate or a key for the collector cannot be read.
    #[error("cannot read {path}, which OTEL_EXPORTER_OTLP_… names")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}
