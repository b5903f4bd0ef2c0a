//! How much the stages read and hand on at once.

/// Messages that wait between two stages before the sender has to wait.
pub(super) const STAGE_CAPACITY: usize = 1_024;
pub(super) const RECORDS_PER_READ: usize = 1_000;
pub(super) const ENDPOINTS_PER_PAGE: usize = 500;
