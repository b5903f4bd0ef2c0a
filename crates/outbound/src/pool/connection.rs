//! What the pool knows of a connection, and how requests get one and give it back.

use std::hash::Hash;
use std::time::Duration;

use http::uri::Authority;

/// The owner of connections. A request never uses another group's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionGroup {
    space: u32,
    id: u128,
}

impl ConnectionGroup {
    /// The id means nothing to this crate.
    pub const fn new(id: u128) -> Self {
        Self::within(0, id)
    }

    /// An id that is unique only within a space of ids.
    pub const fn within(space: u32, id: u128) -> Self {
        Self { space, id }
    }
}

/// The key of the pool: connections of one group to one host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) group: ConnectionGroup,
    pub(crate) authority: Authority,
}

/// A connection, as the pool sees it. Clones are the same connection, which is closed when the last
/// one is dropped.
pub(crate) trait Pooled: Clone + Send + 'static {
    /// How many requests it can take at a time.
    fn capacity(&self) -> usize;
    /// Whether it can take several requests at a time (HTTP/2).
    fn is_shared(&self) -> bool;
    /// Whether it can take another request, as far as is known.
    fn is_open(&self) -> bool;
}

/// Connections count whether they are open or being opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) connections: usize,
    pub(crate) per_group: usize,
    pub(crate) idle_time: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionChoice {
    Any,
    /// A connection that is opened for it.
    New,
}

/// What a request gets: the use of a connection, or the right to open one.
pub(super) enum Grant<Connection> {
    Use { id: u64, connection: Connection, was_used: bool },
    Open,
}

/// How a request gives a connection back to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The connection can take the next request, and may be idle for at most this long.
    Reusable { idle_time: Duration },
    /// The connection cannot take another request.
    Unusable,
    /// The same, and the receiver did not process the request: it has too many at a time.
    NotProcessed,
}
