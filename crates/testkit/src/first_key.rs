//! The admin key of the platforms that tests start.

/// An admin key for all organizations. Servers get it by [`VARIABLE`].
pub const FIRST_KEY: &str = "kt_7e57000000000000000000000000000000000000000000000000000000007e57";

/// The environment variable with a server's first key.
pub const VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY";
