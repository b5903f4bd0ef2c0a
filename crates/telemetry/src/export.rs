//! Exports spans and metrics to a collector, by OTLP over gRPC.
//!
//! Decision: docs/decisions/spans-go-out-as-appends-do.md

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::environment;
use crate::error::TelemetryError;
use crate::metrics::SCOPE;

/// The default pause after an export (OTEL_BSP_SCHEDULE_DELAY). The first span after a while is
/// exported at once: a process that is killed loses all spans since its last export, and with a pause
/// of seconds that would be everything that it has done.
const EXPORT_PAUSE: Duration = Duration::from_millis(20);
/// The default size of the queue (OTEL_BSP_MAX_QUEUE_SIZE); further spans are dropped. At full speed
/// thousands of deliveries end between two exports, and each has several spans.
const DEFAULT_QUEUE_SPANS: usize = 32_768;
/// The largest queue that can be configured: about a gigabyte.
const MAX_QUEUE_SPANS: usize = 1_048_576;
/// The default size of an export (OTEL_BSP_MAX_EXPORT_BATCH_SIZE). Far below the 4 MiB that a
/// collector accepts.
const BATCH_SPANS: usize = 2_048;
/// Between two warnings that spans are lost.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// A bounded queue of spans, and a task that exports them. While one export is under way, spans
/// collect for the next one, as in the log's appender. (OpenTelemetry's own batch processor exports
/// by a timer, in a thread that wakes up also when there is nothing to do.)
#[derive(Debug)]
pub(crate) struct SpanQueue {
    sender: mpsc::Sender<SpanData>,
    /// Lost spans since the last warning.
    lost: AtomicU64,
    scope: InstrumentationScope,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SpanQueue {
    fn start(exporter: SpanExporter) -> Arc<SpanQueue> {
        let capacity = environment::number("OTEL_BSP_MAX_QUEUE_SIZE");
        let capacity = capacity.unwrap_or(DEFAULT_QUEUE_SPANS).clamp(1, MAX_QUEUE_SPANS);
        let (sender, spans) = mpsc::channel(capacity);
        let scope =
            InstrumentationScope::builder(SCOPE).with_version(keeptrusts_webhooks_domain::VERSION);
        let (scope, stop) = (scope.build(), CancellationToken::new());
        let lost = AtomicU64::new(0);
        let queue = Arc::new(SpanQueue { sender, lost, scope, stop, task: Mutex::default() });
        let task = tokio::spawn(export_all(Arc::clone(&queue), exporter, spans));
        *queue.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        queue
    }

    /// Never waits: if the queue is full, the span is dropped and counted.
    pub(crate) fn send(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// Exports the spans in the queue, for at most `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && timeout(limit, task).await.is_err()
        {
            tracing::warn!("the last spans were not exported: the collector does not answer");
        }
    }
}

async fn export_all(
    queue: Arc<SpanQueue>,
    exporter: SpanExporter,
    mut spans: mpsc::Receiver<SpanData>,
) {
    let most = environment::number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(BATCH_SPANS);
    let pause = environment::number("OTEL_BSP_SCHEDULE_DELAY");
    let pause =
        pause.map_or(EXPORT_PAUSE, |milliseconds| Duration::from_millis(milliseconds as u64));
    let mut batch = Vec::new();
    let mut last_warning: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            count = spans.recv_many(&mut batch, most.max(1)) => if count == 0 {
                return;
            },
            () = queue.stop.cancelled(), if !spans.is_closed() => {
                // Spans in the queue are still exported; new ones are dropped.
                spans.close();
                continue;
            }
        }
        let count = batch.len() as u64;
        let exported = exporter.export(std::mem::take(&mut batch)).await;
        if exported.is_err() {
            queue.lost.fetch_add(count, Ordering::Relaxed);
        }
        let lost = queue.lost.load(Ordering::Relaxed);
        if lost > 0 && last_warning.is_none_or(|time| time.elapsed() >= WARNING_INTERVAL) {
            queue.lost.fetch_sub(lost, Ordering::Relaxed);
            last_warning = Some(Instant::now());
            let error = exported.err().map(tracing::field::display);
            tracing::warn!(spans = lost, error, "spans were lost on their way to the collector");
        }
        _ = queue.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Puts the spans of tracing into the queue, where [`FinishedSpan`](crate::FinishedSpan)s go as well.
#[derive(Debug)]
struct QueueProcessor(Arc<SpanQueue>);

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.send(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        // `SpanQueue::stop` does this.
        Ok(())
    }
}

/// Starts the export of spans. `endpoint` is None if OpenTelemetry's variables name it. The first
/// span connects to the collector.
pub(crate) fn spans(
    endpoint: Option<&str>,
    resource: &Resource,
) -> Result<(Arc<SpanQueue>, SdkTracerProvider), TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic();
    let exporter = match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    let exporter = match tls(endpoint, "TRACES")? {
        Some(tls) => exporter.with_tls_config(tls),
        None => exporter,
    };
    let mut exporter = exporter.build().map_err(TelemetryError::Exporter)?;
    exporter.set_resource(resource);
    let queue = SpanQueue::start(exporter);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(QueueProcessor(Arc::clone(&queue)))
        // Sampling is decided before a call gets a span: see `Call::begin`.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.clone())
        .build();
    Ok((queue, provider))
}

pub(crate) fn metrics(endpoint: Option<&str>) -> Result<MetricExporter, TelemetryError> {
    let exporter = MetricExporter::builder().with_tonic();
    let exporter = match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    let exporter = match tls(endpoint, "METRICS")? {
        Some(tls) => exporter.with_tls_config(tls),
        None => exporter,
    };
    exporter.build().map_err(TelemetryError::Exporter)
}

/// TLS for a collector at an https address. OpenTelemetry's exporter does not read these variables
/// itself.
fn tls(endpoint: Option<&str>, signal: &str) -> Result<Option<ClientTlsConfig>, TelemetryError> {
    let of_signal = |rest: &str| {
        environment::variable(&format!("OTEL_EXPORTER_OTLP_{signal}_{rest}"))
            .or_else(|| environment::variable(&format!("OTEL_EXPORTER_OTLP_{rest}")))
    };
    let endpoint = endpoint.map(str::to_owned).or_else(|| of_signal("ENDPOINT"));
    if !endpoint.is_some_and(|endpoint| endpoint.starts_with("https:")) {
        return Ok(None);
    }
    let read =
        |path: String| std::fs::read(&path).map_err(|source| TelemetryError::File { path, source });
    let tls = match of_signal("CERTIFICATE") {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    let shown = of_signal("CLIENT_CERTIFICATE").zip(of_signal("CLIENT_KEY"));
    Ok(Some(match shown {
        Some((certificate, key)) => {
            tls.identity(Identity::from_pem(read(certificate)?, read(key)?))
        }
        None => tls,
    }))
}
