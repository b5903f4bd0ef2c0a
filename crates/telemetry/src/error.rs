//! Why telemetry cannot start.

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::error::OTelSdkError;
use tracing_subscriber::util::TryInitError;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process has started its logs before.
    #[error("cannot start the logs")]
    Logs(#[from] TryInitError),
    #[error("cannot send traces and metrics: look at --otlp-endpoint and OTEL_EXPORTER_OTLP_…")]
    Exporter(#[source] ExporterBuildError),
    #[error("cannot collect metrics")]
    Metrics(#[from] OTelSdkError),
    /// A certificate or key for the connection to the collector.
    #[error("cannot read {path}, which OTEL_EXPORTER_OTLP_… names")]
    File { path: String, source: std::io::Error },
}
