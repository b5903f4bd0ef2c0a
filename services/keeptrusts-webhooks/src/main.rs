//! `keeptrusts-webhooks`: all services in one process.

mod demo;
mod interruption;
mod operator;
mod organization;
mod platform;
mod progress;
mod rebuild;
mod rotate_master_key;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use keeptrusts_webhooks_process::command_line::{self, EnvironmentFlags};
use keeptrusts_webhooks_process::exit;

use crate::interruption::exit_status;

/// Keeptrusts Webhooks: delivers what happens in Keeptrusts as signed HTTPS requests.
///
/// Start with `keeptrusts-webhooks demo`, which shows the whole story in a few seconds and
/// needs nothing else.
#[derive(Debug, Parser)]
#[command(version, name = "keeptrusts-webhooks")]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all services in one process, on an embedded SQLite database or on Postgres.
    ///
    /// Every flag is also an environment variable: KEEPTRUSTS_WEBHOOKS_ and its name.
    ///
    /// Example: keeptrusts-webhooks serve --data-dir /var/lib/keeptrusts-webhooks
    Serve(Box<serve::ServeCommand>),
    /// Show the whole story: a receiver, an endpoint, every event type, retries, the delivery log.
    Demo(demo::DemoCommand),
    /// Look after the log.
    #[command(subcommand)]
    Log(LogCommand),
    RotateMasterKey(rotate_master_key::RotateMasterKeyCommand),
    /// Look after an organization.
    #[command(subcommand)]
    Organization(organization::OrganizationCommand),
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Rebuild the tables from the log, or check that they are what the log says.
    ///
    /// The tables that are read from (endpoints, events, deliveries, attempts, counts) are
    /// computed from the log. This computes them again, shard by shard, each in one transaction;
    /// appends to that shard wait meanwhile. Bodies are left alone.
    ///
    /// The database must be there. A SQLite database belongs to one process: stop the server before.
    /// On Postgres servers may run.
    ///
    /// It can be interrupted: the shard under way stays as it was. Run it again then, and it begins
    /// with the first shard.
    ///
    /// Exit status: 0, done, and with --check nothing differs; 1, --check has found differences;
    /// 2, wrong flags; 3, not done, for the reason that is printed; 130 or 143, interrupted by
    /// SIGINT or SIGTERM.
    Rebuild(rebuild::RebuildCommand),
}

fn main() -> ExitCode {
    let (program, given) = command_line::parse::<Program>();
    match program.command {
        command @ Command::Serve(_) => exit::run(run(command, &given)),
        command => exit::run_command(run(command, &given)),
    }
}

async fn run(command: Command, given: &EnvironmentFlags) -> ExitCode {
    let is_of_log = matches!(command, Command::Log(_));
    let ran = match command {
        Command::Serve(command) => serve::run(*command).await,
        Command::Demo(_) => demo::run().await,
        Command::RotateMasterKey(command) => rotate_master_key::run(command).await,
        Command::Organization(command) => organization::run(command).await,
        Command::Log(LogCommand::Rebuild(command)) => match rebuild::run(command).await {
            Ok(rebuild::RebuildResult::TablesMatch) => Ok(()),
            Ok(rebuild::RebuildResult::Differences) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
    };
    // An interrupted command has the exit status of its signal.
    let interrupted = ran.as_ref().err().and_then(|error| exit_status(error.as_ref()));
    let not_done = (ran.is_err() && is_of_log).then(|| ExitCode::from(rebuild::EXIT_NOT_DONE));
    let status = exit::status(ran, given);
    interrupted.or(not_done).unwrap_or(status)
}
