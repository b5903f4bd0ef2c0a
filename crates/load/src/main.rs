//! The load generator of `cargo xtask bench`. It starts `keeptrusts-webhooks serve` on a new database,
//! publishes over gRPC as fast as possible (or at a fixed rate), receives the deliveries over HTTPS,
//! checks that each came exactly once, and reports throughput, latency and CPU time.
//!
//! Everything runs on the loopback and ends with this process. Load, receiver, server and database
//! share the machine's cores, so compare figures only with those of the same idle machine.
//!
//! Start reading at [`run`].
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command-line program")]

mod arrivals;
mod disk;
mod error;
mod options;
mod platform;
mod process_usage;
mod publishers;
mod receiver;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::error::LoadError;
use crate::options::Options;
use crate::run::Measurement;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options).await {
        Ok(measured) if measured.iter().all(|measured| measured.problems.is_empty()) => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// One run for each database, and the report.
async fn measure(options: &Options) -> Result<Vec<Measurement>, LoadError> {
    disk::use_for_temporary_files(&options.directory)?;
    println!("{}", report::conditions(options));
    let mut measured = Vec::new();
    for case in options.cases() {
        println!("  {case} …");
        measured.push(run::run(options, case).await?);
    }
    println!("\n{}{}", report::table(&measured), report::cost_of_traces(&measured));
    for (case, problem) in report::problems(&measured) {
        eprintln!("error: {case}: {problem}");
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", report::json(options, &measured)))
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    Ok(measured)
}
