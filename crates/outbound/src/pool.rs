//! Which request goes on which connection, and how many connections there are.
//!
//! Connections belong to a group (an endpoint): what one receiver does to its connections, hang,
//! run out of streams or send an answer too many, concerns no other group, also if both lead to
//! the same host. All groups share the slots for connections that a process has:
//!
//! * A group whose requests need a connection, when all slots are taken, gets the slot of the
//!   connection that has been idle for longest; or else the next one that becomes free. If
//!   several wait, the group with the fewest slots is first, and those with more give up
//!   connections as their requests end. So none can keep others out.
//! * A group has a share of the slots at most ([`PoolLimits::per_group`]).
//!
//! Requests that wait are as many as callers have under way; they wait in the order of their
//! arrival, and until then their time has not begun.
//!
//! Whether a receiver takes several requests on one connection (HTTP/2) is known when there is a
//! first one. Until then, and where it does, requests wait for a connection that is being opened
//! rather than opening one each.
//!
//! Decision: docs/decisions/connections-belong-to-an-endpoint.md

mod connection;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

pub use connection::ConnectionGroup;
use connection::Grant;
pub(crate) use connection::{ConnectionChoice, PoolLimits, Pooled, Release, Route};
use state::{Deferred, State, Waiter};

/// All connections. Clones share them.
pub(crate) struct Pool<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
}

struct Shared<Connection: Pooled> {
    state: Mutex<ConnectionState<Connection>>,
}

type ConnectionState<Connection> = State<Connection, oneshot::Sender<PendingGrant<Connection>>>;

/// What the pool gives a request.
pub(crate) enum Checkout<Connection: Pooled> {
    /// A connection that is there.
    Use(InUse<Connection>),
    /// A slot, in which it opens a connection of its own.
    Open(Slot<Connection>),
}

impl<Connection: Pooled> Pool<Connection> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State::new(limits)) }) }
    }

    /// Waits until there is a connection for the request, or a slot to open one in.
    pub(crate) async fn check_out(
        &self,
        route: &Route,
        choice: ConnectionChoice,
    ) -> Checkout<Connection> {
        loop {
            let (waiter, granted) = oneshot::channel();
            self.shared.change(|state| state.request(route, choice, waiter));
            if let Some(checkout) = granted.await.ok().and_then(PendingGrant::check_out) {
                return checkout;
            }
        }
    }
}

/// What the state has granted a request. Goes back if nobody is there any more to take it.
struct PendingGrant<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    grant: Option<Grant<Connection>>,
}

impl<Connection: Pooled> Waiter for oneshot::Sender<PendingGrant<Connection>> {
    fn is_abandoned(&self) -> bool {
        self.is_closed()
    }
}

impl<Connection: Pooled> PendingGrant<Connection> {
    fn check_out(mut self) -> Option<Checkout<Connection>> {
        let (shared, route) = (Arc::clone(&self.shared), self.route.clone());
        Some(match self.grant.take()? {
            Grant::Use { id, connection, was_used } => {
                Checkout::Use(InUse { shared, route, id, connection: Some(connection), was_used })
            }
            Grant::Open => Checkout::Open(Slot { shared, route, is_opening: true }),
        })
    }
}

impl<Connection: Pooled> Drop for PendingGrant<Connection> {
    fn drop(&mut self) {
        match self.grant.take() {
            Some(Grant::Use { id, connection, .. }) => {
                drop(connection);
                self.shared.change(|state| state.not_used(&self.route, id));
            }
            Some(Grant::Open) => {
                self.shared.change(|state| state.slot_freed(&self.route, true));
            }
            None => {}
        }
    }
}

impl<Connection: Pooled> Shared<Connection> {
    /// Changes the state, and then does what follows from that: grants are handed out and
    /// connections dropped only when the state is free again, because both may come back to it.
    fn change<Output>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut ConnectionState<Connection>) -> Output,
    ) -> Output {
        let (output, deferred, must_sweep) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let output = change(&mut state);
            (output, state.take_deferred(), state.start_sweeper())
        };
        for deferred in deferred {
            if let Deferred::Grant { waiter, route, grant } = deferred {
                let granted = PendingGrant { shared: Arc::clone(self), route, grant: Some(grant) };
                // If the request has been abandoned, the grant is dropped and goes back.
                _ = waiter.send(granted);
            }
        }
        if must_sweep && let Ok(runtime) = Handle::try_current() {
            runtime.spawn(close_idle(Arc::downgrade(self)));
        }
        output
    }
}

/// Closes connections when their idle time is over, as long as there are any.
async fn close_idle<Connection: Pooled>(shared: Weak<Shared<Connection>>) {
    loop {
        let next = match shared.upgrade() {
            Some(shared) => shared.change(|state| state.close_idle(Instant::now())),
            None => return,
        };
        match next {
            Some(next) => sleep_until(next).await,
            None => return,
        }
    }
}

/// A slot among the connections of this process: the grant to open one. To be held until the
/// connection is closed; dropped before, it could not be opened.
pub(crate) struct Slot<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    is_opening: bool,
}

impl<Connection: Pooled> Slot<Connection> {
    /// The connection is open, and used by the request that has opened it.
    pub(crate) fn opened(&mut self, connection: Connection) -> InUse<Connection> {
        self.is_opening = false;
        let id = self.shared.change(|state| state.opened(&self.route, connection.clone()));
        let (shared, route) = (Arc::clone(&self.shared), self.route.clone());
        InUse { shared, route, id, connection: Some(connection), was_used: false }
    }
}

impl<Connection: Pooled> Drop for Slot<Connection> {
    fn drop(&mut self) {
        self.shared.change(|state| state.slot_freed(&self.route, self.is_opening));
    }
}

/// A connection that a request is on. Dropped: the request was abandoned, and the connection
/// takes no other.
pub(crate) struct InUse<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    id: u64,
    /// None: the request is over.
    connection: Option<Connection>,
    was_used: bool,
}

impl<Connection: Pooled> InUse<Connection> {
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Whether other requests have been on the connection before.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used
    }

    pub(crate) fn end(mut self, ended: Release) {
        self.end_as(ended);
    }

    fn end_as(&mut self, ended: Release) {
        if self.connection.take().is_some() {
            self.shared.change(|state| state.ended(&self.route, self.id, ended, Instant::now()));
        }
    }
}

impl<Connection: Pooled> Drop for InUse<Connection> {
    fn drop(&mut self) {
        self.end_as(Release::Unusable);
    }
}
