//! What time it is.

use std::sync::Arc;

use keeptrusts_webhooks_domain::Timestamp;

/// What time it is, for the recorded times, the leases and the expiry of bodies.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the machine, in microseconds: what the tables hold, so that a time means the
/// same in memory and in a row.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    })
}
