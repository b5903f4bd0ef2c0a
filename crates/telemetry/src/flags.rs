//! The flags of telemetry, and starting it.

use std::time::Duration;

use clap::Args;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::Registry;
use tonic::transport::Uri;

use crate::collection_hooks;
use crate::environment::{self, is, is_set, variable};
use crate::error::TelemetryError;
use crate::export;
use crate::global_telemetry::{self, GlobalTelemetry, Telemetry};
use crate::logging::LoggingFlags;
use crate::metrics::{SCOPE, Scrape, observe_log_lines};
use crate::resource::resource;
use crate::sampling::SamplingRatio;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryFlags {
    /// An OpenTelemetry collector: traces and metrics are sent there by OTLP over gRPC, for
    /// example http://localhost:4317.
    ///
    /// OpenTelemetry's own variables count as well: OTEL_EXPORTER_OTLP_ENDPOINT in place of this
    /// flag, or one of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_EXPORTER_OTLP_METRICS_ENDPOINT;
    /// OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION (gzip), _CERTIFICATE,
    /// _CLIENT_CERTIFICATE, _CLIENT_KEY; OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES;
    /// OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE;
    /// OTEL_METRIC_EXPORT_INTERVAL. OTEL_SDK_DISABLED=true sends nothing.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub otlp_endpoint: Option<String>,

    /// The share of the traces that begin here that is recorded, from 0 to 1. A call that comes
    /// with a traceparent is recorded if its caller records it.
    ///
    /// The default is all of them, or what OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say.
    #[arg(long, value_name = "RATIO")]
    pub trace_sampling: Option<SamplingRatio>,

    #[command(flatten)]
    pub logging: LoggingFlags,
}

impl TelemetryFlags {
    /// Starts logs, traces and metrics. `name` is the service's, unless OTEL_SERVICE_NAME is set. Must
    /// be called within a tokio runtime.
    pub fn start(&self, name: &'static str) -> Result<Telemetry, TelemetryError> {
        let resource = resource(name);
        let exports = self.exports();
        let endpoint = self.otlp_endpoint.as_deref();
        let spans = match exports.spans {
            true => Some(export::spans(endpoint, &resource)?),
            false => None,
        };
        let tracer = spans.as_ref().map(|(_, provider)| provider.tracer(SCOPE));
        self.logging.start(tracer)?;
        let span_queue = spans.map(|(queue, _)| queue);
        if let Some(span_queue) = span_queue.clone() {
            let sampling = self.sampling();
            tracing::info!(collector = self.collector(), %sampling, "sending traces");
            global_telemetry::set(GlobalTelemetry { sampling, span_queue });
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
        observe_log_lines();
        let hooks = exports.metrics.then(|| tokio::spawn(run_hooks_for_pushes()).abort_handle());
        if exports.metrics {
            tracing::info!(collector = self.collector(), "sending metrics");
        }
        if !environment::is("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            && let Some(protocol) = environment::variable("OTEL_EXPORTER_OTLP_PROTOCOL")
            && (exports.spans || exports.metrics)
        {
            tracing::warn!(protocol, "OTEL_EXPORTER_OTLP_PROTOCOL is ignored: it is grpc here");
        }
        Ok(Telemetry { span_queue, meters, scrape: Scrape(registry), hooks })
    }

    fn exports(&self) -> Exports {
        let given = self.otlp_endpoint.is_some() || is_set("OTEL_EXPORTER_OTLP_ENDPOINT");
        let enabled = !is("OTEL_SDK_DISABLED", "true");
        let wanted = |endpoint, exporter| {
            // `otlp` without an endpoint means OpenTelemetry's own, on this machine.
            let wanted = given || is_set(endpoint) || is(exporter, "otlp");
            enabled && wanted && !is(exporter, "none")
        };
        Exports {
            spans: wanted("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"),
            metrics: wanted("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRICS_EXPORTER"),
        }
    }

    /// For the logs.
    fn collector(&self) -> &str {
        self.otlp_endpoint.as_deref().unwrap_or("as OTEL_EXPORTER_OTLP_… say")
    }

    fn sampling(&self) -> SamplingRatio {
        if let Some(ratio) = self.trace_sampling {
            return ratio;
        }
        let sampler = variable("OTEL_TRACES_SAMPLER");
        match sampler.as_deref() {
            None | Some("parentbased_traceidratio") => {
                let Some(argument) = variable("OTEL_TRACES_SAMPLER_ARG") else {
                    return SamplingRatio::ALL;
                };
                argument.parse().unwrap_or_else(|problem: &str| {
                    tracing::warn!(argument, "OTEL_TRACES_SAMPLER_ARG is ignored: {problem}");
                    SamplingRatio::ALL
                })
            }
            Some("parentbased_always_on") => SamplingRatio::ALL,
            Some("parentbased_always_off") => SamplingRatio::NONE,
            Some(other) => {
                tracing::warn!(
                    sampler = other,
                    "OTEL_TRACES_SAMPLER is ignored: here callers decide for their traces (parentbased_traceidratio, parentbased_always_on, parentbased_always_off), and of others all are recorded"
                );
                SamplingRatio::ALL
            }
        }
    }
}

/// OpenTelemetry collects pushed metrics by a timer, in a thread that cannot run the hooks itself.
async fn run_hooks_for_pushes() {
    // Parsed as OpenTelemetry does, with its default of a minute.
    let interval = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.parse().ok());
    let interval = Duration::from_millis(interval.unwrap_or(60_000).max(1_000));
    loop {
        collection_hooks::run().await;
        tokio::time::sleep(interval).await;
    }
}

/// What is sent to a collector.
struct Exports {
    spans: bool,
    metrics: bool,
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    let url: Option<Uri> = text.parse().ok();
    let Some(url) = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https"))) else {
        return Err("write http://host:port or https://host:port, such as http://localhost:4317");
    };
    match url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        // They would not be used, and would appear in logs.
        true => Err("write no user or password: give them by OTEL_EXPORTER_OTLP_HEADERS"),
        false => Ok(text.to_owned()),
    }
}
