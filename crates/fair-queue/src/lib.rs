//! A limited number of permits for expensive work. Each organization gets a share of them, and waiting
//! organizations take turns.
//!
//! [`queues`] decides whose turn it is, and is pure. This module waits.

mod queues;

use std::sync::{Arc, Mutex, PoisonError};

use keeptrusts_webhooks_domain::ids::OrganizationId;
use tokio::sync::oneshot;

use queues::{Entry, Queues};

/// Clones share the permits.
#[derive(Debug, Clone)]
pub struct FairQueue(Arc<Mutex<Queues<oneshot::Sender<Permit>>>>);

/// The right to run. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    queue: FairQueue,
    organization: OrganizationId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many of the organization's wait already")]
pub struct QueueFull;

impl FairQueue {
    /// An organization may have at most `share` of the permits, and at most `waiting` requests that
    /// wait. `None`: the callers limit them.
    pub fn new(permits: usize, share: usize, waiting: Option<usize>) -> FairQueue {
        FairQueue(Arc::new(Mutex::new(Queues::new(permits, share, waiting))))
    }

    /// Waits for a permit. Dropping the future stops waiting.
    pub async fn take(&self, organization: &OrganizationId) -> Result<Permit, QueueFull> {
        let (grant, granted) = oneshot::channel();
        let entry = self.queues(|queues| queues.enter(organization, grant));
        match entry {
            Entry::Begins => Ok(self.permit_for(organization)),
            // A waiting request stays in the queue until it has a permit or is abandoned.
            Entry::Waits => granted.await.map_err(|_| QueueFull),
            Entry::Refused => Err(QueueFull),
        }
    }

    fn permit_for(&self, organization: &OrganizationId) -> Permit {
        Permit { queue: self.clone(), organization: organization.clone() }
    }

    fn queues<R>(&self, act: impl FnOnce(&mut Queues<oneshot::Sender<Permit>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = self.queue.queues(|queues| {
            queues.leave(&self.organization);
            // Abandoned requests get no turn.
            queues.begin(|waiting| !waiting.is_closed())
        });
        for (organization, grant) in next {
            // If the request was abandoned just now, dropping the permit gives it back.
            _ = grant.send(self.queue.permit_for(&organization));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> OrganizationId {
        name.parse().expect("an id")
    }

    #[tokio::test]
    async fn an_abandoned_request_gets_no_turn_and_keeps_no_permit() {
        let queue = FairQueue::new(1, 1, Some(2));
        let permit = queue.take(&id("a")).await.expect("it is free");
        let waiting = |name| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.take(&id(name)).await })
        };
        let (gone, next) = (waiting("b"), waiting("c"));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.expect_err("it was stopped").is_cancelled());
        drop(permit);
        let permit = next.await.expect("no panic").expect("its turn");
        let refused = waiting("a");
        tokio::task::yield_now().await;
        drop(permit);
        refused.await.expect("no panic").expect("the permit was given back");
    }
}
