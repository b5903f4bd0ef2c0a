//! The protocol that TLS connections negotiate.

/// HTTP/2's name in ALPN (RFC 9113 section 3.1). gRPC uses nothing else.
pub(super) const HTTP2: &[u8] = b"h2";
