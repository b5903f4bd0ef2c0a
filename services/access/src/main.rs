//! `access-service`: keys and the audit trail in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_access_service::{AccessApi, AuditApi};
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::grpc_server::{GrpcFlags, GrpcServer, Listener};
use keeptrusts_webhooks_process::logging::LoggingFlags;
use keeptrusts_webhooks_process::{exit, master_keys, reload, shutdown, tls};
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
        default_value = "127.0.0.1:50055"
    )]
    listen: SocketAddr,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    grpc: GrpcFlags,

    #[command(flatten)]
    database: DatabaseFlags,

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
    let keys = AccessApi::server(Arc::clone(&log), system_clock());
    let audit = AuditApi::server(database.log);
    let server = GrpcServer::new(access.clone()).reflection(!flags.access.no_reflection);
    let server = server.limits(flags.grpc.limits).service(keys).service(audit);
    let served = server.serve(listener, shutdown).await;
    access.stop().await;
    log.close(shutdown::APPENDS_PATIENCE).await;
    Ok(served?)
}
