//! `console`: the console in a process of its own, beside the services that it shows.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_console::flags::{ConsoleFlags, OwnTrustFlags, ServiceFlags};
use keeptrusts_webhooks_console::{Console, Services};
use keeptrusts_webhooks_process::monitoring::{Monitoring, MonitoringFlags};
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_process::shutdown::{Phase, ShutdownFlags};
use keeptrusts_webhooks_process::{command_line, exit, reload, shutdown, tls};
use keeptrusts_webhooks_telemetry::TelemetryFlags;

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
    telemetry: TelemetryFlags,

    #[command(flatten)]
    monitoring: MonitoringFlags,

    #[command(flatten)]
    shutdown: ShutdownFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let telemetry = flags.telemetry.start("console")?;
    let ending = shutdown::on_signals(&flags.shutdown)?;
    let monitoring = Monitoring::bind(&flags.monitoring).await?;
    let addresses = flags.services.addresses()?;
    let service_tls = flags.services.load_tls()?;
    tls::reload_on_hangup(service_tls.clone(), reload::on_hangup()?);
    let services = Services::connect_lazily(&addresses, service_tls);
    let console = Console::bind(&flags.console, flags.trust.trust()).await?;
    let readiness = Readiness::new(ending.asked().clone());
    readiness.started();
    let monitored = monitoring.serve(telemetry, readiness);
    console.serve(services, ending.clone()).await;
    monitored.stop(ending.left(Phase::Telemetry)).await;
    Ok(())
}
