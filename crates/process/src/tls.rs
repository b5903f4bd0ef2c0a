//! TLS between processes: files and flags in, rustls' configurations out.
//!
//! A process that serves takes [`ServerTlsFlags`], one that asks services takes
//! [`ServiceTlsFlags`]. Both are read once at the start, where a wrong file is an error that
//! says which; SIGHUP reads them again ([`Reloadable`], [`reload_on_hangup`]), where a wrong
//! file is a log line and what was read before stays in use.
//!
//! TLS 1.2 and 1.3, by rustls with ring. Early data stays off (rustls' default): an attacker
//! could replay it (RFC 8446 section 8).

mod certificate;
mod connector;
mod file;
mod flags;
mod reload;

pub use certificate::ClientCertificate;
pub use connector::ServiceConnector;
pub use file::TlsFileError;
pub use flags::{ServerTlsFlags, ServiceTlsFlags};
pub use reload::{Reloadable, reload_on_hangup};

/// HTTP/2, as ALPN calls it (RFC 9113 section 3.1). gRPC speaks nothing else.
const ALPN_HTTP2: &[u8] = b"h2";
