//! The flags of telemetry, and what they start.

use std::time::Duration;

use clap::Args;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::Registry;
use tonic::transport::Uri;
use tracing_subscriber::util::TryInitError;

use crate::export;
use crate::logging::LoggingFlags;
use crate::metrics::{SCOPE, Scrape};
use crate::refresh;
use crate::resource::resource;
use crate::sampling::SamplingRatio;
use crate::started::{self, Started, Telemetry};

/// The flags of a process's telemetry; flatten them into its own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryFlags {
    /// What is logged, and how it looks.
    #[command(flatten)]
    pub logging: LoggingFlags,

    /// An OpenTelemetry collector: traces and metrics are sent there by OTLP over gRPC, for
    /// example http://localhost:4317.
    ///
    /// OpenTelemetry's own variables count as well: OTEL_EXPORTER_OTLP_ENDPOINT in place of this
    /// flag, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME,
    /// OTEL_BSP_SCHEDULE_DELAY and so on. OTEL_SDK_DISABLED=true sends nothing.
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_OTLP_ENDPOINT",
        value_parser = endpoint
    )]
    pub otlp_endpoint: Option<String>,

    /// The share of the traces that begin here that is recorded, from 0 to 1. A call that comes
    /// with a traceparent is recorded if its caller records it.
    ///
    /// The default is all of them, or OTEL_TRACES_SAMPLER_ARG.
    #[arg(long, value_name = "RATIO", env = "KEEPTRUSTS_WEBHOOKS_TRACE_SAMPLING")]
    pub trace_sampling: Option<SamplingRatio>,
}

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
    /// A variable of OpenTelemetry's has a value that means nothing.
    #[error("OTEL_TRACES_SAMPLER_ARG: {0}")]
    SamplerArgument(&'static str),
    /// The same.
    #[error(
        "OTEL_TRACES_SAMPLER={0} is not known here: write parentbased_traceidratio, parentbased_always_on or parentbased_always_off"
    )]
    Sampler(String),
}

impl TelemetryFlags {
    /// Starts the logs, and what else the flags and the environment say. `name` is the service's,
    /// unless OTEL_SERVICE_NAME has another. Needs a tokio runtime.
    pub fn start(&self, name: &'static str) -> Result<Telemetry, TelemetryError> {
        let resource = resource(name);
        let exports = self.exports();
        let endpoint = self.otlp_endpoint.as_deref();
        let sampling = self.sampling()?;
        let exporting = match exports.spans {
            true => Some(export::spans(endpoint, &resource)?),
            false => None,
        };
        let tracer = exporting.as_ref().map(|(_, provider)| provider.tracer(SCOPE));
        self.logging.start(tracer)?;
        let exporting = exporting.map(|(exporting, _)| exporting);
        if let Some(exporting) = exporting.clone() {
            started::set(Started { sampling, exporting });
        }

        let registry = Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(scraped);
        let meters = match exports.metrics {
            true => meters.with_reader(PeriodicReader::builder(export::metrics(endpoint)?).build()),
            false => meters,
        };
        let meters = meters.build();
        global::set_meter_provider(meters.clone());
        let pushing = exports.metrics.then(|| tokio::spawn(refresh_for_pushes()).abort_handle());
        if exports.spans || exports.metrics {
            let destination = endpoint.unwrap_or("as OTEL_EXPORTER_OTLP_… say");
            tracing::info!(destination, %sampling, "sending traces and metrics");
        }
        Ok(Telemetry { exporting, meters, scrape: Scrape(registry), pushing })
    }

    fn exports(&self) -> Exports {
        let given = self.otlp_endpoint.is_some() || is_set("OTEL_EXPORTER_OTLP_ENDPOINT");
        let enabled = !is("OTEL_SDK_DISABLED", "true");
        let wanted =
            |endpoint, exporter| enabled && (given || is_set(endpoint)) && !is(exporter, "none");
        Exports {
            spans: wanted("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"),
            metrics: wanted("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRICS_EXPORTER"),
        }
    }

    fn sampling(&self) -> Result<SamplingRatio, TelemetryError> {
        if let Some(ratio) = self.trace_sampling {
            return Ok(ratio);
        }
        let argument = variable("OTEL_TRACES_SAMPLER_ARG");
        let ratio = argument.map(|text| text.parse().map_err(TelemetryError::SamplerArgument));
        match variable("OTEL_TRACES_SAMPLER").as_deref() {
            None | Some("parentbased_traceidratio" | "traceidratio") => {
                Ok(ratio.transpose()?.unwrap_or(SamplingRatio::ALL))
            }
            Some("parentbased_always_on" | "always_on") => Ok(SamplingRatio::ALL),
            Some("parentbased_always_off" | "always_off") => Ok(SamplingRatio::NONE),
            Some(other) => Err(TelemetryError::Sampler(other.to_owned())),
        }
    }
}

/// Metrics that are pushed are collected by a clock, in a thread that cannot look anything up.
async fn refresh_for_pushes() {
    // As OpenTelemetry reads it; a minute is its default.
    let interval = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.parse().ok());
    let interval = Duration::from_millis(interval.unwrap_or(60_000).max(1_000));
    loop {
        refresh::refresh().await;
        tokio::time::sleep(interval).await;
    }
}

/// What is sent to a collector.
struct Exports {
    spans: bool,
    metrics: bool,
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn is_set(name: &str) -> bool {
    variable(name).is_some()
}

fn is(name: &str, value: &str) -> bool {
    variable(name).is_some_and(|set| set.eq_ignore_ascii_case(value))
}

fn endpoint(text: &str) -> Result<String, String> {
    let url: Option<Uri> = text.parse().ok();
    let is_url = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
    match url.as_ref().is_some_and(is_url) {
        true => Ok(text.to_owned()),
        false => {
            Err("write http://host:port or https://host:port, such as http://localhost:4317"
                .to_owned())
        }
    }
}
