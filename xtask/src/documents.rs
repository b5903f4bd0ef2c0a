//! `cargo xtask documents`: generates parts of the documents from the programs.

use clap::Args;

use crate::failure::Result;
use crate::{shell, workspace};

/// Write the tables of docs/configuration.md, from the flags of every program, and docs/api, from the protos
///
/// Tests compare the pages with the programs and the protos; run this when they say so.
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result {
    let mut build = workspace::cargo(&["build", "--workspace", "--bins"]);
    println!("==> build: {}", shell::words(&build));
    shell::run(&mut build)?;

    for (test, name) in [("reference", "the_reference"), ("e2e", "help::configuration")] {
        let mut write = workspace::cargo(&["test", "--workspace", "--test", test, name]);
        write.env("KEEPTRUSTS_WRITE_DOCUMENTS", "1");
        println!("==> write: {}", shell::words(&write));
        shell::run(&mut write)?;
    }
    Ok(())
}
