//! Records what arrives at the receiver, and compares it with what publishers got acknowledged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::publishers::AcknowledgedEvent;

/// Memory for this many deliveries is allocated at the start, so that most runs never reallocate.
const EXPECTED_DELIVERIES: usize = 1 << 18;
/// How often to check whether everything has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After this long without an arrival, nothing more is expected. Shorter than the first retry's wait,
/// because a delivery that needs a retry is an error here.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One event for one endpoint.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Delivery {
    event_id: String,
    endpoint: u16,
}

#[derive(Debug)]
struct Arrival {
    first: Instant,
    times: u32,
}

#[derive(Debug)]
pub(crate) struct Arrivals {
    arrivals: Mutex<HashMap<Delivery, Arrival>>,
}

#[derive(Debug)]
pub(crate) struct Comparison {
    /// Deliveries that did not arrive.
    pub(crate) missing: usize,
    /// Requests after the first of each delivery.
    pub(crate) duplicates: u64,
    /// Deliveries of events that were not acknowledged.
    pub(crate) unexpected: usize,
    /// From the publish call to the arrival, shortest first.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) last_arrival: Option<Instant>,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self { arrivals: Mutex::new(HashMap::with_capacity(EXPECTED_DELIVERIES)) }
    }

    /// Records a request.
    pub(crate) fn enter(&self, event_id: String, endpoint: u16) {
        let now = Instant::now();
        let mut arrivals = self.arrivals();
        let arrival = arrivals.entry(Delivery { event_id, endpoint });
        arrival.or_insert(Arrival { first: now, times: 0 }).times += 1;
    }

    /// Waits until this many deliveries have arrived, or none has for 30 s.
    pub(crate) async fn wait_for(&self, deliveries: usize) {
        let mut arrived = self.arrivals().len();
        while arrived < deliveries {
            let more = async {
                while self.arrivals().len() == arrived {
                    sleep(LOOK_AGAIN).await;
                }
            };
            if timeout(TIME_LIMIT, more).await.is_err() {
                return;
            }
            arrived = self.arrivals().len();
        }
    }

    /// Compares with the acknowledged events, for each endpoint.
    pub(crate) fn compare(&self, acknowledged: &[AcknowledgedEvent], endpoints: u16) -> Comparison {
        let arrivals = self.arrivals();
        let mut latencies = Vec::with_capacity(arrivals.len());
        let mut missing = 0;
        for AcknowledgedEvent { event_id, call_start } in acknowledged {
            for endpoint in 0..endpoints {
                let delivery = Delivery { event_id: event_id.clone(), endpoint };
                match arrivals.get(&delivery) {
                    Some(arrival) => latencies.push(arrival.first - *call_start),
                    None => missing += 1,
                }
            }
        }
        latencies.sort_unstable();
        Comparison {
            missing,
            duplicates: arrivals.values().map(|arrival| u64::from(arrival.times) - 1).sum(),
            unexpected: arrivals.len() - latencies.len(),
            latencies,
            last_arrival: arrivals.values().map(|arrival| arrival.first).max(),
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, HashMap<Delivery, Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_duplicate_and_unexpected_deliveries_are_found() {
        let arrivals = Arrivals::new();
        let call_start = Instant::now();
        for (event_id, endpoint) in [("a", 0), ("a", 1), ("b", 1), ("b", 1), ("c", 0)] {
            arrivals.enter(event_id.to_owned(), endpoint);
        }
        let acknowledged = ["a", "b"]
            .map(|event_id| AcknowledgedEvent { event_id: event_id.to_owned(), call_start });
        let comparison = arrivals.compare(&acknowledged, 2);
        assert_eq!((comparison.missing, comparison.duplicates, comparison.unexpected), (1, 1, 1));
        assert_eq!(comparison.latencies.len(), 3);
    }
}
