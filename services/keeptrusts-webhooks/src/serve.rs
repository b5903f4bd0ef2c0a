//! `keeptrusts-webhooks serve`.

use std::net::SocketAddr;

use clap::Args;
use keeptrusts_webhooks_dispatch_service::flags::DispatchFlags;
use keeptrusts_webhooks_process::database::{DatabaseFlags, RetentionFlags};
use keeptrusts_webhooks_process::logging::LoggingFlags;
use keeptrusts_webhooks_process::shutdown;

use crate::platform::{Platform, PlatformFlags};

/// Every flag is also an environment variable: KEEPTRUSTS_WEBHOOKS_ and its name.
///
/// Example: keeptrusts-webhooks serve --data-dir /var/lib/keeptrusts-webhooks
#[derive(Debug, Args)]
pub(crate) struct ServeCommand {
    /// Where all three services listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50051"
    )]
    listen: SocketAddr,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    dispatch: DispatchFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

/// Serves until the process is asked to stop.
pub(crate) async fn run(
    command: ServeCommand,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ServeCommand { listen, database, retention, dispatch, logging } = command;
    logging.start()?;
    let stop = shutdown::on_signals()?;
    let body_retention = retention.body_retention;
    let flags = PlatformFlags { listen, database, dispatch, body_retention };
    Ok(Platform::start(&flags).await?.run_until(stop).await?)
}
