//! The key with which tests administrate the platforms that they start.

/// An admin's of all organizations. Servers are given it by [`VARIABLE`].
pub const FIRST_KEY: &str = "kt_7e57000000000000000000000000000000000000000000000000000000007e57";

/// The environment variable that a server takes its first key from.
pub const VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY";
