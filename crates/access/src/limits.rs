//! Every limit of the gate.

use std::time::Duration;

/// How long a key that was looked up is cached. A revocation takes effect within this time and that
/// of the query that follows.
pub const KEY_CACHE_TTL: Duration = Duration::from_secs(3);
pub const MAX_CACHED_KEYS: u64 = 10_000;
/// How often the last uses of keys are written to the database.
pub const KEY_USES_INTERVAL: Duration = Duration::from_secs(30);
/// Keys whose last use is not written yet. Further keys are recorded at their next use.
pub const MAX_PENDING_KEY_USES: usize = 10_000;
/// Bytes of a token. Longer ones are refused unread.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Addresses whose wrong tokens are counted.
pub const MAX_PEERS: u64 = 100_000;
/// How old an issuer's keys may be before they are fetched again.
pub const ISSUER_CACHE_TTL: Duration = Duration::from_secs(600);
/// How long an issuer's keys are used while the issuer does not answer. A key that the issuer has
/// withdrawn is refused within this time.
pub const ISSUER_CACHE_MAX_AGE: Duration = Duration::from_secs(3600);
/// The shortest time between two attempts to fetch an issuer's keys.
pub const ISSUER_KEYS_RETRY_DELAY: Duration = Duration::from_secs(10);
/// The shortest time between two attempts to fetch the discovery document. Short, because somebody
/// is waiting to sign in.
pub const DISCOVERY_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long an issuer may take to answer.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);
pub const MAX_ISSUER_ANSWER_BYTES: usize = 1024 * 1024;
/// How far the clocks of an issuer and of this machine may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
