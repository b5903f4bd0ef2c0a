//! Posts bytes to an https URL that a stranger chose, without letting the stranger choose
//! what we connect to, how long we wait or how much we read.
//!
//! [`Sender::post`] makes one request and reports what came of it: an [`Answer`] with whatever
//! status the receiver chose, or a [`SendFailure`] whose text an administrator can act on.
//! Nothing is retried here and no redirect is followed; what a status means, and whether to try
//! again, is the caller's business.
//!
//! The crate depends on hyper, rustls and a DNS resolver, and of ours only on the one that says
//! whom we trust: it knows no endpoint, delivery, store or gRPC. It writes no header value and no
//! body to logs or `Debug`.

#![deny(missing_docs)]

mod answer;
mod classify;
mod client_certificate;
mod config;
mod connect;
mod dial;
mod failure;
pub mod guard;
pub mod limits;
mod local_names;
mod name_server;
mod network;
#[cfg(test)]
mod one_reading;
mod ports;
mod proxy;
mod remark;
mod resolve;
mod sender;
mod special_networks;
mod target;
mod tls;
mod tls_failure;
#[cfg(test)]
mod vectors;

pub use answer::{Answer, Exchange};
pub use config::{OutboundConfig, SetupError};
pub use failure::{FailureKind, RefusedFor, SendFailure, TriedAddress};
pub use keeptrusts_webhooks_trust::CertificateProblem;
pub use local_names::RefusedName;
pub use name_server::{InvalidNameServer, NameServer};
pub use ports::{InvalidPortRange, PortRange, RefusedPort};
pub use proxy::{InvalidProxy, OutboundProxy};
pub use remark::Remark;
pub use sender::Sender;
pub use tls_failure::TlsProblem;
