//! The limits of this crate that cannot be configured.

use std::time::Duration;

/// The most bytes of an answer's body that are read. With a longer body, the connection is closed
/// (HTTP/1.1) or the stream is reset (HTTP/2).
pub const MAX_READ_BODY: usize = 64 * 1024;

/// The most bytes of an answer's body that are kept. The bytes from here to [`MAX_READ_BODY`] are
/// read and discarded, because a connection is only reusable once its answer is read.
pub const MAX_KEPT_BODY: usize = 16 * 1024;

/// The most bytes of an answer's status line and headers that are read. Browsers and proxies stop
/// between 8 and 256 KiB. If there are more, the status still counts once it has arrived.
pub const MAX_READ_HEAD: usize = 64 * 1024;

/// The most bytes of an answer's head that h2 reads, with 32 for each field (RFC 9113 section
/// 6.5.2). Receivers are told this limit. It is larger than [`MAX_READ_HEAD`], because of a head
/// that h2 refuses nothing but the status is left.
pub const HTTP2_MAX_HEAD: usize = 4 * MAX_READ_HEAD;

/// The most header fields that an answer by HTTP/1.1 may have. Others allow 100 (curl 5,000).
pub const MAX_READ_HEADERS: usize = 1_000;

/// The most informational (1xx) answers before the final one. One or two are usual: 100, 103.
pub const MAX_INFORMATIONAL_ANSWERS: usize = 16;

/// The most header fields of an answer that are kept.
pub const MAX_KEPT_HEADERS: usize = 64;

/// The most bytes of header names and values of an answer that are kept.
pub const MAX_KEPT_HEADER_BYTES: usize = 8 * 1024;

/// How long a connection may be idle. Many servers close an idle connection after 5 s (Node.js,
/// uvicorn, Apache), and a request must not meet one that is just being closed.
pub const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// How long before its receiver we close an idle connection, if the receiver announces an idle time
/// (`Keep-Alive: timeout=5`). At most half of that time.
pub const IDLE_TIME_MARGIN: Duration = Duration::from_secs(1);

/// The most connections of one process, or half of its limit of open files, if that is less. More
/// than the requests that a shard's scheduler has in flight.
pub const MAX_CONNECTIONS: usize = 4_096;

/// How long a request waits before it tries again to get a socket, if this process or its machine
/// has none left. It tries without end, as it waits without end for a slot of the pool.
pub const SOCKET_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// One group may have at most one in this many of all connections. Its further requests wait.
pub const GROUP_SHARE_OF_CONNECTIONS: usize = 4;

/// How long closing a connection gracefully may take.
pub const MAX_CLOSING_TIME: Duration = Duration::from_secs(1);

/// How often one request is sent again because a receiver says that it did not process it, or
/// because the connection was closed before anything was sent.
pub const MAX_SENT_AGAIN: usize = 8;

/// The most requests at a time on one HTTP/2 connection. Receivers usually allow 100 to 250.
pub const MAX_STREAMS: usize = 100;

/// How long nothing may arrive on an HTTP/2 connection with requests in flight before a PING is
/// sent (RFC 9113 section 6.7).
pub const PING_AFTER: Duration = Duration::from_secs(2);

/// How long the answer to a PING may take before the connection counts as broken. Not shorter,
/// because some receivers answer no PING while they work on a request.
pub const MAX_PONG_TIME: Duration = Duration::from_secs(4);

/// For how long a receiver is not offered HTTP/2 after it chose HTTP/2 and then required HTTP/1.1.
pub const HTTP1_MEMORY: Duration = Duration::from_secs(600);

/// The most receivers for which that is remembered.
pub const HTTP1_ROUTES_REMEMBERED: u64 = 10_000;

/// For how long an address that failed is tried after all others of its name.
pub const FAILED_ADDRESS_MEMORY: Duration = Duration::from_secs(60);

/// The most names whose rotation and failed addresses are remembered.
pub const NAMES_REMEMBERED: u64 = 10_000;

/// How many bytes of one answer an HTTP/2 receiver may send before we read them (RFC 9113 section
/// 5.2): as many as we would read, and no less than the protocol's initial 65,535.
pub const HTTP2_STREAM_WINDOW: u32 = MAX_READ_BODY as u32;

/// How many bytes an HTTP/2 receiver may send on all streams of one connection before we read them.
pub const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How many bytes may come in on an HTTP/2 connection besides its answers: settings, PINGs and
/// other frames without content. Beyond that the connection is closed: each frame costs CPU time,
/// and a flood of them would slow down all deliveries.
pub const HTTP2_CONNECTION_ALLOWANCE: usize = 256 * 1024;

/// How many more bytes may come in for each request: twice what is read of an answer, for what is
/// on its way when we stop reading, and for framing.
pub const HTTP2_ANSWER_ALLOWANCE: usize = 2 * (MAX_READ_BODY + MAX_READ_HEAD);

/// The most addresses that are tried for one connection, so that each gets a useful share of the
/// connect timeout.
pub const MAX_ADDRESSES_TRIED: usize = 4;

/// The most addresses of one name that are used. A DNS answer may have thousands.
pub const MAX_ADDRESSES_KNOWN: usize = 32;

/// How long one DNS query may take before it is sent again. With the usual 5 s, one lost datagram
/// would use up the whole connect timeout.
pub const DNS_QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long "this name does not exist" is cached at most, whatever the zone says, so that a
/// receiver whose DNS is repaired is reached again soon.
pub const DNS_NEGATIVE_TTL: Duration = Duration::from_secs(30);
