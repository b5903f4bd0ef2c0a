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
mod machine;
mod options;
mod platform;
mod process_usage;
mod publishers;
mod receiver;
mod report;
mod run;

use std::path::{Path, PathBuf};
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
    let conditions = report::conditions(options);
    println!("{conditions}");
    let mut measured = Vec::new();
    for case in options.cases() {
        println!("  {case} …");
        measured.push(run::run(options, case).await?);
    }
    let tables = format!("{}{}", report::table(&measured), report::cost_of_traces(&measured));
    println!("\n{tables}");
    for (case, problem) in report::problems(&measured) {
        eprintln!("error: {case}: {problem}");
    }
    if let Some(folder) = &options.keep {
        let markdown = format!("{conditions}\n\n{tables}");
        keep(folder, &markdown, &report::json(options, &measured))?;
    }
    Ok(measured)
}

/// Writes the figures to two new files, named after the time.
fn keep(folder: &Path, markdown: &str, json: &serde_json::Value) -> Result<(), LoadError> {
    let name = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let write = |path: PathBuf, content: &str| {
        std::fs::write(&path, content)
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
        println!("kept in {}", path.display());
        Ok::<_, LoadError>(())
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    write(folder.join(format!("{name}.md")), markdown)?;
    write(folder.join(format!("{name}.json")), &format!("{json:#}\n"))
}
