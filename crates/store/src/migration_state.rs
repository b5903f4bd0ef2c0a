//! Which migrations a database has, compared with those that this version of the program knows.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::Migrator;

/// A migration in the database: its number, and the checksum of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppliedMigration {
    pub(crate) version: i64,
    pub(crate) checksum: Vec<u8>,
}

impl From<(i64, Vec<u8>)> for AppliedMigration {
    fn from((version, checksum): (i64, Vec<u8>)) -> AppliedMigration {
        AppliedMigration { version, checksum }
    }
}

/// How the tables of a database compare with this version of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MigrationState {
    /// Every known migration was applied, and no other.
    Current,
    /// Migrations are missing; this is the last one that was applied, 0 if none was.
    Older(i64),
    /// This migration is not known here.
    Newer(i64),
    /// A migration has another text than the one of its number here: an unreleased version of the
    /// program made the tables. Its other migrations do not matter.
    Unreleased,
}

/// Compares the migrations that were applied with those that this version knows.
pub(crate) fn migration_state(applied: &[AppliedMigration], known: &Migrator) -> MigrationState {
    compare(applied, known.iter().map(|known| (known.version, &*known.checksum)))
}

fn compare<'a>(
    applied: &[AppliedMigration],
    known: impl IntoIterator<Item = (i64, &'a [u8])>,
) -> MigrationState {
    let known: BTreeMap<i64, &[u8]> = known.into_iter().collect();
    let is_changed = |applied: &AppliedMigration| {
        known.get(&applied.version).is_some_and(|checksum| *checksum != applied.checksum)
    };
    if applied.iter().any(is_changed) {
        return MigrationState::Unreleased;
    }
    let versions: BTreeSet<i64> = applied.iter().map(|applied| applied.version).collect();
    if let Some(newer) = versions.iter().find(|version| !known.contains_key(version)) {
        return MigrationState::Newer(*newer);
    }
    match versions.len() == known.len() {
        true => MigrationState::Current,
        false => MigrationState::Older(versions.last().copied().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_current_only_with_every_migration_and_no_other() {
        let state = |applied: &[i64]| {
            let applied = applied.iter().map(|version| (*version, vec![7]).into());
            let known: [(i64, &[u8]); 2] = [(1, &[7]), (2, &[7])];
            compare(&applied.collect::<Vec<_>>(), known)
        };
        assert_eq!(state(&[1, 2]), MigrationState::Current);
        assert_eq!(state(&[1]), MigrationState::Older(1));
        assert_eq!(state(&[2]), MigrationState::Older(2));
        assert_eq!(state(&[]), MigrationState::Older(0));
        assert_eq!(state(&[1, 2, 3]), MigrationState::Newer(3));
    }

    #[test]
    fn tables_whose_first_migration_was_another_are_of_a_program_that_was_never_released() {
        let of = |migrations: &[(i64, u8)]| {
            let applied = migrations.iter().map(|(version, sum)| (*version, vec![*sum]).into());
            compare(&applied.collect::<Vec<_>>(), [(1, [7].as_slice())])
        };
        assert_eq!(of(&[(1, 8)]), MigrationState::Unreleased);
        let thirteen: Vec<_> = (1..=13).map(|version| (version, 8)).collect();
        assert_eq!(
            of(&thirteen),
            MigrationState::Unreleased,
            "not newer, although it has more of them"
        );
        assert_eq!(of(&[(1, 7), (2, 8)]), MigrationState::Newer(2));
    }
}
