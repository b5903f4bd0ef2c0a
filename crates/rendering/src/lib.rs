//! Renders customers' templates on a few of tokio's blocking threads, so that nothing else in the
//! process waits for them.
//!
//! A rendering may take some fifty milliseconds, too long for a thread that other requests share. The
//! number of renderings at a time is limited ([`RendererLimits::permits`]). An organization gets at
//! most [half](RendererLimits::share) of the permits, and waiting organizations take turns
//! ([`FairQueue`]). A rendering stops when its caller stops waiting, and after
//! [`MAX_RENDERING_TIME`].
//!
//! Decision: docs/decisions/templates-run-on-blocking-threads.md

use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_fair_queue::{FairQueue, QueueFull};
use keeptrusts_webhooks_formats::Interrupt;

/// The wall-clock time of one rendering, once it has a permit. Its steps limit it to far less; this is
/// for the unforeseen. Long enough for a process that is short of CPU time.
pub const MAX_RENDERING_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub struct RendererLimits {
    /// How many renderings run at a time. At least two.
    pub permits: usize,
    /// How many renderings of one organization may wait. `None`: the callers limit them.
    pub waiting: Option<usize>,
}

impl RendererLimits {
    /// A permit for every two processors, and at least two.
    pub fn of_this_machine(waiting: Option<usize>) -> RendererLimits {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        RendererLimits { permits: (processors / 2).max(2), waiting }
    }

    fn share(self) -> usize {
        (self.permits / 2).max(1)
    }
}

/// Clones share the permits.
#[derive(Debug, Clone)]
pub struct Renderer(FairQueue);

/// Why a template was not rendered. The text may be shown to the endpoint's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderingError {
    /// It was stopped after [`MAX_RENDERING_TIME`].
    #[error(
        "the template takes more than {} s: loop over less, and repeat less",
        MAX_RENDERING_TIME.as_secs()
    )]
    TooSlow,
    /// Too many renderings of the organization wait already.
    #[error("too many templates of the organization are being rendered: try again")]
    Busy,
    /// A bug of ours, which is logged.
    #[error("the template could not be rendered, because of a fault of the server")]
    Failed,
}

/// Stops a rendering whose caller has stopped waiting.
struct StopWhenDropped(Interrupt);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.raise();
    }
}

impl Renderer {
    pub fn new(limits: RendererLimits) -> Renderer {
        Renderer(FairQueue::new(limits.permits.max(2), limits.share(), limits.waiting))
    }

    /// Waits for the organization's turn, and runs `render`. The interrupt is raised after
    /// [`MAX_RENDERING_TIME`], or when this future is dropped; `render` must end soon after that, and
    /// keeps its permit until then.
    pub async fn run<T: Send + 'static>(
        &self,
        organization: &OrganizationId,
        render: impl FnOnce(&Interrupt) -> T + Send + 'static,
    ) -> Result<T, RenderingError> {
        let permit = self.0.take(organization).await.map_err(|QueueFull| RenderingError::Busy)?;
        let interrupt = Interrupt::default();
        let stop = StopWhenDropped(interrupt.clone());
        let rendering = tokio::task::spawn_blocking(move || {
            let made = render(&interrupt);
            drop(permit);
            made
        });
        let done = tokio::time::timeout(MAX_RENDERING_TIME, rendering).await;
        drop(stop);
        match done {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => {
                tracing::error!(%organization, %error, "a rendering failed");
                Err(RenderingError::Failed)
            }
            Err(_) => Err(RenderingError::TooSlow),
        }
    }
}

#[cfg(test)]
mod tests;
