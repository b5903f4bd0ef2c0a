//! The telemetry of the process, and global access to it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::export::SpanQueue;
use crate::metrics::Scrape;
use crate::sampling::SamplingRatio;

/// Global like the logs, so that libraries can export spans without a handle.
static GLOBAL: OnceLock<GlobalTelemetry> = OnceLock::new();

pub(crate) struct GlobalTelemetry {
    pub(crate) sampling: SamplingRatio,
    pub(crate) span_queue: Arc<SpanQueue>,
}

pub(crate) fn set(telemetry: GlobalTelemetry) {
    // Never set twice: starting the logs fails the second time.
    _ = GLOBAL.set(telemetry);
}

/// None: spans are not exported.
pub(crate) fn span_queue() -> Option<&'static SpanQueue> {
    GLOBAL.get().map(|telemetry| telemetry.span_queue.as_ref())
}

/// None: spans are not exported.
pub(crate) fn sampling() -> Option<SamplingRatio> {
    GLOBAL.get().map(|telemetry| telemetry.sampling)
}

/// The telemetry of a process, until it is stopped.
#[derive(Debug)]
#[must_use = "what has not been exported yet is lost unless it is stopped"]
pub struct Telemetry {
    /// None: spans are not exported.
    pub(crate) span_queue: Option<Arc<SpanQueue>>,
    pub(crate) meters: SdkMeterProvider,
    pub(crate) scrape: Scrape,
    /// Runs the collection hooks for pushed metrics. None: metrics are not pushed.
    pub(crate) hooks: Option<AbortHandle>,
}

impl Telemetry {
    pub fn scrape(&self) -> Scrape {
        self.scrape.clone()
    }

    /// Exports the last spans and metrics, for at most `limit`.
    pub async fn stop(self, limit: Duration) {
        let Telemetry { span_queue, meters, hooks, .. } = self;
        if let Some(hooks) = hooks {
            hooks.abort();
        }
        let last_spans = async {
            if let Some(span_queue) = span_queue {
                span_queue.stop(limit).await;
            }
        };
        // Blocks while it waits for the exporter's thread.
        let last_metrics = tokio::task::spawn_blocking(move || meters.shutdown());
        let ((), stopped) = tokio::join!(last_spans, timeout(limit, last_metrics));
        match stopped {
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the last metrics were not exported"),
            Ok(_) => {}
            Err(_) => {
                tracing::warn!("the last metrics were not exported: the collector does not answer")
            }
        }
    }
}
