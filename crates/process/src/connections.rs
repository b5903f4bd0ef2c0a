//! Connections from outside: the socket that a server listens on, and who is let in. gRPC, the
//! console and the listener for watchers have the same, each with limits of its own, so that
//! none takes another's places.
//!
//! Decision: docs/decisions/connections-are-accepted-by-our-own-loop.md

mod admission;
mod listener;
mod places;
mod stalls;

use std::time::Duration;

pub(crate) use admission::Admission;
pub use listener::{ListenError, Listener};
pub(crate) use places::Place;
pub use places::{Limit, network_of};
pub(crate) use stalls::StallGuard;

/// The pause after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
