//! Where spans and metrics go: to a collector by OTLP over gRPC.
//!
//! What concerns the way there (headers, time-outs, batches) is OpenTelemetry's to read from its
//! own variables of the environment:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData,
    SpanProcessor,
};
use tonic::transport::ClientTlsConfig;

use crate::flags::TelemetryError;
use crate::metrics::SCOPE;

/// How long spans wait for others before they go out together, unless OTEL_BSP_SCHEDULE_DELAY
/// says otherwise: a process that is killed loses the spans of this time. (Five seconds, which is
/// OpenTelemetry's own default, may be all that a process has done.)
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// How many spans may wait, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise; more are dropped. At
/// full speed thousands of deliveries end between two batches, and each has several spans.
const MAX_WAITING_SPANS: usize = 32_768;
/// How many go out at once, unless OTEL_BSP_MAX_EXPORT_BATCH_SIZE says otherwise. Far below the
/// 4 MiB that a collector takes.
const MAX_BATCH_SPANS: usize = 2_048;
/// How long a process waits for its last spans at its end.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// A way for spans to a collector.
#[derive(Debug)]
pub(crate) struct Exporting {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporting {
    pub(crate) fn tell(&self, span: SpanData) {
        self.processor.on_end(span);
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    pub(crate) fn stop(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Spans that are told and spans that tracing has seen take the same way.
#[derive(Debug)]
struct Shared(Arc<Exporting>);

impl SpanProcessor for Shared {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.0.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.processor.shutdown_with_timeout(timeout)
    }
}

/// The way for spans; the endpoint is None if OpenTelemetry's variables name it.
pub(crate) fn spans(
    endpoint: Option<&str>,
    resource: &Resource,
) -> Result<(Arc<Exporting>, SdkTracerProvider), TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_tls_config(tls());
    let exporter = match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    let exporter = exporter.build().map_err(TelemetryError::Exporter)?;
    let mut batches = BatchConfigBuilder::default();
    let is_set = |name| std::env::var_os(name).is_some();
    if !is_set("OTEL_BSP_SCHEDULE_DELAY") {
        batches = batches.with_scheduled_delay(BATCH_DELAY);
    }
    if !is_set("OTEL_BSP_MAX_QUEUE_SIZE") {
        batches = batches.with_max_queue_size(MAX_WAITING_SPANS);
    }
    if !is_set("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") {
        batches = batches.with_max_export_batch_size(MAX_BATCH_SPANS);
    }
    let mut processor = BatchSpanProcessor::new(exporter, batches.build());
    processor.set_resource(resource);
    let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION"));
    let exporting = Arc::new(Exporting { processor, scope: scope.build() });
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Shared(Arc::clone(&exporting)))
        // Calls are chosen before they have a span.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.clone())
        .build();
    Ok((exporting, provider))
}

/// The way for metrics.
pub(crate) fn metrics(endpoint: Option<&str>) -> Result<MetricExporter, TelemetryError> {
    let exporter = MetricExporter::builder().with_tonic().with_tls_config(tls());
    let exporter = match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    exporter.build().map_err(TelemetryError::Exporter)
}

/// For endpoints that begin with https.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}
