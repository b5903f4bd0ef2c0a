//! Where templates of customers are rendered: on a few of tokio's threads for blocking work, so that
//! nothing else in the process waits for them.
//!
//! A rendering takes some fifty milliseconds at the worst, which is long for a thread that others'
//! requests share. So no rendering runs on such a thread; so many run at a time as there are
//! [places](RendererLimits::places); an organization has [half](RendererLimits::share) of them, and
//! those that wait take turns, one organization after the other ([`FairQueue`]).
//! Whoever stops waiting stops the rendering, and so does [`MAX_RENDERING_TIME`].
//!
//! Decision: docs/decisions/templates-run-on-blocking-threads.md

use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_fair_queue::{FairQueue, QueueFull};
use keeptrusts_webhooks_formats::Interrupt;

/// What a rendering may take, of the time on the clock, from when it has a place. Its steps are
/// limited to far less; this is for what nobody foresaw. It is long enough for a process that is
/// short of processors.
pub const MAX_RENDERING_TIME: Duration = Duration::from_secs(2);

/// How many renderings run, and how many wait.
#[derive(Debug, Clone, Copy)]
pub struct RendererLimits {
    /// So many run at a time, at least two.
    pub places: usize,
    /// So many of an organization may wait. None: whoever asks limits them.
    pub waiting: Option<usize>,
}

impl RendererLimits {
    /// As many places as half of the processors, and at least two.
    pub fn of_this_machine(waiting: Option<usize>) -> RendererLimits {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        RendererLimits { places: (processors / 2).max(2), waiting }
    }

    /// How many places an organization has.
    fn share(self) -> usize {
        (self.places / 2).max(1)
    }
}

/// Renders templates. Clones share the places.
#[derive(Debug, Clone)]
pub struct Renderer(FairQueue);

/// Why a rendering has no result of its own. The text may be shown to the endpoint's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderingError {
    /// It was stopped.
    #[error(
        "the template takes more than {} s: loop over less, and repeat less",
        MAX_RENDERING_TIME.as_secs()
    )]
    TooSlow,
    /// So many of the organization's wait already.
    #[error("too many templates of the organization are being rendered: try again")]
    Busy,
    /// A bug of ours, which the process's log tells of.
    #[error("the template could not be rendered, because of a fault of the server")]
    Failed,
}

/// Stops a rendering that nobody waits for any more.
struct StopWhenDropped(Interrupt);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.raise();
    }
}

impl Renderer {
    /// A renderer with places of its own.
    pub fn new(limits: RendererLimits) -> Renderer {
        Renderer(FairQueue::new(limits.places.max(2), limits.share(), limits.waiting))
    }

    /// Renders for an organization, when it is its turn. `render` has to end soon after the
    /// interrupt is raised: when [`MAX_RENDERING_TIME`] is over, or when what this returns is
    /// dropped. It keeps its place until it has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        organization: &OrganizationId,
        render: impl FnOnce(&Interrupt) -> T + Send + 'static,
    ) -> Result<T, RenderingError> {
        let place = self.0.take(organization).await.map_err(|QueueFull| RenderingError::Busy)?;
        let interrupt = Interrupt::default();
        let stop = StopWhenDropped(interrupt.clone());
        let rendering = tokio::task::spawn_blocking(move || {
            let made = render(&interrupt);
            drop(place);
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
