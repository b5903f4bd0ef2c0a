//! The measurement of `cargo xtask growth`: whether the queries of the API and the console take as long
//! in a large log as in a small one.
//!
//! It fills a database through [`Store::append`](keeptrusts_webhooks_store::Store::append)
//! ([`history`]), stops at several sizes, asks every question ([`questions`], [`measure`]), and judges
//! and shows the times ([`verdict`], [`report`], [`chart`]).
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command-line program")]

mod chart;
mod database;
mod error;
mod history;
mod measure;
mod options;
mod questions;
mod report;
mod verdict;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use crate::database::Database;
use crate::error::GrowthError;
use crate::measure::Line;
use crate::options::{DatabaseKind, Options};
use crate::verdict::{Problem, problems};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            problems.iter().for_each(|problem| eprintln!("error: {problem}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures each database, and writes the reports of each.
async fn run(options: &Options) -> Result<Vec<Problem>, GrowthError> {
    let mut all = Vec::new();
    for kind in options.databases() {
        let lines = grow(options, kind).await?;
        let problems = problems(kind, &lines, options.limit());
        report::write(options, kind, &lines, &problems)?;
        all.extend(problems);
    }
    Ok(all)
}

/// Fills a database step by step, and asks every question at each size.
async fn grow(options: &Options, kind: DatabaseKind) -> Result<Vec<Line>, GrowthError> {
    if let Some(folder) = &options.keep {
        fs::create_dir_all(folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    }
    let database = Database::open(options, kind).await?;
    let sizes = options.sizes();
    let largest = sizes.last().copied().unwrap_or_default();
    let there = database.deliveries().await?;
    if let Some(size) = sizes.iter().find(|size| **size < there) {
        println!("{kind}: {there} deliveries are there already; {size} and fewer are not measured");
    }
    let mut lines = Vec::new();
    for size in sizes.into_iter().filter(|size| *size >= there) {
        database.fill(size, largest).await?;
        println!("{kind}: {size} deliveries, {} MB", database.bytes().await? / 1_000_000);
        measure::measure(&database, size, options.repeat, &mut lines).await?;
    }
    database.close().await;
    Ok(lines)
}
