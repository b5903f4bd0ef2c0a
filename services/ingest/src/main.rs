//! `ingest-service`: the ingest service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_process::database::{DatabaseFlags, RetentionFlags};
use keeptrusts_webhooks_process::grpc_server::{GrpcServer, Listener};
use keeptrusts_webhooks_process::logging::LoggingFlags;
use keeptrusts_webhooks_process::{exit, master_keys, reload, shutdown};
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
        default_value = "127.0.0.1:50053"
    )]
    listen: SocketAddr,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    flags.logging.start()?;
    let shutdown = shutdown::on_signals()?;
    let hangups = reload::on_hangup()?;
    let listener = Listener::bind(flags.listen, "--listen").await?;
    let database = flags.database.open_shared().await?;
    master_keys::reload_on_hangup(Arc::clone(&database.keyring), hangups);
    let log = Arc::clone(&database.log);
    let api = IngestApi::server(database.log, system_clock(), flags.retention.body_retention);
    let served = GrpcServer::new().service(api).serve(listener, shutdown).await;
    log.close(shutdown::APPENDS_PATIENCE).await;
    Ok(served?)
}
