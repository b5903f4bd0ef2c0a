//! Every limit of the server, in one place.

use std::time::Duration;

/// A request message, in bytes; a larger one is answered OUT_OF_RANGE. A whole PublishEvents
/// batch has to fit. It is tonic's default, which services leave as it is.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// The requests in flight on one connection. Clients hold further ones back.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 1_024;
/// The requests in flight on all of them; more are answered UNAVAILABLE. A stream counts until
/// its first answer.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 4_096;
/// The headers of a request, in bytes (RFC 9113, section 6.5.2).
pub const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How often a connection is checked with a PING, so that those of dead clients end.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the client has to answer it.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests in flight may take to finish when the process shuts down.
pub const GRACE_PERIOD: Duration = Duration::from_secs(15);
/// How long the answers to those that did not finish have to reach their callers.
pub const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// When a caller that was turned away should try again.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The pause after a connection could not be accepted, most often for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
