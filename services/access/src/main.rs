//! `access-service`: keys and the audit trail in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::{ServiceProcess, ServiceProcessFlags};
use keeptrusts_webhooks_access_service::{AccessApi, AuditApi};
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::{command_line, exit};
use keeptrusts_webhooks_store::system_clock;

/// Makes and revokes keys, and shows the audit trail: the access service, on a Postgres database
/// that it shares with the other services.
///
/// Example: access-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = "access-service")]
struct Flags {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50055",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let process = ServiceProcess::open("access-service", flags.listen, flags.process).await?;
    let keys = AccessApi::server(Arc::clone(&process.database.log), system_clock());
    let audit = AuditApi::server(Arc::clone(&process.database.log));
    process.serve(|server| server.service(keys).service(audit), async |_| ()).await
}
