//! Posts bytes to an https URL that a customer chose, and limits what we connect to, how long we
//! wait and how much we read.
//!
//! [`Sender::post`] makes one request. It returns an [`HttpResponse`] with any status, or a
//! [`SendFailure`] whose text an administrator can act on. It follows no redirect and retries no
//! failure: what a status means, and whether to retry, is for the caller to decide. A request is
//! sent again only if its receiver did not process it, or if a kept connection was being closed; a
//! [`Remark`] says so.
//!
//! The modules in the order in which a request meets them: `sender` runs the request, `pool` finds
//! it a connection, `connect` opens one (`addresses`, `dial`, `network`, TLS), and `http1` or
//! `http2` send it and read the answer (`monitored_stream`, `head`, `frames`).
//!
//! Of our crates it depends on `trust` only: it knows no endpoint, delivery, store or gRPC. It
//! writes no header value and no body to logs or `Debug`.

mod addresses;
mod classify;
mod client_certificate;
mod config;
mod connect;
mod dial;
mod driver;
mod failure;
mod frames;
pub mod guard;
mod head;
mod http1;
mod http2;
pub mod limits;
mod local_names;
mod monitored_stream;
mod name_server;
mod network;
mod pool;
mod ports;
mod proxy;
mod remark;
mod request;
mod request_timer;
mod resolve;
mod response;
mod send_outcome;
mod sender;
mod setup_error;
mod special_networks;
mod target;
mod tls;
mod tls_failure;
mod tls_problem;
mod translations;
#[cfg(test)]
mod url_parsers_agree;
#[cfg(test)]
mod url_vectors;

pub use config::OutboundConfig;
pub use failure::{FailureKind, RefusedPart, SendFailure, TriedAddress};
pub use keeptrusts_webhooks_trust::CertificateProblem;
pub use local_names::RefusedName;
pub use name_server::{InvalidNameServer, NameServer};
pub use pool::ConnectionGroup;
pub use ports::{InvalidPortRange, PortRange, RefusedPort};
pub use proxy::{InvalidProxy, OutboundProxy};
pub use remark::Remark;
pub use response::{HttpExchange, HttpResponse};
pub use sender::Sender;
pub use setup_error::SetupError;
pub use tls_problem::TlsProblem;
