//! How a database is opened: what may be created or migrated.

/// What opening a database may create or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Creates what is missing and migrates the tables: for a server.
    Create,
    /// The database must exist; its tables are migrated: for a command, which would otherwise work
    /// on an empty database that a mistyped name has created.
    Existing,
    /// The database must exist with the tables of this version. Nothing is changed.
    Unchanged,
}

impl OpenMode {
    /// Whether a database that does not exist is created.
    pub(crate) fn creates(self) -> bool {
        self == OpenMode::Create
    }

    /// Whether tables of an older version are migrated.
    pub(crate) fn migrates(self) -> bool {
        self != OpenMode::Unchanged
    }
}
