//! A receiver's answer, and how much of it is kept.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::failure::SendFailure;
use crate::limits::{MAX_KEPT_BODY, MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADERS, MAX_READ_BODY};
use crate::remark::Remark;

/// One request and its result.
#[derive(Clone, Debug)]
pub struct HttpExchange {
    /// From the start of the request to the end of the answer, or to the failure. Waiting for a
    /// connection that this process may not open yet does not count.
    pub duration: Duration,
    pub result: Result<HttpResponse, SendFailure>,
    /// Whether the receiver may have got the request, or a part of it, on any connection.
    pub was_sent: bool,
    /// Usually empty.
    pub remarks: Vec<Remark>,
}

/// A receiver's answer, with any status.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// No redirect is followed: a 3xx is as final as any other.
    pub status: StatusCode,
    /// In the order of arrival, at most [`MAX_KEPT_HEADERS`] fields and [`MAX_KEPT_HEADER_BYTES`]
    /// bytes of names and values.
    pub headers: HeaderMap,
    /// At most the first [`MAX_KEPT_BODY`] bytes.
    pub body: Bytes,
    pub body_truncated: bool,
}

// Written by hand, so that nothing a receiver sent gets into logs.
impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("header_count", &self.headers.len())
            .field("body_size", &self.body.len())
            .field("body_truncated", &self.body_truncated)
            .finish()
    }
}

/// The part of a body that is kept.
#[derive(Debug, Default)]
pub(crate) struct KeptBody {
    // Copied, because a slice would hold the connection's whole read buffer in memory.
    kept: Vec<u8>,
    bytes_read: usize,
}

impl KeptBody {
    pub(crate) fn read(&mut self, data: &[u8]) {
        let room = MAX_KEPT_BODY - self.kept.len();
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.bytes_read += data.len();
    }

    /// Whether [`MAX_READ_BODY`] bytes have been read. The last chunk may exceed the limit.
    pub(crate) fn is_enough(&self) -> bool {
        self.bytes_read >= MAX_READ_BODY
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes_read > self.kept.len()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.kept.into()
    }
}

pub(crate) fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The first headers, up to the limits.
pub(crate) fn kept_headers(headers: HeaderMap) -> HeaderMap {
    if headers.len() <= MAX_KEPT_HEADERS && header_bytes(&headers) <= MAX_KEPT_HEADER_BYTES {
        return headers;
    }
    let mut kept = HeaderMap::new();
    let mut kept_bytes = 0;
    for (name, value) in headers.iter().take(MAX_KEPT_HEADERS) {
        kept_bytes += name.as_str().len() + value.len();
        if kept_bytes > MAX_KEPT_HEADER_BYTES {
            break;
        }
        kept.append(name, value.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// A body of `size` bytes that arrives in chunks of `piece` bytes.
    fn read(size: usize, piece: usize) -> KeptBody {
        let mut body = KeptBody::default();
        for data in vec![b'x'; size].chunks(piece) {
            if !body.is_enough() {
                body.read(data);
            }
        }
        body
    }

    #[test]
    fn a_body_up_to_the_limit_is_kept_whole() {
        for size in [0, 1, MAX_KEPT_BODY] {
            for piece in [1, 1000, MAX_KEPT_BODY] {
                let body = read(size, piece);
                assert_eq!((body.is_truncated(), body.into_bytes().len()), (false, size));
            }
        }
    }

    #[test]
    fn a_longer_body_is_truncated() {
        for size in [MAX_KEPT_BODY + 1, MAX_READ_BODY, 2 * MAX_READ_BODY] {
            for piece in [1, 1000, MAX_READ_BODY] {
                let body = read(size, piece);
                assert_eq!(body.is_enough(), size >= MAX_READ_BODY);
                assert!(body.bytes_read < MAX_READ_BODY + piece);
                assert_eq!((body.is_truncated(), body.into_bytes().len()), (true, MAX_KEPT_BODY));
            }
        }
    }

    fn headers(count: usize, value_size: usize) -> HeaderMap {
        (0..count)
            .map(|n| {
                let name = HeaderName::try_from(format!("x-{n:04}")).expect("a name");
                let value = HeaderValue::try_from("v".repeat(value_size)).expect("a value");
                (name, value)
            })
            .collect()
    }

    #[test]
    fn ordinary_headers_are_kept_whole() {
        let ordinary = headers(MAX_KEPT_HEADERS, 20);
        assert_eq!(kept_headers(ordinary.clone()), ordinary);
    }

    #[test]
    fn headers_beyond_the_count_are_left_out() {
        let kept = kept_headers(headers(MAX_KEPT_HEADERS + 1, 20));
        assert_eq!(kept.len(), MAX_KEPT_HEADERS);
    }

    #[test]
    fn headers_beyond_the_size_are_left_out() {
        let value_size = 1024;
        let kept = kept_headers(headers(20, value_size));
        assert_eq!(kept.len(), MAX_KEPT_HEADER_BYTES / value_size - 1);
    }

    #[test]
    fn debug_shows_neither_header_values_nor_the_body() {
        let exchange = HttpExchange {
            duration: Duration::from_millis(5),
            result: Ok(HttpResponse {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(
                    http::header::SET_COOKIE,
                    HeaderValue::from_static("hidden"),
                )]),
                body: Bytes::from_static(b"hidden"),
                body_truncated: false,
            }),
            was_sent: true,
            remarks: Vec::new(),
        };
        let debug = format!("{exchange:?}");
        assert!(!debug.contains("hidden"), "{debug}");
        assert!(debug.contains("200"), "{debug}");
    }
}
