//! What opening a database may make or change.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::Migrator;

/// What opening a database may make or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Whatever is missing is made, and tables are brought up to date: for a server.
    Make,
    /// The database must be there; its tables are brought up to date: for a command, which would
    /// otherwise work on an empty database that a mistyped name has made.
    Existing,
    /// The database must be there with the tables of this version. Nothing is changed.
    Unchanged,
}

impl OpenMode {
    /// Whether a database that is not there is made.
    pub(crate) fn makes(self) -> bool {
        self == OpenMode::Create
    }

    /// Whether tables of an older version are brought up to date.
    pub(crate) fn migrates(self) -> bool {
        self != OpenMode::Unchanged
    }
}

/// A migration, by its number and by what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppliedMigration {
    pub(crate) version: i64,
    pub(crate) checksum: Vec<u8>,
}

/// From its columns.
impl From<(i64, Vec<u8>)> for AppliedMigration {
    fn from((version, checksum): (i64, Vec<u8>)) -> AppliedMigration {
        AppliedMigration { version, checksum }
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
    /// A migration says something else than the one of its number does here: the program that made
    /// the tables was never released. What its other migrations were is of no matter.
    Unreleased,
}

/// Compares the migrations that were applied with those that this version knows.
pub(crate) fn standing(applied: &[AppliedMigration], known: &Migrator) -> Standing {
    compare(applied, known.iter().map(|known| (known.version, &*known.checksum)))
}

fn compare<'a>(
    applied: &[AppliedMigration],
    known: impl IntoIterator<Item = (i64, &'a [u8])>,
) -> Standing {
    let known: BTreeMap<i64, &[u8]> = known.into_iter().collect();
    let is_changed = |applied: &AppliedMigration| {
        known.get(&applied.version).is_some_and(|checksum| *checksum != applied.checksum)
    };
    if applied.iter().any(is_changed) {
        return Standing::Unreleased;
    }
    let versions: BTreeSet<i64> = applied.iter().map(|applied| applied.version).collect();
    if let Some(newer) = versions.iter().find(|version| !known.contains_key(version)) {
        return Standing::Newer(*newer);
    }
    match versions.len() == known.len() {
        true => Standing::Current,
        false => Standing::Older(versions.last().copied().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_current_only_with_every_migration_and_no_other() {
        let standing = |applied: &[i64]| {
            let applied = applied.iter().map(|version| (*version, vec![7]).into());
            let known: [(i64, &[u8]); 2] = [(1, &[7]), (2, &[7])];
            compare(&applied.collect::<Vec<_>>(), known)
        };
        assert_eq!(standing(&[1, 2]), Standing::Current);
        assert_eq!(standing(&[1]), Standing::Older(1));
        assert_eq!(standing(&[2]), Standing::Older(2));
        assert_eq!(standing(&[]), Standing::Older(0));
        assert_eq!(standing(&[1, 2, 3]), Standing::Newer(3));
    }

    #[test]
    fn tables_whose_first_migration_was_another_are_of_a_program_that_was_never_released() {
        let of = |migrations: &[(i64, u8)]| {
            let applied = migrations.iter().map(|(version, sum)| (*version, vec![*sum]).into());
            compare(&applied.collect::<Vec<_>>(), [(1, [7].as_slice())])
        };
        assert_eq!(of(&[(1, 8)]), Standing::Unreleased);
        let thirteen: Vec<_> = (1..=13).map(|version| (version, 8)).collect();
        assert_eq!(of(&thirteen), Standing::Unreleased, "not newer, although it has more of them");
        assert_eq!(of(&[(1, 7), (2, 8)]), Standing::Newer(2));
    }
}
