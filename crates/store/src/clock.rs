//! The clock of the store.

use std::sync::Arc;

use keeptrusts_webhooks_domain::Timestamp;

/// Gives the current time, for recorded times, leases and the expiry of bodies.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the machine, cut to microseconds as in the tables, so that a time is the same in
/// memory and in a row.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    })
}
