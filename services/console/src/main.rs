//! `console`: the console in a process of its own.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_console::flags::{ConsoleFlags, OwnTrustFlags, ServiceFlags};
use keeptrusts_webhooks_console::{Console, Services};
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::lifecycle::ProcessFlags;
use keeptrusts_webhooks_process::tls;

/// Shows webhooks in the browser: create endpoints, send tests, read the delivery log, retry.
///
/// It opens no database; everything goes through the services, with the session of who has
/// signed in.
///
/// Example: console --endpoint-service https://endpoints:50052 --ingest-service
/// https://ingest:50053 --dispatch-service https://dispatch:50054 --access-service
/// https://access:50055
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
    process: ProcessFlags,
}

fn main() -> ExitCode {
    exit::main(run)
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let process = flags.process.start("console").await?;
    let addresses = flags.services.addresses()?;
    let service_tls = flags.services.load_tls()?;
    tls::reload_on_hangup(service_tls.clone(), process.hangups());
    let services = Services::connect_lazily(&addresses, service_tls);
    let console = Console::bind(&flags.console, flags.trust.trust()).await?;
    process.readiness.started();
    console.serve(services, process.shutdown.clone()).await;
    process.end().await;
    Ok(())
}
