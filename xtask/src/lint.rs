//! `cargo xtask lint`: the static checks.

use clap::Args;

use crate::failure::Result;
use crate::step;

/// Check formatting, clippy, the protos and the dependencies (the first steps of `test`)
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result {
    step::run_all(&step::choose(&[
        "fmt",
        "buf",
        "proto-format",
        "proto-breaking",
        "deny",
        "yanked",
        "clippy",
    ])?)
}
