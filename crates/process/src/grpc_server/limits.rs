//! Every limit of the gRPC server: the flags with their defaults, and the constants that operators
//! have no reason to change.

use std::time::Duration;

use clap::Args;

use crate::flags::{positive_duration, whole_number};

/// Bytes of a request message. A whole BatchPublishEvents batch has to fit.
pub const MAX_REQUEST_BYTES: u32 = 4 * 1024 * 1024;
/// Requests in flight on one connection.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 1_024;
/// Requests in flight on all connections.
pub const MAX_REQUESTS_IN_FLIGHT: u32 = 4_096;
/// Bytes of the requests in flight: their messages, encoded and decoded, and then their answers.
pub const MAX_REQUEST_MEMORY: u32 = 512 * 1024 * 1024;
/// Watches (WatchDeliveries, WatchEvents, WatchReplay).
pub const MAX_WATCHES: u32 = 2_048;
/// Watches of one key, or of one subject of web tokens.
pub const MAX_WATCHES_PER_KEY: u32 = 256;
/// Streams of events (StreamEvents).
pub const MAX_PUBLISH_STREAMS: u32 = 1_024;
/// Streams of events of one key, or of one subject of web tokens.
pub const MAX_PUBLISH_STREAMS_PER_KEY: u32 = 64;
/// How long the server waits for the body of a request, or for one message of a stream.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers of a request. gRPC itself needs about ten.
pub const MAX_HEADERS: u32 = 100;
/// Bytes of a request's headers.
pub const MAX_HEADER_BYTES: u32 = 16 * 1024;
pub const MAX_CONNECTIONS: u32 = 4_096;
/// Connections from one address.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 512;
/// Connections that have not finished their handshakes. More than one address may have, so that no
/// address can keep all others out.
pub const MAX_HANDSHAKES: u32 = 1_024;
/// From accepting a connection to the end of its handshakes.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server sends a PING, so that connections of dead clients end.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the client has to answer the PING.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames without content, per second and connection. Clients that measure bandwidth send a PING
/// for every answer, so this is above the request rate of the busiest connection.
pub const MAX_CONTROL_FRAMES: u32 = 10_000;
/// Requests that were reset before the server has looked at them. The default of h2.
pub const MAX_EARLY_RESETS: u32 = 20;
/// Requests of one connection that broke HTTP/2's rules. The default of hyper, which tonic
/// would switch off.
pub const MAX_STREAM_ERRORS: u32 = 1_024;

/// For `max_decoding_message_size` of every generated server, whose default is 4 MiB. The server
/// checks [`LimitFlags::max_request_bytes`] for all services of a process before they see anything.
pub const NO_DECODING_LIMIT: usize = usize::MAX;
/// Open streams that need no key. Health checks in flight have the same limit.
pub const MAX_OPEN_CALLS: u64 = 1_024;
/// Calls of one organization that run at the same time; further ones queue. Calls that publish,
/// stream, or wait for somebody else do not count.
pub const MAX_CONCURRENT_CALLS: u32 = 32;
/// One in this many requests in flight may wait for somebody else (SendTest, TestChannel,
/// PreviewPayload).
pub const WAITING_DIVISOR: u64 = 8;
/// The memory of requests holds at least this many requests of the largest size.
pub const MIN_REQUESTS_IN_MEMORY: u64 = 16;
/// How long a stream of requests waits for the memory of its next message. Then it ends.
pub const MAX_MEMORY_WAIT: Duration = Duration::from_secs(10);
/// How often it looks whether there is memory now.
pub const MEMORY_RETRY: Duration = Duration::from_millis(50);
/// Bytes of one request that the client may send ahead of what the server reads. The default of hyper.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all requests of a connection together. More than one request has, so that a stream of
/// events that is slowed down does not hold up the other requests of its connection.
pub const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// Answers up to this size do not count against the memory; larger ones are sent in pieces of it.
/// The default size of an HTTP/2 frame.
pub const FREE_ANSWER_BYTES: usize = 16 * 1024;
/// How long a client may take to read an answer, unless its deadline is earlier, and each frame of a
/// streamed one.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests in flight may take to finish when the process shuts down.
pub const GRACE_PERIOD: Duration = Duration::from_secs(15);
/// How long the UNAVAILABLE answers after the grace period have to reach their callers.
pub const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// When a caller that was turned away should try again.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Connections that wait for the server to take them.
pub const WAITING_CONNECTIONS: usize = 64;
/// Bytes that one side of a connection within the process may be ahead of the other.
pub const IN_PROCESS_BUFFER: usize = 256 * 1024;

/// The limits of the gRPC server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// How many bytes a request may have; a larger one is answered RESOURCE_EXHAUSTED.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = MAX_REQUEST_BYTES,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_request_bytes: u32,

    /// How many requests may be in flight in all, from when all of a request has come to its
    /// answer; more are answered UNAVAILABLE.
    ///
    /// An organization (before its key is known, an address) may have as many as are left for
    /// others, half of them if it is alone; more are answered RESOURCE_EXHAUSTED. A quarter is
    /// kept for publishing. As many again may be on their way, and are shared in the same way. A
    /// stream counts until its first answer.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_REQUESTS_IN_FLIGHT,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_requests_in_flight: u32,

    /// How many bytes the requests in flight may take up, as sent and as read, and their answers
    /// until they are sent; shared as requests are.
    ///
    /// More requests are answered RESOURCE_EXHAUSTED or UNAVAILABLE. Answers to what changes
    /// something count and are sent in any case; those of 16 KiB and less do not count.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = MAX_REQUEST_MEMORY,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_request_memory: u32,

    /// How long the body of a request may take to come, or a message of a stream from its first byte
    /// to its last; then the answer is DEADLINE_EXCEEDED.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub request_body_timeout: Duration,

    /// How many watches (WatchDeliveries, WatchEvents, WatchReplay) there may be; more are answered
    /// UNAVAILABLE.
    ///
    /// An organization may have as many as are left for others; more are answered
    /// RESOURCE_EXHAUSTED.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_WATCHES,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_watches: u32,

    /// How many of them one key may have, or one subject of web tokens, its sessions included.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_WATCHES_PER_KEY,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_watches_per_key: u32,

    /// How many streams of events (StreamEvents) there may be; more are answered UNAVAILABLE.
    ///
    /// An organization may have as many as are left for others; more are answered
    /// RESOURCE_EXHAUSTED.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_PUBLISH_STREAMS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_publish_streams: u32,

    /// How many of them one key may have, or one subject of web tokens, its sessions included.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_PUBLISH_STREAMS_PER_KEY,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_publish_streams_per_key: u32,

    /// How many requests may be in flight on one connection; clients hold further ones back.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_STREAMS_PER_CONNECTION,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_streams_per_connection: u32,

    /// How many headers a request may have; one with more is answered RESOURCE_EXHAUSTED.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_HEADERS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_headers: u32,

    /// How many bytes the headers of a request may have, each counting 32 more than its name and
    /// value (RFC 9113, section 6.5.2); one with more is answered with the HTTP status 431.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = MAX_HEADER_BYTES,
        value_parser = whole_number::<u32>(1024..)
    )]
    pub max_header_bytes: u32,

    /// How many connections there may be; further ones are closed at once.
    ///
    /// An address may have as many as are left for others, half of them if it is alone. Each needs
    /// a file descriptor, see the limit of open files (ulimit -n, LimitNOFILE).
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_CONNECTIONS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_connections: u32,

    /// How many of them may come from one address, or from one IPv6 network of 64 bits.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_CONNECTIONS_PER_PEER,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_connections_per_peer: u32,

    /// How many connections may be in their handshakes (TLS, HTTP/2); further ones are closed at
    /// once.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_HANDSHAKES,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_handshakes: u32,

    /// How long the handshakes may take together.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    pub handshake_timeout: Duration,

    /// How often a client is asked whether it is still there.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = positive_duration)]
    pub keepalive_interval: Duration,

    /// How long it may take to answer that.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = positive_duration)]
    pub keepalive_timeout: Duration,

    /// How old a connection may become: its requests are finished, and clients connect again
    /// [default: any age]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub max_connection_age: Option<Duration>,

    /// How many HTTP/2 frames that carry nothing (PING, RST_STREAM, SETTINGS and others) a
    /// connection may bring in a second; one with more is closed.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_CONTROL_FRAMES,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_control_frames: u32,

    /// How many requests a connection may take back at once, before the server has looked at
    /// them; one with more is closed (CVE-2023-44487).
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_EARLY_RESETS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_early_resets: u32,

    /// How many requests of a connection may break HTTP/2's rules; then it is closed.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_STREAM_ERRORS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_stream_errors: u32,
}

impl Default for LimitFlags {
    fn default() -> Self {
        LimitFlags {
            max_request_bytes: MAX_REQUEST_BYTES,
            max_requests_in_flight: MAX_REQUESTS_IN_FLIGHT,
            max_request_memory: MAX_REQUEST_MEMORY,
            request_body_timeout: REQUEST_BODY_TIMEOUT,
            max_watches: MAX_WATCHES,
            max_watches_per_key: MAX_WATCHES_PER_KEY,
            max_publish_streams: MAX_PUBLISH_STREAMS,
            max_publish_streams_per_key: MAX_PUBLISH_STREAMS_PER_KEY,
            max_streams_per_connection: MAX_STREAMS_PER_CONNECTION,
            max_headers: MAX_HEADERS,
            max_header_bytes: MAX_HEADER_BYTES,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_peer: MAX_CONNECTIONS_PER_PEER,
            max_handshakes: MAX_HANDSHAKES,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            max_connection_age: None,
            max_control_frames: MAX_CONTROL_FRAMES,
            max_early_resets: MAX_EARLY_RESETS,
            max_stream_errors: MAX_STREAM_ERRORS,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        limits: LimitFlags,
    }

    #[test]
    fn the_flags_have_the_same_defaults_as_the_limits() {
        let flags = Flags::try_parse_from(["program"]).expect("defaults");
        assert_eq!(format!("{:?}", flags.limits), format!("{:?}", LimitFlags::default()));
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        for flag in ["--max-connections=0", "--max-request-bytes=0", "--handshake-timeout=0s"] {
            assert!(Flags::try_parse_from(["program", flag]).is_err(), "{flag}");
        }
    }
}
