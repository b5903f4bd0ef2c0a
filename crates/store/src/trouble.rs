//! Why a database does not do what it is asked: as much as everybody may know.

use std::error::Error;
use std::fmt;

use crate::{postgres, sqlite};

/// A cause that passes when somebody does something about it, or by itself. What the database has
/// said besides is for the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room for what is to be written.
    DiskFull,
    /// It takes no writes: a standby, or an operator wants it so.
    ReadOnly,
    /// The operating system reports errors of its files.
    FilesFail,
    /// It has too many connections, or too little memory.
    Overloaded,
    /// It has not said anything for longer than it should take.
    Silent,
    /// Anything else: it is away, or about to be.
    Unreachable,
}

impl Trouble {
    /// What lies behind an error of either database.
    pub(crate) fn behind(error: &(dyn Error + Send + Sync + 'static)) -> Trouble {
        let said = postgres::trouble_of(error).or_else(|| sqlite::trouble_of(error));
        said.unwrap_or(Trouble::Unreachable)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::DiskFull => "the disk is full",
            Trouble::ReadOnly => "it is read-only",
            Trouble::FilesFail => "its files cannot be read or written",
            Trouble::Overloaded => "it is overloaded",
            Trouble::Silent => "it does not answer",
            Trouble::Unreachable => "it cannot be reached",
        })
    }
}
