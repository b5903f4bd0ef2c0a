//! `cargo xtask bench`: measures throughput, CPU time and latency.

use std::collections::BTreeSet;
use std::process::Command;

use clap::Args;

use crate::failure::Result;
use crate::tools::{self, Tool};
use crate::{shell, workspace};

/// The profile of deploy/Dockerfile, so that the deployed program is measured.
const PROFILE: &str = "dist";

/// Measure throughput, CPU time and latency, on SQLite and on Postgres
///
/// Builds the binaries as they are deployed (profile `dist`), starts `keeptrusts-webhooks serve` and an
/// HTTPS receiver, and publishes over gRPC. Before each run it measures what the machine can do at all,
/// bare requests and bare appends, and reports the figures as shares of that too: compare those between
/// runs, because the machine's own speed varies from hour to hour. Keeps all figures in target/bench.
/// Fails if an acknowledged event was not delivered exactly once. All options are those of the load
/// generator in crates/load: see `cargo xtask bench -- --help`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench                                      256 publishers, as fast as it goes
  cargo xtask bench --database sqlite --repeat 3         one database, three runs
  cargo xtask bench --endpoints 10 --seconds 5           every event to ten endpoints
  cargo xtask bench --rate 200 --idle-seconds 20         a gentle load, and none at all
  cargo xtask bench --traces 0.01                        without traces, and with one in a hundred")]
pub(crate) struct Arguments {
    /// Options of the load generator
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result {
    println!("==> tools: find or install a Postgres server");
    tools::prepare(&BTreeSet::from([Tool::Postgres]))?;

    let packages = ["keeptrusts-webhooks", "keeptrusts-webhooks-load"];
    let mut build = workspace::cargo(&["build", "--profile", PROFILE]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    println!("==> build: {}", shell::words(&build));
    shell::run(&mut build)?;

    let target = workspace::target()?;
    let mut load = Command::new(target.join(PROFILE).join("load"));
    load.arg("--keep").arg(target.join("bench"));
    if let Some(commit) = commit() {
        load.args(["--label", &commit]);
    }
    load.args(&arguments.options).envs(tools::environment());
    println!("==> load: {}", shell::words(&load));
    shell::run(&mut load)
}

/// The commit that is measured, and whether it was changed since. None without a repository.
fn commit() -> Option<String> {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(described.stdout).ok()?;
    described.status.success().then(|| text.trim().to_owned())
}
