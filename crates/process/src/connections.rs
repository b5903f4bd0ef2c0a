//! Incoming connections: the listening socket, and the limits on how many connections there are.
//! The gRPC server, the console and the monitoring endpoint have limits of their own, so that
//! none takes connections from another.
//!
//! Decision: docs/decisions/connections-are-accepted-by-our-own-loop.md

mod admission;
mod limiter;
mod listener;
mod write_timeout;

use std::time::Duration;

pub(crate) use admission::Admission;
pub(crate) use limiter::ConnectionPermit;
pub use limiter::{Limit, network_of};
pub use listener::{ListenError, Listener};
pub(crate) use write_timeout::WriteTimeout;

/// The pause after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
