//! `endpoint-service`: the endpoint service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::{ServiceProcess, ServiceProcessFlags};
use keeptrusts_webhooks_endpoint_service::EndpointApi;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_process::database::Database;
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::{command_line, exit};
use keeptrusts_webhooks_store::system_clock;

/// Manages webhook endpoints: the endpoint service, on a Postgres database that it shares with
/// the ingest and the dispatch service.
///
/// Example: endpoint-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = "endpoint-service")]
struct Flags {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50052",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    endpoints: EndpointFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let process = ServiceProcess::open("endpoint-service", flags.listen, flags.process).await?;
    let Database { log, keyring, .. } = &process.database;
    let (log, keyring) = (Arc::clone(log), Arc::clone(keyring));
    let api = EndpointApi::server(log, keyring, system_clock(), &flags.endpoints);
    process.serve(|server| server.service(api), async |_| ()).await
}
