//! The rules of Keeptrusts Webhooks.
//!
//! They say what an endpoint, an event, a delivery and an attempt are; which commands are refused
//! and why; which facts follow from a command; which state follows from a fact; how a body is
//! rendered and signed. State goes in, facts come out. There is no clock, no I/O, no randomness and
//! no async here: time and new ids are arguments.
//!
//! May depend on: value crates (ids, time, JSON, hashing). Never on tokio, tonic, prost or sqlx.
#![deny(missing_docs)]

pub mod access;
pub mod attempt;
pub mod audit;
pub mod body;
pub mod channel;
mod channel_config;
pub mod config;
pub mod content_encoding;
pub mod credential;
pub mod delivery;
mod delivery_state;
mod delivery_trace;
mod destination;
pub mod document;
pub mod endpoint;
pub mod endpoint_config;
mod endpoint_state;
mod endpoint_url;
pub mod entity;
pub mod event;
pub mod event_type;
pub mod fact;
pub mod health;
pub mod ids;
pub mod incident;
pub mod json;
pub mod key;
pub mod key_validity;
pub mod limits;
pub mod log;
pub mod mail_limits;
pub mod mailbox;
pub mod named_enum;
pub mod notification;
mod notification_type;
pub mod pause;
pub mod payload_format;
pub mod plural;
pub mod redirect;
pub mod replay;
pub mod request;
pub mod retry;
pub mod retry_after;
pub mod rfc3339;
pub mod secret;
pub mod signing;
pub mod text;
pub mod trace;
pub mod violation;
pub mod visible_text;

pub use jiff::Timestamp;

/// The version of the product: that of all packages of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
