//! `ingest-service`: the ingest service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_process::database::{DatabaseFlags, RetentionFlags};
use keeptrusts_webhooks_process::grpc_server::{GrpcFlags, GrpcServer, Listener};
use keeptrusts_webhooks_process::logging::LoggingFlags;
use keeptrusts_webhooks_process::{exit, master_keys, reload, shutdown, tls};
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
    ingest: IngestFlags,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    grpc: GrpcFlags,

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
    let listener = Listener::bind_secured(flags.listen, "--listen", &flags.grpc.tls).await?;
    tls::reload_on_hangup(listener.tls().cloned(), hangups.clone());
    let database = flags.database.open_shared().await?;
    master_keys::reload_on_hangup(Arc::clone(&database.keyring), hangups);
    let log = Arc::clone(&database.log);
    let access = flags.access.start(&database, system_clock()).await?;
    let retention = flags.retention.body_retention;
    let api = IngestApi::server(database.log, system_clock(), retention, &flags.ingest);
    let server = GrpcServer::new(access.clone()).reflection(!flags.access.no_reflection);
    let server = server.limits(flags.grpc.limits).service(api);
    let served = server.serve(listener, shutdown).await;
    access.stop().await;
    log.close(shutdown::APPENDS_PATIENCE).await;
    Ok(served?)
}
