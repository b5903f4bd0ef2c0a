//! `ingest-service`: the ingest service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::{ServiceProcess, ServiceProcessFlags};
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_process::database::RetentionFlags;
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::{command_line, exit};
use keeptrusts_webhooks_store::system_clock;

/// Accepts events and makes them durable: the ingest service, on a Postgres database that it
/// shares with the endpoint and the dispatch service. Run as many as you like.
///
/// Example: ingest-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = "ingest-service")]
struct Flags {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50053",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    ingest: IngestFlags,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let process = ServiceProcess::open("ingest-service", flags.listen, flags.process).await?;
    let (log, retention) = (Arc::clone(&process.database.log), flags.retention.body_retention);
    let api = IngestApi::server(log, system_clock(), retention, &flags.ingest);
    process.serve(|server| server.service(api), async |_| ()).await
}
