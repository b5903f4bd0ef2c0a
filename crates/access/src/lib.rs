//! Authentication and authorization: the gate before every service.
//!
//! A request passes it in three steps. [`bearer`] finds the token. [`keys`] (API keys and sessions)
//! or [`web_tokens`] (JSON Web Tokens) finds the caller. [`rules`] says whether the caller's role may
//! call the method. Whether the caller may access the organization that the request names is checked
//! by the handler, which reads the request as an
//! [`AuthorizedRequest`](keeptrusts_webhooks_contracts::api::AuthorizedRequest).
//!
//! May depend on: the domain, the contracts, the store, the process and the telemetry crate, tonic,
//! and libraries for web tokens. Never on a service.

mod address;
mod bearer;
mod failed_logins;
mod fetcher;
mod first_key;
mod flags;
mod gate;
pub mod issuer;
mod keys;
pub mod limits;
mod refused_tokens;
mod ring_provider;
mod rules;
mod web_tokens;

pub use address::forwarded_for;
pub use flags::{AccessFlags, AccessSetupError, PreparedAccess, issuer_address};
pub use rules::{Rule, rule_of};
pub use web_tokens::RoleName;
