//! Every limit of this crate that is not configuration, in one place.

use std::time::Duration;

/// The most bytes of an answer's body that are read. A body that is longer is abandoned: on
/// HTTP/1.1 the connection is closed, on HTTP/2 the stream is reset.
pub const MAX_READ_BODY: usize = 64 * 1024;

/// The most bytes of an answer's body that are kept. Between this and [`MAX_READ_BODY`] bytes
/// are read and thrown away, because a connection is only reusable once its answer is read.
pub const MAX_KEPT_BODY: usize = 16 * 1024;

/// The most bytes of an answer's status line and headers that are read; an answer with more
/// fails. Browsers and proxies stop between 8 and 256 KiB.
///
/// HTTP/1.1 allows 100 header fields besides, hyper's default, which needs no allocation.
pub const MAX_READ_HEAD: usize = 32 * 1024;

/// The most header fields of an answer that are kept.
pub const MAX_KEPT_HEADERS: usize = 64;

/// The most bytes of header names and values of an answer that are kept.
pub const MAX_KEPT_HEADER_BYTES: usize = 8 * 1024;

/// How long a connection may wait in the pool for its next request. Shorter than the idle
/// timeouts of common servers (nginx 75 s, AWS load balancers 60 s), so that it is us who close
/// an idle connection, and a request rarely meets one that the receiver is just closing.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most idle HTTP/1.1 connections kept for one host and port. Not fewer than the requests
/// that are in flight to one endpoint, or each burst would shake hands anew.
pub const POOL_MAX_IDLE_PER_HOST: usize = 64;

/// How much of one answer an HTTP/2 receiver may send before we read it (RFC 9113 section
/// 5.2): all that would be read, and no less than the protocol's initial 65,535 bytes.
pub const HTTP2_STREAM_WINDOW: u32 = MAX_READ_BODY as u32;

/// How much an HTTP/2 receiver may send on all streams of one connection before we read it.
pub const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The most addresses of one name that are tried, so that each gets a useful share of the
/// connect timeout.
pub const MAX_ADDRESSES_TRIED: usize = 4;

/// How long one DNS query may take before it is sent again. Shorter than the usual 5 s, which
/// would let one lost datagram use up the whole connect timeout.
pub const DNS_QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long "this name does not exist" is remembered, whatever the zone asks for, so that a
/// receiver whose DNS has been repaired is found again soon.
pub const DNS_NEGATIVE_TTL: Duration = Duration::from_secs(30);
