//! SQL that both databases share: statements that differ only in a few words, and the rows that
//! they answer with.

mod audit;
pub(crate) mod candidates;
mod dialect;
mod due;
pub(crate) mod erased_page;
mod fold;
mod limit;
pub(crate) mod replay_scan;
pub(crate) mod rows;
mod select;
mod sums;

pub(crate) use self::audit::select_audit_records;
pub(crate) use self::due::{RowWithPosition, due_page, select_due_page, waiting_endpoints};
pub(crate) use self::fold::fold_records;
pub(crate) use self::limit::row_limit;
pub(crate) use self::select::{count, counted_by, grouped, select};
pub(crate) use self::sums::attempt_sums;
