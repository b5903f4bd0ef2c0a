//! The command line.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures whether lists, searches and counts stay fast as the log grows.
///
/// Fills a new SQLite database and a new Postgres database through the log, always with the same
/// history, and asks each question of the API and the console at each size. Exit status 0 only if
/// every question takes at most the limit at every size, and none grows with the log.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask growth", bin_name = "cargo xtask growth")]
#[command(after_help = "Examples:
  cargo xtask growth                                       both databases, up to a million deliveries
  cargo xtask growth --database sqlite --sizes 10000,100000
  cargo xtask growth --database sqlite --keep /var/tmp/growth --sizes 1000000
                                                           goes on with the database that is there")]
pub(crate) struct Options {
    /// Only this database [default: both, one after the other]
    #[arg(long, value_enum)]
    database: Option<DatabaseKind>,

    /// At how many deliveries to measure
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',',
          default_values_t = [10_000, 100_000, 1_000_000],
          value_parser = clap::value_parser!(u64).range(100..=20_000_000))]
    sizes: Vec<u64>,

    /// The most that a question may take, by the median of its runs
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit_ms: u64,

    /// How often each question is asked
    #[arg(long, value_name = "NUMBER", default_value_t = 9,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) repeat: u32,

    /// Another history: what happens to which delivery follows from this number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Keep the SQLite database in this folder, and go on with one that is there; with the same seed
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,

    /// Where a database is made that is not kept
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    pub(crate) directory: PathBuf,

    /// Where the figures are written: Markdown, JSON and a chart (SVG) for each database
    #[arg(long, value_name = "FOLDER", overrides_with = "output")]
    pub(crate) output: PathBuf,
}

/// A database that the platform can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseKind {
    /// The embedded one
    Sqlite,
    /// A private cluster
    Postgres,
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            DatabaseKind::Sqlite => "sqlite",
            DatabaseKind::Postgres => "postgres",
        })
    }
}

impl Options {
    pub(crate) fn databases(&self) -> Vec<DatabaseKind> {
        match self.database {
            Some(kind) => vec![kind],
            None => vec![DatabaseKind::Sqlite, DatabaseKind::Postgres],
        }
    }

    /// From the least to the greatest, each once.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.sizes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms)
    }
}
