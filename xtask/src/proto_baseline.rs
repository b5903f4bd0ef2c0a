//! `cargo xtask proto-baseline`: the contracts as they were released, which later ones may not break.

use std::process::Command;

use clap::Args;

use crate::failure::Result;
use crate::{shell, workspace};

/// Written as buf reads it: a workspace with its buf.yaml.
pub(crate) const PATH: &str = "crates/contracts/baseline.tar.gz";

/// Make the protos as they are now the baseline of `buf breaking`
///
/// For a release, and for nothing else: what is in the baseline has users.
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result {
    // The same protos make the same bytes.
    let mut tar = Command::new("tar");
    tar.args(["--create", "--use-compress-program=gzip --no-name --best", "--file", PATH])
        .args(["--sort=name", "--format=ustar", "--mtime=@0", "--mode=a=rX,u+w"])
        .args(["--owner=0", "--group=0", "--numeric-owner"])
        .args(["buf.yaml", "proto", "crates/contracts/imports"])
        .current_dir(workspace::root());
    println!("==> {}", shell::words(&tar));
    shell::run(&mut tar)
}
