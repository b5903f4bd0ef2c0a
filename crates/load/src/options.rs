//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures how many deliveries a second `keeptrusts-webhooks serve` makes, what they cost, and
/// how long they take.
///
/// Everything runs on this machine: publishers, receiver, server and database share its cores.
/// Exit status 0 only if every event that was acknowledged was delivered exactly once.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Options {
    /// Only this database [default: both, one after the other]
    #[arg(long, value_enum)]
    database: Option<Database>,

    /// How many publish at the same time, each waiting for its acknowledgement
    #[arg(long, value_name = "NUMBER", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) publishers: u32,

    /// Publish on so many streams (StreamEvents), as fast as they are read, instead of by calls
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) streams: Option<u32>,

    /// How long to publish
    #[arg(long, value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// Publish at this rate [default: as fast as it goes]
    #[arg(long, value_name = "EVENTS PER SECOND",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,

    /// How many endpoints subscribe: each event is delivered to every one of them
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) endpoints: u16,

    /// The size of an event's data
    #[arg(long, value_name = "BYTES", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(16..=256 * 1_024))]
    payload_bytes: u32,

    /// Before publishing, do nothing for so long and measure what that costs
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=600))]
    idle_seconds: u32,

    /// Measure each database a second time, with this share of the traces recorded and sent to a
    /// collector in this process
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    traces: Option<f64>,

    /// Measure all of it so many times, in turns; the last lines compare medians
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=20))]
    repeat: u8,

    /// Where the databases are made; must be on a disk, which commits have to wait for
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    pub(crate) directory: PathBuf,

    /// Write the figures to files in this folder as well, as JSON and as Markdown, named after the time
    #[arg(long, value_name = "FOLDER", overrides_with = "keep")]
    pub(crate) keep: Option<PathBuf>,

    /// What is measured, for the report: a commit, for example
    #[arg(long, value_name = "TEXT", default_value = "", overrides_with = "label")]
    pub(crate) label: String,
}

/// A database that the platform can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    /// The embedded one
    Sqlite,
    /// A private cluster with fsync on
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        })
    }
}

/// What one run measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BenchmarkCase {
    pub(crate) database: Database,
    /// The share of the traces that is recorded. `None`: without a collector.
    pub(crate) traces: Option<f64>,
}

impl fmt::Display for BenchmarkCase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.traces {
            Some(_) => write!(formatter, "{}, traced", self.database),
            None => self.database.fmt(formatter),
        }
    }
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio: Option<f64> = text.parse().ok();
    let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("write a number from 0 to 1, such as 0.01")
}

impl Options {
    /// The runs, in order.
    pub(crate) fn cases(&self) -> Vec<BenchmarkCase> {
        let databases = match self.database {
            Some(database) => vec![database],
            None => vec![Database::Sqlite, Database::Postgres],
        };
        let with = self.traces.map(Some);
        let each = |database| {
            [None].into_iter().chain(with).map(move |traces| BenchmarkCase { database, traces })
        };
        let once: Vec<_> = databases.into_iter().flat_map(each).collect();
        once.repeat(usize::from(self.repeat))
    }

    pub(crate) fn publish_time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// How long to do nothing first.
    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.into())
    }

    /// The data of every event: a JSON object of exactly the size asked for.
    pub(crate) fn data(&self) -> String {
        const FRAME: &str = r#"{"padding":""}"#;
        let padding = (self.payload_bytes as usize).saturating_sub(FRAME.len());
        FRAME.replace(r#""""#, &format!(r#""{}""#, "x".repeat(padding)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_of_the_size_asked_for() {
        for size in [16, 1_024, 256 * 1_024] {
            let size_flag = format!("--payload-bytes={size}");
            let options = Options::try_parse_from(["load", &size_flag]).expect("right flags");
            let data = options.data();
            assert_eq!(data.len(), size);
            let value: serde_json::Value = serde_json::from_str(&data).expect("JSON");
            assert!(value.is_object());
        }
    }
}
