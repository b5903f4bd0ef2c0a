//! Every limit of this crate that is not configuration, in one place.

use std::time::Duration;

/// The most bytes of an answer's body that are read. A body that is longer is abandoned: on
/// HTTP/1.1 the connection is closed, on HTTP/2 the stream is reset.
pub const MAX_READ_BODY: usize = 64 * 1024;

/// The most bytes of an answer's body that are kept. Between this and [`MAX_READ_BODY`] bytes
/// are read and thrown away, because a connection is only reusable once its answer is read.
pub const MAX_KEPT_BODY: usize = 16 * 1024;

/// The most bytes of an answer's status line and headers that are read, however they arrive.
/// Browsers and proxies stop between 8 and 256 KiB. The status counts nevertheless, if it has
/// arrived.
pub const MAX_READ_HEAD: usize = 64 * 1024;

/// The most bytes of an answer's head that h2 reads, with 32 for each field (RFC 9113 section
/// 6.5.2), and which receivers are told. More than [`MAX_READ_HEAD`], although no more counts: of a
/// head that h2 refuses there is nothing but the status.
pub const HTTP2_MAX_HEAD: usize = 4 * MAX_READ_HEAD;

/// The most header fields that an answer by HTTP/1.1 may have. Others allow 100 (curl 5,000).
pub const MAX_READ_HEADERS: usize = 1_000;

/// The most informational (1xx) answers before the final one. One or two are usual: 100, 103.
pub const MAX_INFORMATIONAL_ANSWERS: usize = 16;

/// The most header fields of an answer that are kept.
pub const MAX_KEPT_HEADERS: usize = 64;

/// The most bytes of header names and values of an answer that are kept.
pub const MAX_KEPT_HEADER_BYTES: usize = 8 * 1024;

/// How long a connection may wait for its next request. Many servers close an idle connection
/// after 5 s (Node.js, uvicorn, Apache), and a request must not meet one that is just being closed.
pub const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// How much earlier than its receiver we give up an idle connection for which it has announced
/// an idle time (`Keep-Alive: timeout=5`), but no more than half of that time.
pub const IDLE_TIME_MARGIN: Duration = Duration::from_secs(1);

/// The most connections of one process, unless the limit of open files is low: then half of it.
/// More than the requests that a shard's scheduler has under way.
pub const MAX_CONNECTIONS: usize = 4_096;

/// How long a request waits before it tries again to get a socket, if this process or its machine
/// has none left. It tries as long as it takes, as for a slot among the connections.
pub const SOCKET_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Which part of all connections one group may have at most. Its requests beyond that wait.
pub const GROUP_SHARE_OF_CONNECTIONS: usize = 4;

/// How long saying goodbye on a connection that is given up may take.
pub const MAX_CLOSING_TIME: Duration = Duration::from_secs(1);

/// How often one request is sent again because a receiver has said that it did not process it,
/// or because the connection was closed before anything was sent.
pub const MAX_SENT_AGAIN: usize = 8;

/// The most requests at a time on one HTTP/2 connection. Receivers usually allow 100 to 250.
pub const MAX_STREAMS: usize = 100;

/// After how long of silence, with requests under way, an HTTP/2 connection is asked for a sign
/// of life (a PING, RFC 9113 section 6.7).
pub const PING_AFTER: Duration = Duration::from_secs(2);

/// How long the answer to a PING may take before the connection counts as broken. Not shorter:
/// some receivers answer no PING while they work on a request.
pub const MAX_PONG_TIME: Duration = Duration::from_secs(4);

/// For how long a receiver that wants HTTP/1.1 although it offers HTTP/2 is not asked for HTTP/2.
pub const HTTP1_MEMORY: Duration = Duration::from_secs(600);

/// Of how many receivers that is remembered.
pub const HTTP1_ROUTES_REMEMBERED: u64 = 10_000;

/// How long an address that failed is tried after all others of its name.
pub const FAILED_ADDRESS_MEMORY: Duration = Duration::from_secs(60);

/// Of how many names it is remembered which address is next, and which have failed.
pub const NAMES_REMEMBERED: u64 = 10_000;

/// How much of one answer an HTTP/2 receiver may send before we read it (RFC 9113 section
/// 5.2): all that would be read, and no less than the protocol's initial 65,535 bytes.
pub const HTTP2_STREAM_WINDOW: u32 = MAX_READ_BODY as u32;

/// How much an HTTP/2 receiver may send on all streams of one connection before we read it.
pub const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How many bytes may come in on an HTTP/2 connection besides those of its answers: settings, PINGs
/// and whatever else carries nothing. A receiver that sends more is not waited for: each frame costs
/// us something, and a flood of them would take it from everybody's deliveries.
pub const HTTP2_CONNECTION_ALLOWANCE: usize = 256 * 1024;

/// How many more may come in for each request that is begun: twice what is read of an answer, for
/// what was on its way when we had read enough, and for framing.
pub const HTTP2_ANSWER_ALLOWANCE: usize = 2 * (MAX_READ_BODY + MAX_READ_HEAD);

/// The most addresses of one name that are tried for one connection, so that each gets a useful
/// share of the connect timeout.
pub const MAX_ADDRESSES_TRIED: usize = 4;

/// The most addresses of one name that take turns. An answer of DNS may have thousands.
pub const MAX_ADDRESSES_KNOWN: usize = 32;

/// How long one DNS query may take before it is sent again. Shorter than the usual 5 s, which
/// would let one lost datagram use up the whole connect timeout.
pub const DNS_QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long "this name does not exist" is remembered, whatever the zone asks for, so that a
/// receiver whose DNS has been repaired is found again soon.
pub const DNS_NEGATIVE_TTL: Duration = Duration::from_secs(30);
