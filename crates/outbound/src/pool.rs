//! Which request goes on which connection, and how many connections there are.
//!
//! Connections belong to a group (an endpoint): what one receiver does to its connections, hang,
//! run out of streams or send an answer too many, concerns no other group, also if both lead to
//! the same host. All groups share the places for connections that a process has:
//!
//! * A group whose requests need a connection, when all places are taken, gets the place of the
//!   connection that has been idle for longest; or else the next one that becomes free. If
//!   several wait, the group with the fewest places is first, and those with more give up
//!   connections as their requests end. So none can keep others out.
//! * A group has a share of the places at most ([`PoolLimits::per_group`]).
//!
//! Requests that wait are as many as callers have under way; they wait in the order of their
//! arrival, and until then their time has not begun.
//!
//! Whether a receiver takes several requests on one connection (HTTP/2) is known when there is a
//! first one. Until then, and where it does, requests wait for a connection that is being opened
//! rather than opening one each.
//!
//! Decision: docs/decisions/connections-belong-to-an-endpoint.md

mod state;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::uri::Authority;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use state::{Released, State};

/// Whose connections they are: no group's request goes on another group's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionGroup(u128);

impl ConnectionGroup {
    /// The group with this id, which means nothing to this crate.
    pub const fn new(id: u128) -> Self {
        Self(id)
    }
}

/// What connections are pooled by: of one group, to one host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) group: ConnectionGroup,
    pub(crate) authority: Authority,
}

/// A connection, as the pool sees it. Clones are the same connection; it is closed when the last
/// one is dropped.
pub(crate) trait Pooled: Clone + Send + 'static {
    /// How many requests it takes at a time.
    fn capacity(&self) -> usize;
    /// Whether several requests can be on it at a time (HTTP/2).
    fn is_shared(&self) -> bool;
    /// Whether it takes another request, as far as is known.
    fn is_open(&self) -> bool;
}

/// How many connections there may be, open or being opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) connections: usize,
    pub(crate) per_group: usize,
    pub(crate) idle_time: Duration,
}

/// All connections. Clones share them.
pub(crate) struct Pool<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
}

struct Shared<Connection: Pooled> {
    state: Mutex<State<Connection>>,
}

/// What a request is to go on.
pub(crate) enum Turn<Connection: Pooled> {
    /// A connection that is there.
    Use(InUse<Connection>),
    /// A connection of its own, which it may open.
    Open(Place<Connection>),
}

/// What a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any connection of its route.
    Any,
    /// One that is opened for it.
    New,
}

impl<Connection: Pooled> Pool<Connection> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State::new(limits)) }) }
    }

    /// Waits until the request may go on.
    pub(crate) async fn turn(&self, route: &Route, wanted: Wanted) -> Turn<Connection> {
        loop {
            let granted = self.shared.change(|state| state.request(route, wanted));
            if let Some(turn) = granted.await.ok().and_then(Granted::turn) {
                return turn;
            }
        }
    }
}

/// What the state has granted a request. Goes back if nobody is there any more to take it.
struct Granted<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    right: Option<Right<Connection>>,
}

/// A right to a connection, as the state has counted it.
enum Right<Connection> {
    Use { id: u64, connection: Connection, was_used: bool },
    Open,
}

impl<Connection: Pooled> Granted<Connection> {
    fn turn(mut self) -> Option<Turn<Connection>> {
        let (shared, route) = (Arc::clone(&self.shared), self.route.clone());
        Some(match self.right.take()? {
            Right::Use { id, connection, was_used } => {
                Turn::Use(InUse { shared, route, id, connection: Some(connection), was_used })
            }
            Right::Open => Turn::Open(Place { shared, route, is_opening: true }),
        })
    }
}

impl<Connection: Pooled> Drop for Granted<Connection> {
    fn drop(&mut self) {
        match self.right.take() {
            Some(Right::Use { id, connection, .. }) => {
                drop(connection);
                self.shared.change(|state| state.not_used(&self.route, id));
            }
            Some(Right::Open) => {
                self.shared.change(|state| state.place_freed(&self.route, true));
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
        change: impl FnOnce(&mut State<Connection>) -> Output,
    ) -> Output {
        let (output, released, must_sweep) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let output = change(&mut state);
            (output, state.take_released(), state.begin_sweeping())
        };
        for released in released {
            if let Released::Granted { waiting, route, right } = released {
                let granted = Granted { shared: Arc::clone(self), route, right: Some(right) };
                // Comes back, and is dropped, if nobody waits any more.
                _ = waiting.send(granted);
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

/// A place among the connections of this process: the right to open one. To be held until the
/// connection is closed; dropped before, it could not be opened.
pub(crate) struct Place<Connection: Pooled> {
    shared: Arc<Shared<Connection>>,
    route: Route,
    is_opening: bool,
}

impl<Connection: Pooled> Place<Connection> {
    /// The connection is open, and used by the request that has opened it.
    pub(crate) fn opened(&mut self, connection: Connection) -> InUse<Connection> {
        self.is_opening = false;
        let id = self.shared.change(|state| state.opened(&self.route, connection.clone()));
        let (shared, route) = (Arc::clone(&self.shared), self.route.clone());
        InUse { shared, route, id, connection: Some(connection), was_used: false }
    }
}

impl<Connection: Pooled> Drop for Place<Connection> {
    fn drop(&mut self) {
        self.shared.change(|state| state.place_freed(&self.route, self.is_opening));
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

/// How a request on a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Answered. The connection can take the next request, and be idle for so long at most.
    Reusable { idle_time: Duration },
    /// The connection takes no other request.
    Unusable,
    /// The same, and the receiver has not processed the request: it has too many at a time.
    NotProcessed,
}

impl<Connection: Pooled> InUse<Connection> {
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Whether other requests have been on the connection before.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used
    }

    pub(crate) fn end(mut self, ended: Ended) {
        self.end_as(ended);
    }

    fn end_as(&mut self, ended: Ended) {
        if self.connection.take().is_some() {
            self.shared.change(|state| state.ended(&self.route, self.id, ended, Instant::now()));
        }
    }
}

impl<Connection: Pooled> Drop for InUse<Connection> {
    fn drop(&mut self) {
        self.end_as(Ended::Unusable);
    }
}

type Waiting<Connection> = oneshot::Sender<Granted<Connection>>;
