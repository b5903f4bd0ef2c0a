//! A connection as the pool sees it, and the terms on which requests get one and give it back.

use std::hash::Hash;
use std::time::Duration;

use http::uri::Authority;

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

/// Which connections a request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionChoice {
    /// Any connection of its route.
    Any,
    /// One that is opened for it.
    New,
}

/// A right to a connection, as the state has counted it.
enum Grant<Connection> {
    Use { id: u64, connection: Connection, was_used: bool },
    Open,
}

/// How a connection comes back to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Answered. The connection can take the next request, and be idle for so long at most.
    Reusable { idle_time: Duration },
    /// The connection takes no other request.
    Unusable,
    /// The same, and the receiver has not processed the request: it has too many at a time.
    NotProcessed,
}
