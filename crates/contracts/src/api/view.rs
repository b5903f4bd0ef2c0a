//! How much of a resource a response has, as AIP-157 describes it.

use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::optional_enum;
use crate::enum_names::EnumNames;
use crate::v1;

/// The stored bytes of headers and bodies that one read of a list returns, if its first item alone does
/// not have more. A page of 4 MiB takes few reads, and little is read in vain.
pub const CONTENT_BYTES_PER_READ: usize = 1024 * 1024;

/// How much of a resource a response has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Without headers, bodies and attempts.
    Basic,
    /// Everything.
    Full,
}

impl View {
    /// The default of lists.
    pub(super) const OF_LISTS: View = View::Basic;

    /// The view that a request asks for, or its method's default. `M` is the resource's enum.
    pub(super) fn of<M>(number: i32, default: View) -> Result<View, Violation>
    where
        M: TryFrom<i32> + Into<Option<View>> + EnumNames,
    {
        Ok(optional_enum::<M, View>("view", number)?.unwrap_or(default))
    }
}

macro_rules! views {
    ($($message:ident),*) => {
        $(
            /// None: unspecified.
            impl From<v1::$message> for Option<View> {
                fn from(view: v1::$message) -> Self {
                    match view {
                        v1::$message::Unspecified => None,
                        v1::$message::Basic => Some(View::Basic),
                        v1::$message::Full => Some(View::Full),
                    }
                }
            }
        )*
    };
}

views!(AttemptView, DeliveryView, EventView);

/// The first rows whose content is read at once: one, and more as long as they have at most
/// [`CONTENT_BYTES_PER_READ`] together.
pub fn rows_of_one_read<Row>(rows: &[Row], bytes: impl Fn(&Row) -> usize) -> &[Row] {
    let count = rows_within(rows, CONTENT_BYTES_PER_READ, bytes).len().max(1);
    &rows[..count.min(rows.len())]
}

/// The first rows that have no more than `limit` together.
pub fn rows_within<Row>(rows: &[Row], limit: usize, size: impl Fn(&Row) -> usize) -> &[Row] {
    let mut left = limit;
    let fits = |row: &&Row| {
        let rest = left.checked_sub(size(row));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    &rows[..rows.iter().take_while(fits).count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_has_one_row_and_more_as_long_as_they_are_small() {
        let all = CONTENT_BYTES_PER_READ;
        for (rows, read) in [
            (vec![], 0),
            (vec![0, 0, 0], 3),
            (vec![all, 0, 0], 3),
            (vec![all, 1, 0], 1),
            (vec![all + 1, 0], 1),
            (vec![1, all, 0], 1),
            (vec![all / 4; 9], 4),
        ] {
            assert_eq!(rows_of_one_read(&rows, |bytes| *bytes).len(), read, "{rows:?}");
        }
    }
}
