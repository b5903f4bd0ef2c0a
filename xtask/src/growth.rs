//! `cargo xtask growth`: whether queries stay fast as the log grows.

use std::collections::BTreeSet;
use std::process::Command;

use clap::Args;

use crate::failure::Result;
use crate::tools::{self, Tool};
use crate::{shell, workspace};

/// Nearly all of the time is spent in SQLite and Postgres, which `dist` does not make faster.
const PROFILE: &str = "release";

/// Measure whether lists, searches and counts stay fast as the log grows, on SQLite and on Postgres
///
/// Fills a database through the log, up to a million deliveries by default, and asks each question of
/// the API and the console at each size, for its first page and for one in the middle. Writes Markdown,
/// JSON and a chart (SVG) to target/growth. Fails, and names the question, if one takes more than the
/// limit or grows with the log. All options are those of crates/growth: see
/// `cargo xtask growth -- --help`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask growth                                         both databases, up to a million deliveries
  cargo xtask growth --database sqlite --sizes 10000,100000  a first look
  cargo xtask growth --database sqlite --sizes 5000000 --keep /var/tmp/growth
                                                             keeps the database, and goes on with it")]
pub(crate) struct Arguments {
    /// Options of the measurement
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result {
    println!("==> tools: find or install a Postgres server");
    tools::prepare(&BTreeSet::from([Tool::Postgres]))?;

    let package = "keeptrusts-webhooks-growth";
    let mut build = workspace::cargo(&["build", "--profile", PROFILE, "--package", package]);
    println!("==> build: {}", shell::words(&build));
    shell::run(&mut build)?;

    let target = workspace::target()?;
    let mut growth = Command::new(target.join(PROFILE).join("growth"));
    growth.arg("--output").arg(target.join("growth"));
    growth.args(&arguments.options).envs(tools::environment());
    println!("==> growth: {}", shell::words(&growth));
    shell::run(&mut growth)
}
