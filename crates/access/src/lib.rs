//! Who may ask what: the gate before every service.
//!
//! A request passes it in three steps. [`bearer`] finds the token; [`keys`] (API keys and
//! sessions) or [`web_tokens`] (JSON Web Tokens) says whose it is; [`rules`] says whether that
//! role may call the method. The organization that the request names is the handler's to hold
//! against the caller, which it does by reading the request through
//! [`Asked`](keeptrusts_webhooks_contracts::api::Asked).
//!
//! May depend on: the domain, the contracts, the store, the process and the telemetry crate, tonic, and what
//! verifying web tokens takes. Never on a service.
#![deny(missing_docs)]

mod address;
mod bearer;
mod failures;
mod first_key;
mod flags;
mod gate;
mod https;
pub mod issuer;
mod keys;
mod refusals;
mod ring_provider;
mod rules;
mod web_tokens;

pub use address::forwarded_for;
pub use flags::{AccessFlags, AccessSetupError, PreparedAccess, issuer_address};
pub use rules::{Rule, rule_of};
pub use web_tokens::RoleName;

/// Every limit of the gate, in one place.
pub mod limits {
    use std::time::Duration;

    /// How long a key that was looked up is taken to be as it was. A revocation takes effect
    /// within this time, and the query that follows it.
    pub const KEY_MEMORY: Duration = Duration::from_secs(3);
    /// How many keys are remembered.
    pub const MAX_KEYS_REMEMBERED: u64 = 10_000;
    /// How often it is noted when keys were used.
    pub const USES_INTERVAL: Duration = Duration::from_secs(30);
    /// The keys whose uses wait to be noted; further ones are noted the next time.
    pub const MAX_USES_WAITING: usize = 10_000;
    /// A token, in bytes. Longer ones are not looked at.
    pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
    /// The peers whose failures are counted.
    pub const MAX_PEERS: u64 = 100_000;
    /// How old an issuer's keys may be before they are fetched again.
    pub const ISSUER_KEYS_LIFE: Duration = Duration::from_secs(600);
    /// For how long an issuer's keys are relied on that cannot be fetched again, because it does
    /// not answer. A key that was withdrawn is refused within this time.
    pub const ISSUER_KEYS_TRUST: Duration = Duration::from_secs(3600);
    /// The shortest time between two looks for a key that is not known.
    pub const ISSUER_KEYS_PAUSE: Duration = Duration::from_secs(10);
    /// The shortest time between two looks for what an issuer says of itself, if it has not
    /// answered. Somebody waits for it who wants to sign in.
    pub const ISSUER_SELF_PAUSE: Duration = Duration::from_secs(1);
    /// How long an issuer has to answer.
    pub const ISSUER_PATIENCE: Duration = Duration::from_secs(5);
    /// What an issuer may answer, in bytes.
    pub const MAX_ISSUER_ANSWER_BYTES: usize = 1024 * 1024;
    /// How far the clocks of an issuer and of this machine may be apart.
    pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
}
