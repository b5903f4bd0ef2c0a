//! What opening a database may make or change.

use std::collections::BTreeSet;

/// What opening a database may make or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Whatever is missing is made, and tables are brought up to date: for a server.
    Make,
    /// The database must be there; its tables are brought up to date: for a command, which would
    /// otherwise work on an empty database that a mistyped name has made.
    Existing,
    /// The database must be there with the tables of this version. Nothing is changed.
    Unchanged,
}

impl Opening {
    /// Whether a database that is not there is made.
    pub(crate) fn makes(self) -> bool {
        self == Opening::Make
    }

    /// Whether tables of an older version are brought up to date.
    pub(crate) fn migrates(self) -> bool {
        self != Opening::Unchanged
    }
}

/// What the tables of a database are to this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What it needs.
    Current,
    /// Migrations are missing; this is the last one that was applied, 0 if none was.
    Older(i64),
    /// This migration is not known here.
    Newer(i64),
}

/// Compares the migrations that were applied with those that this version knows.
pub(crate) fn standing(
    applied: impl IntoIterator<Item = i64>,
    known: impl IntoIterator<Item = i64>,
) -> Standing {
    let applied: BTreeSet<i64> = applied.into_iter().collect();
    let known: BTreeSet<i64> = known.into_iter().collect();
    if let Some(newer) = applied.difference(&known).next() {
        return Standing::Newer(*newer);
    }
    match applied == known {
        true => Standing::Current,
        false => Standing::Older(applied.last().copied().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_current_only_with_every_migration_and_no_other() {
        assert_eq!(standing([1, 2], [1, 2]), Standing::Current);
        assert_eq!(standing([1], [1, 2]), Standing::Older(1));
        assert_eq!(standing([2], [1, 2]), Standing::Older(2));
        assert_eq!(standing([], [1, 2]), Standing::Older(0));
        assert_eq!(standing([1, 2, 3], [1, 2]), Standing::Newer(3));
    }
}
