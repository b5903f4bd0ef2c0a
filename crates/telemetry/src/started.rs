//! What this process has started, for everybody to use.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::export::Exporting;
use crate::metrics::Scrape;
use crate::sampling::SamplingRatio;

/// One for the process, like the logs: what happens in a library of ours is told without a handle
/// being passed to it.
static STARTED: OnceLock<Started> = OnceLock::new();

pub(crate) struct Started {
    pub(crate) sampling: SamplingRatio,
    pub(crate) exporting: Arc<Exporting>,
}

pub(crate) fn set(started: Started) {
    // The logs are started before, and only once: so is this.
    _ = STARTED.set(started);
}

/// Where spans go; None: nowhere.
pub(crate) fn exporting() -> Option<&'static Exporting> {
    STARTED.get().map(|started| started.exporting.as_ref())
}

/// How traces are chosen; None: they go nowhere.
pub(crate) fn sampling() -> Option<SamplingRatio> {
    STARTED.get().map(|started| started.sampling)
}

/// The telemetry of a process.
#[derive(Debug)]
#[must_use = "what has not been exported yet is lost unless it is stopped"]
pub struct Telemetry {
    pub(crate) exporting: Option<Arc<Exporting>>,
    pub(crate) meters: SdkMeterProvider,
    pub(crate) scrape: Scrape,
    /// What looks figures up for metrics that are pushed.
    pub(crate) pushing: Option<AbortHandle>,
}

impl Telemetry {
    /// The metrics of this process, to be scraped.
    pub fn scrape(&self) -> Scrape {
        self.scrape.clone()
    }

    /// Exports what has not been exported yet, for at most `patience`.
    pub async fn stop(self, patience: Duration) {
        let Telemetry { exporting, meters, pushing, .. } = self;
        if let Some(pushing) = pushing {
            pushing.abort();
        }
        let last_spans = async {
            if let Some(exporting) = exporting {
                exporting.stop(patience).await;
            }
        };
        // It waits for a thread of its own.
        let last_metrics = tokio::task::spawn_blocking(move || meters.shutdown());
        let ((), stopped) = tokio::join!(last_spans, timeout(patience, last_metrics));
        match stopped {
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the last metrics were not exported"),
            Ok(_) => {}
            Err(_) => {
                tracing::warn!("the last metrics were not exported: the collector does not answer")
            }
        }
    }
}
