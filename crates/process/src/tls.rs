//! TLS between processes: from flags and files to configurations of rustls.
//!
//! Servers have [`ServerTlsFlags`], clients of the services have [`ServiceTlsFlags`]. Files are read
//! at the start, when a wrong one is an error, and again on SIGHUP ([`Reloadable`],
//! [`reload_on_hangup`]), when a wrong one is logged and the old configuration stays in use.
//!
//! TLS 1.2 and 1.3, by rustls with ring. Early data stays off (rustls' default): an attacker
//! could replay it (RFC 8446 section 8).

mod alpn;
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
