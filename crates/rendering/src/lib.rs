//! Where templates of customers are rendered: on a few of tokio's threads for blocking work, so that
//! nothing else in the process waits for them.
//!
//! A rendering takes some fifty milliseconds at the worst, which is long for a thread that others'
//! requests share. So no rendering runs on such a thread; so many run at a time as there are
//! [places](RendererLimits::places); an organization has [half](RendererLimits::share) of them, and
//! those that wait take turns, one organization after the other ([`turns`], which is pure).
//! Whoever stops waiting stops the rendering, and so does [`MAX_RENDERING_TIME`].
#![deny(missing_docs)]

mod turns;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_formats::Interrupt;
use tokio::sync::oneshot;

use turns::{Entry, Turns};

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
pub struct Renderer(Arc<Mutex<Turns<oneshot::Sender<Place>>>>);

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

/// The right to run, given back when it is dropped.
#[derive(Debug)]
struct Place {
    renderer: Renderer,
    organization: OrganizationId,
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
        let turns = Turns::new(limits.places.max(2), limits.share(), limits.waiting);
        Renderer(Arc::new(Mutex::new(turns)))
    }

    /// Renders for an organization, when it is its turn. `render` has to end soon after the
    /// interrupt is raised: when [`MAX_RENDERING_TIME`] is over, or when what this returns is
    /// dropped. It keeps its place until it has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        organization: &OrganizationId,
        render: impl FnOnce(&Interrupt) -> T + Send + 'static,
    ) -> Result<T, RenderingError> {
        let place = self.place(organization).await?;
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

    async fn place(&self, organization: &OrganizationId) -> Result<Place, RenderingError> {
        let (turn, turned) = oneshot::channel();
        let entry = self.turns(|turns| turns.enter(organization, turn));
        match entry {
            Entry::Begins => Ok(self.place_of(organization)),
            Entry::Waits => turned.await.map_err(|_| RenderingError::Failed),
            Entry::Refused => Err(RenderingError::Busy),
        }
    }

    fn place_of(&self, organization: &OrganizationId) -> Place {
        Place { renderer: self.clone(), organization: organization.clone() }
    }

    fn turns<R>(&self, act: impl FnOnce(&mut Turns<oneshot::Sender<Place>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.renderer.turns(|turns| {
            turns.leave(&self.organization);
            // Those that have stopped waiting have no turn.
            turns.begin(|waiting| !waiting.is_closed())
        });
        for (organization, turn) in next {
            // Who stopped waiting just now gives the place back by dropping it.
            _ = turn.send(self.renderer.place_of(&organization));
        }
    }
}

#[cfg(test)]
mod tests;
