//! Installs what the code of `clients/` is generated and tested with: protoc, its generators and test
//! runners from PyPI, and what the TypeScript client depends on from npm, below that client as Node
//! wants it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{installation, python};
use crate::failure::{Failure, Result};
use crate::{shell, workspace};

pub(super) fn python(directory: &Path) -> PathBuf {
    directory.join("bin/python")
}

pub(super) fn prepare(directory: &Path) -> Result<String> {
    let pins = workspace::root().join("xtask/python/clients.txt");
    if !installation::is_installed(directory, &pins) || protoc(directory).is_err() {
        println!("    installing protoc and the generators of clients/ from PyPI");
        python::install(directory, &pins)?;
        installation::mark_installed(directory, &pins)?;
    }
    let package = workspace::root().join("clients/typescript");
    let modules = package.join("node_modules");
    let lock = package.join("package-lock.json");
    if !installation::is_installed(&modules, &lock) {
        println!("    installing what clients/typescript depends on from the npm registry");
        if !shell::succeeds(Command::new("npm").arg("--version")) {
            return Err(Failure::new("npm is not found: install Node.js 20 or newer with npm"));
        }
        shell::run_quietly(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&package),
        )?;
        installation::mark_installed(&modules, &lock)?;
    }
    Ok(format!("{} with its generators, and clients/typescript/node_modules", protoc(directory)?))
}

fn protoc(directory: &Path) -> Result<String> {
    let mut command = Command::new(python(directory));
    let said = shell::run_quietly(command.args(["-m", "grpc_tools.protoc", "--version"]))?;
    Ok(said.trim().replace("libprotoc", "protoc"))
}
