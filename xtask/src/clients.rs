//! `cargo xtask clients` and the steps that hold `clients/` to the protos and to a real server.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::failure::{Failure, Result};
use crate::tools::{self, Tool};
use crate::{shell, workspace};

/// What the code of the clients is generated and tested with.
pub(crate) const TOOLS: &[Tool] = &[Tool::Clients, Tool::Go];

/// Generate the code of clients/ and crates/client from proto/
///
/// A step of `cargo xtask test` compares them; run this when it says so.
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result {
    tools::prepare(&TOOLS.iter().copied().collect())?;
    for mut command in [generate(), generate_rust()] {
        println!("==> generate: {}", shell::words(&command));
        shell::run(&mut command)?;
    }
    Ok(())
}

/// The test that holds the Rust client's code to the protos writes it, too.
fn generate_rust() -> Command {
    let package = ["--package", "keeptrusts-webhooks-client", "--test", "generated_code"];
    let mut command = workspace::cargo(&[&["test", "--quiet"], &package[..]].concat());
    command.env("UPDATE_GENERATED_CODE", "1");
    command
}

/// Compares the generated code with what is there.
pub(crate) fn check() -> Command {
    let mut command = generate();
    command.arg("--check");
    command
}

fn generate() -> Command {
    let mut command = generator();
    if tools::go_path().is_some() {
        command.arg("--go");
    }
    command
}

fn generator() -> Command {
    let mut command = Command::new(tools::clients_python());
    command.arg("clients/generate.py").current_dir(workspace::root());
    command
}

/// Runs the checks and tests of each client, against the server that the `build` step has built.
pub(crate) fn test() -> Result {
    let clients = workspace::root().join("clients");
    let server = workspace::target()?.join("debug/keeptrusts-webhooks");
    let run = |mut command: Command, folder: &Path| {
        println!("--> {}", shell::words(&command));
        command.env("KEEPTRUSTS_WEBHOOKS_BINARY", &server).current_dir(folder);
        shell::run(&mut command)
    };

    let python = clients.join("python");
    for arguments in [["-m", "mypy"], ["-m", "pytest"]] {
        let mut command = Command::new(tools::clients_python());
        command.args(arguments);
        run(command, &python)?;
    }

    let mut npm = Command::new("npm");
    npm.args(["test", "--silent"]);
    run(npm, &clients.join("typescript"))?;

    let Some(go_path) = tools::go_path() else {
        println!("--> SKIPPED: Go's client is not tested here; the line of the tools says why");
        return Ok(());
    };
    // Debian has no package with buf/validate for Go.
    let mut validate = generator();
    validate.arg("--go-validate").arg(go_path.join("src"));
    run(validate, workspace::root())?;
    // Below Go's path, where imports are looked for.
    let folder = go_path.join("src/github.com/keeptrusts/webhooks/clients/go");
    let unformatted =
        shell::run_quietly(Command::new("gofmt").args(["-l", "."]).current_dir(&folder))?;
    if !unformatted.is_empty() {
        return Err(Failure::new(format!("`gofmt -w` in clients/go would change:\n{unformatted}")));
    }
    for arguments in [["vet", "./..."], ["test", "./..."]] {
        let mut command = Command::new("go");
        command.args(arguments).envs(tools::go_environment(&go_path)).env("PWD", &folder);
        run(command, &folder)?;
    }
    Ok(())
}
