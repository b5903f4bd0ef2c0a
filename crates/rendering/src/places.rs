//! A few places for work that costs much, which organizations take in turns.

use std::sync::{Arc, Mutex, PoisonError};

use keeptrusts_webhooks_domain::ids::OrganizationId;
use tokio::sync::oneshot;

use crate::turns::{Entry, Turns};

/// Places, and who waits for them. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Mutex<Turns<oneshot::Sender<Place>>>>);

/// The right to run, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    organization: OrganizationId,
}

/// As many of the organization's wait already as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many of the organization's wait already")]
pub struct QueueFull;

impl Places {
    /// So many places, of which an organization may have `share`, and so many of an organization
    /// that may wait. None: whoever asks limits them.
    pub fn new(places: usize, share: usize, waiting: Option<usize>) -> Places {
        Places(Arc::new(Mutex::new(Turns::new(places, share, waiting))))
    }

    /// A place, when it is the organization's turn. Whoever drops this future waits no more.
    pub async fn take(&self, organization: &OrganizationId) -> Result<Place, QueueFull> {
        let (turn, turned) = oneshot::channel();
        let entry = self.turns(|turns| turns.enter(organization, turn));
        match entry {
            Entry::Begins => Ok(self.place_of(organization)),
            // Who waits is in the queue until it has a place, or has gone.
            Entry::Waits => turned.await.map_err(|_| QueueFull),
            Entry::Refused => Err(QueueFull),
        }
    }

    fn place_of(&self, organization: &OrganizationId) -> Place {
        Place { places: self.clone(), organization: organization.clone() }
    }

    fn turns<R>(&self, act: impl FnOnce(&mut Turns<oneshot::Sender<Place>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.places.turns(|turns| {
            turns.leave(&self.organization);
            // Those that have stopped waiting have no turn.
            turns.begin(|waiting| !waiting.is_closed())
        });
        for (organization, turn) in next {
            // Who stopped waiting just now gives the place back by dropping it.
            _ = turn.send(self.places.place_of(&organization));
        }
    }
}
