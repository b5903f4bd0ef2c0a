//! New ids: the time and 80 random bits.

use std::sync::{Mutex, PoisonError};

use keeptrusts_webhooks_domain::Timestamp;
use ulid::Ulid;

use crate::random::random;

/// A ULID of this time. Ids of later milliseconds sort after it, and so do those that this process
/// makes later in the same one (the ULID specification's monotonicity): lists by id are in the order
/// in which things happened.
pub fn new_ulid(now: Timestamp) -> Ulid {
    static NEWEST: Mutex<Ulid> = Mutex::new(Ulid::nil());
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    let next = match newest.timestamp_ms() == milliseconds {
        true => newest.increment().ok(),
        false => None,
    };
    *newest = next.unwrap_or_else(|| Ulid::from_parts(milliseconds, u128::from_le_bytes(random())));
    *newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_sort_in_the_order_in_which_they_were_made() {
        // A time of its own: other tests make ids as well.
        let now = Timestamp::from_second(4_000_000_000).expect("in range");
        let ids: Vec<_> = (0..1_000).map(|_| new_ulid(now)).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert!(ids.iter().all(|id| id.timestamp_ms() == 4_000_000_000_000));
    }
}
