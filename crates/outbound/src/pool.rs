//! The pool of connections: which request uses which connection, and how many there may be.
//!
//! Connections belong to a group (an endpoint). If a receiver hangs, runs out of streams or sends
//! too much, no other group is affected, even at the same host. All groups share the process's
//! slots for connections:
//!
//! * When all slots are taken, a group that needs a connection gets the slot of the connection that
//!   has been idle for longest, or else the next slot that becomes free. If several groups wait,
//!   the one with the fewest slots is first, and those with more give up connections as their
//!   requests end. So no group can keep others out.
//! * A group has at most a share of the slots ([`PoolLimits::per_group`]).
//!
//! Requests wait in the order of their arrival, and their time limit starts only then. How many wait
//! is bounded by their callers.
//!
//! Whether a receiver takes several requests on one connection (HTTP/2) is known once there is a
//! connection. Until then, and with HTTP/2, requests wait for a connection that is being opened
//! instead of opening one each.
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

pub(crate) struct Pool<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
}

struct Shared<Connection: Pooled> {
    state: Mutex<ConnectionState<Connection>>,
}

type ConnectionState<Connection> = State<Connection, oneshot::Sender<PendingGrant<Connection>>>;

pub(crate) enum Checkout<Connection: Pooled> {
    /// An open connection.
    Use(InUse<Connection>),
    /// A slot, in which the request opens a connection.
    Open(Slot<Connection>),
}

impl<Connection: Pooled> Pool<Connection> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State::new(limits)) }) }
    }

    /// Waits for a connection, or for a slot to open one in.
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

/// A grant on its way to a request. It goes back to the pool if the request has been abandoned.
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
    /// Changes the state, and does the deferred work once the state is unlocked: sending grants and
    /// dropping connections may lock it again.
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

/// Closes idle connections as their time ends, until there is none.
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

/// The right to open a connection. Hold it until the connection is closed. Dropping it before
/// [`Slot::opened`] means that the connection could not be opened.
pub(crate) struct Slot<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    is_opening: bool,
}

impl<Connection: Pooled> Slot<Connection> {
    /// Registers the open connection, which is in use by the request that opened it.
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

/// A connection in use by a request. If it is dropped without [`InUse::end`], the request was
/// abandoned, and the connection takes no other.
pub(crate) struct InUse<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    id: u64,
    /// `None` once the request has ended.
    connection: Option<Connection>,
    was_used: bool,
}

impl<Connection: Pooled> InUse<Connection> {
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Whether earlier requests were answered on the connection.
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
