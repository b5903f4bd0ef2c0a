//! How many requests and deliveries a shard's scheduler may have under way and in memory.
//!
//! Decision: docs/decisions/failing-endpoints-get-fewer-requests.md

#[derive(Debug, Clone, Copy)]
pub struct SchedulerLimits {
    /// Requests under way to one endpoint, as long as it answers well.
    pub requests_per_endpoint: usize,
    /// The same for an endpoint that keeps failing: a hanging one occupies no more.
    pub requests_per_failing_endpoint: usize,
    /// Requests under way in all.
    pub requests: usize,
    /// How many of these are reserved for endpoints that have none in flight: however many others
    /// hang, there is room for them.
    pub requests_reserved: usize,
    /// Attempts at one endpoint whose outcome is not committed, whether their request is under way
    /// or over. A crash repeats them. A commit under load takes many times as long as a request; if
    /// this limit is too low, requests wait for commits.
    pub in_flight_per_endpoint: usize,
    /// The same in all.
    pub in_flight: usize,
    /// Deliveries of one endpoint in memory.
    pub waiting_per_endpoint: usize,
    /// Deliveries in memory in all, shared evenly between endpoints.
    pub waiting: usize,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        SchedulerLimits {
            requests_per_endpoint: 64,
            requests_per_failing_endpoint: 4,
            requests: 2_048,
            requests_reserved: 1_024,
            in_flight_per_endpoint: 512,
            in_flight: 4_096,
            waiting_per_endpoint: 512,
            waiting: 65_536,
        }
    }
}

impl SchedulerLimits {
    /// The limit of requests in all for an endpoint to begin another: its first, or a further one.
    pub(super) fn requests_for(&self, is_first: bool) -> usize {
        match is_first {
            true => self.requests,
            false => self.requests.saturating_sub(self.requests_reserved),
        }
    }
}
