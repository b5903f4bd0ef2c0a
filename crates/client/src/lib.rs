//! A client of Keeptrusts Webhooks.
//!
//! **Services** publish events and manage endpoints with a [`Client`]:
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keeptrusts_webhooks_client::{Client, Event};
//!
//! let client = Client::builder("https://webhooks.example.com:50051")
//!     .api_key_file("/run/secrets/webhooks-key")
//!     .build()?;
//! let event = Event::new("acme", "policy.violation", r#"{"policy": "no-customer-data"}"#);
//! println!("published {}", client.publish(event).await?.event_id);
//! # Ok(())
//! # }
//! ```
//!
//! * Each method of the API is a method of the client: [`Client::create_endpoint`],
//!   [`Client::send_test`] and so on. Requests and responses are in [`v1`].
//! * **Calls are retried** where that is safe, until their [deadline](ClientBuilder::deadline) is over.
//!   It is safe for methods that change nothing or may be repeated, and for requests with an id
//!   (`request_id`, `idempotency_key`), which the client gives them. So [`Client::publish`] outlives a
//!   restart of the server, and publishes once. See [`RetryPolicy`].
//! * [`Client::event_publisher`] publishes at full speed over one stream, and tells of each event when it
//!   is durable.
//! * [`Client::items`] makes one stream of the pages of a list, and [`Client::watch`] follows deliveries,
//!   events and replays across reconnects.
//!
//! **Receivers** verify what they get with a [`Verifier`](verify::Verifier):
//!
//! ```
//! # #[cfg(feature = "verify")]
//! # fn example(headers: &[(&str, &str)], body: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use keeptrusts_webhooks_client::verify::Verifier;
//!
//! let verifier = Verifier::new("whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=")?;
//! verifier.verify(headers, body)?; // of the request, before the body is parsed
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! * `client` (default): the client.
//! * `verify` (default): verification of signatures. On its own (`default-features = false`) it brings
//!   neither gRPC nor TLS nor tokio.
//!
//! # Versions
//!
//! Messages gain fields with time. End their literals with `..Default::default()`, and give every match of
//! an enum a branch for what you do not know.

#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
mod address;
#[cfg(feature = "client")]
mod backoff;
#[cfg(feature = "client")]
mod builder;
#[cfg(feature = "client")]
mod call;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod credential;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod event;
#[cfg(feature = "client")]
mod list;
#[cfg(feature = "client")]
mod methods;
#[cfg(feature = "client")]
pub mod publisher;
#[cfg(feature = "client")]
mod retry;
#[cfg(feature = "verify")]
pub mod verify;
#[cfg(feature = "client")]
mod watch;

#[cfg(feature = "client")]
pub use self::{
    builder::{BuildError, ClientBuilder},
    call::{ListRequest, UnaryRequest, WatchRequest},
    client::Client,
    error::{Error, FieldViolation},
    event::Event,
    retry::RetryPolicy,
};
/// For the types of the API that are protobuf's own: times, durations, masks.
#[cfg(feature = "client")]
pub use prost_types;
/// For [`Code`], [`Status`](tonic::Status) and the generated clients.
#[cfg(feature = "client")]
pub use tonic;
#[cfg(feature = "client")]
pub use tonic::Code;

/// The messages of the API, as their protos describe them, and the services without the conveniences of
/// [`Client`]; see [`Client::authorized_channel`].
#[cfg(feature = "client")]
#[allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments of protos are no Markdown"
)]
#[allow(clippy::all, reason = "generated")]
pub mod v1 {
    include!("generated/keeptrusts.webhooks.v1.rs");
    include!("generated/redacted_debug.rs");
}

#[cfg(all(doctest, feature = "client", feature = "verify"))]
#[doc = include_str!("../README.md")]
struct Readme;
