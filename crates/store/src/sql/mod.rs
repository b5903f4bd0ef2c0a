//! Statements that both databases understand but for a few words, written once, and the rows that
//! they answer with.

mod audit;
pub(crate) mod candidates;
mod dialect;
pub(crate) mod rows;
mod select;
mod sums;

pub(crate) use self::audit::select_audit_records;
pub(crate) use self::select::{count, grouped, select};
pub(crate) use self::sums::attempt_sums;
