//! The status of calls that the end of the process cuts short.

use keeptrusts_webhooks_contracts::status::{self, Reason};
use tonic::Status;

use super::limits::RETRY_DELAY;

/// UNAVAILABLE, and the client does not know whether the call had an effect.
pub(super) fn shutting_down() -> Status {
    let message = "this process is shutting down, and what was asked for may or may not have been done: ask again, another one will answer";
    status::unavailable(Reason::ShuttingDown, message, RETRY_DELAY)
}
