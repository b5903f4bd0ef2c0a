//! Where spans and metrics go: to a collector by OTLP over gRPC.
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
use crate::flags::TelemetryError;
use crate::metrics::SCOPE;

/// How long spans wait for others after some have gone out (OTEL_BSP_SCHEDULE_DELAY). The first
/// one after a while waits for nobody: a process that is killed loses what it has told since its
/// last export began, and with a pause of seconds that would be all that it has done.
const PAUSE: Duration = Duration::from_millis(20);
/// How many may wait (OTEL_BSP_MAX_QUEUE_SIZE); more are dropped. At full speed thousands of
/// deliveries end between two exports, and each has several spans.
const MAX_WAITING_SPANS: usize = 32_768;
/// However many are asked for: about a gigabyte.
const MOST_WAITING_SPANS: usize = 1_048_576;
/// How many go out at once (OTEL_BSP_MAX_EXPORT_BATCH_SIZE). Far below the 4 MiB that a collector
/// takes.
const MAX_BATCH_SPANS: usize = 2_048;
/// A collector that is away is complained about so often.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// The way of spans to a collector: a bounded queue, and a task that takes all that waits into the
/// next export while the last one is under way, as the log's appender does. (OpenTelemetry's own
/// batch processor exports by a clock, in a thread that it wakes for nothing when there is
/// nothing to do.)
#[derive(Debug)]
pub(crate) struct Exporting {
    waiting: mpsc::Sender<SpanData>,
    lost: AtomicU64,
    scope: InstrumentationScope,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporting {
    fn start(exporter: SpanExporter) -> Arc<Exporting> {
        let max_waiting = environment::number("OTEL_BSP_MAX_QUEUE_SIZE");
        let max_waiting = max_waiting.unwrap_or(MAX_WAITING_SPANS).clamp(1, MOST_WAITING_SPANS);
        let (waiting, spans) = mpsc::channel(max_waiting);
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION"));
        let (scope, stop) = (scope.build(), CancellationToken::new());
        let lost = AtomicU64::new(0);
        let exporting = Arc::new(Exporting { waiting, lost, scope, stop, task: Mutex::default() });
        let task = tokio::spawn(export_all(Arc::clone(&exporting), exporter, spans));
        *exporting.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        exporting
    }

    /// Hands a span over. Never waits: without room it is dropped, and counted.
    pub(crate) fn tell(&self, span: SpanData) {
        if self.waiting.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// Exports what waits, for at most `patience`.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && timeout(patience, task).await.is_err()
        {
            tracing::warn!("the last spans were not exported: the collector does not answer");
        }
    }
}

async fn export_all(
    exporting: Arc<Exporting>,
    exporter: SpanExporter,
    mut spans: mpsc::Receiver<SpanData>,
) {
    let most = environment::number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(MAX_BATCH_SPANS);
    let pause = environment::number("OTEL_BSP_SCHEDULE_DELAY");
    let pause = pause.map_or(PAUSE, |milliseconds| Duration::from_millis(milliseconds as u64));
    let mut batch = Vec::new();
    let mut complained: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            count = spans.recv_many(&mut batch, most.max(1)) => if count == 0 {
                return;
            },
            () = exporting.stop.cancelled(), if !spans.is_closed() => {
                // What waits still goes out; nothing new is taken.
                spans.close();
                continue;
            }
        }
        let count = batch.len() as u64;
        let exported = exporter.export(std::mem::take(&mut batch)).await;
        if exported.is_err() {
            exporting.lost.fetch_add(count, Ordering::Relaxed);
        }
        let lost = exporting.lost.load(Ordering::Relaxed);
        if lost > 0 && complained.is_none_or(|time| time.elapsed() >= COMPLAINT_PAUSE) {
            exporting.lost.fetch_sub(lost, Ordering::Relaxed);
            complained = Some(Instant::now());
            let error = exported.err().map(tracing::field::display);
            tracing::warn!(spans = lost, error, "spans were lost on their way to the collector");
        }
        _ = exporting.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Spans that are told and spans that tracing has seen take the same way.
#[derive(Debug)]
struct Shared(Arc<Exporting>);

impl SpanProcessor for Shared {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.tell(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        // The way is closed by whoever has opened it.
        Ok(())
    }
}

/// The way for spans; the endpoint is None if OpenTelemetry's variables name it. Nothing is
/// connected to before there is something to send.
pub(crate) fn spans(
    endpoint: Option<&str>,
    resource: &Resource,
) -> Result<(Arc<Exporting>, SdkTracerProvider), TelemetryError> {
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
    let exporting = Exporting::start(exporter);
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

/// For a collector at an https address: whom to trust, and what to show. (OpenTelemetry's exporter
/// does not read these variables itself.)
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
