//! How much the stages hand on and read at once.

/// Messages that one stage may hand to the next before it must wait.
pub(super) const STAGE_CAPACITY: usize = 1_024;
pub(super) const RECORDS_PER_READ: usize = 1_000;
pub(super) const ENDPOINTS_PER_PAGE: usize = 500;
