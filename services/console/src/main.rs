//! `console`: the console in a process of its own, beside the services that it shows.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_console::flags::{ConsoleFlags, OwnTrustFlags, ServiceFlags};
use keeptrusts_webhooks_console::{Console, Services};
use keeptrusts_webhooks_process::logging::LoggingFlags;
use keeptrusts_webhooks_process::{exit, shutdown};

/// Shows webhooks in the browser: create endpoints, send tests, read the delivery log, retry.
///
/// It opens no database; everything goes through the services, with the session of who has
/// signed in.
///
/// Example: console --endpoint-service http://endpoints:50052 --ingest-service
/// http://ingest:50053 --dispatch-service http://dispatch:50054 --access-service
/// http://access:50055
#[derive(Debug, Parser)]
#[command(version, name = "console")]
struct Flags {
    #[command(flatten)]
    console: ConsoleFlags,

    #[command(flatten)]
    trust: OwnTrustFlags,

    #[command(flatten)]
    services: ServiceFlags,

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
    let services = Services::connect_lazily(&flags.services.addresses())?;
    let console = Console::bind(&flags.console, flags.trust.trust()).await?;
    Ok(console.serve(services, shutdown).await?)
}
