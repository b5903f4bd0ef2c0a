//! The tasks of a developer and of CI, as `cargo xtask <task>`.
//!
//! One file per subcommand. They share `step` (the steps and how they run) and `tools` (programs that
//! are found or installed first). Depends on clap only, so that it builds in seconds.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command-line program")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod bench;
mod clients;
mod deployment;
mod documents;
mod failure;
mod growth;
mod lint;
mod proto_baseline;
mod shell;
mod step;
mod supply_chain;
mod test;
mod tools;
mod unit_tests;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer tasks of Keeptrusts Webhooks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Test(test::Arguments),
    Lint(lint::Arguments),
    Bench(bench::Arguments),
    Growth(growth::Arguments),
    Documents(documents::Arguments),
    ProtoBaseline(proto_baseline::Arguments),
    Clients(clients::Arguments),
    Tools(tools::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Lint(arguments) => lint::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Growth(arguments) => growth::run(&arguments),
        Task::Documents(arguments) => documents::run(&arguments),
        Task::ProtoBaseline(arguments) => proto_baseline::run(&arguments),
        Task::Clients(arguments) => clients::run(&arguments),
        Task::Tools(arguments) => tools::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}
