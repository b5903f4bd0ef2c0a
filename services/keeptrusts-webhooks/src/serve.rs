//! `keeptrusts-webhooks serve`.

use clap::Args;
use keeptrusts_webhooks_console::flags::{ConsoleFlags, ConsoleTrust};
use keeptrusts_webhooks_console::{Console, ConsoleError, Services};
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::grpc_server::GrpcFlags;
use keeptrusts_webhooks_process::lifecycle::ProcessFlags;
use keeptrusts_webhooks_process::program::{ListenFlag, PLATFORM};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

use crate::platform::PlatformFlags;

/// Every flag is also an environment variable: KEEPTRUSTS_WEBHOOKS_ and its name.
///
/// Example: keeptrusts-webhooks serve --data-dir /var/lib/keeptrusts-webhooks
#[derive(Debug, Args)]
pub(crate) struct ServeCommand {
    #[command(flatten)]
    listen: ListenFlag<{ PLATFORM.port }>,

    #[command(flatten)]
    grpc: GrpcFlags,

    #[command(flatten)]
    console: ConsoleFlags,

    /// Serve gRPC only.
    #[arg(long, conflicts_with = "console_listen")]
    no_console: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    platform: PlatformFlags,

    #[command(flatten)]
    process: ProcessFlags,
}

pub(crate) async fn run(command: ServeCommand) -> Result<(), Failure> {
    let ServeCommand { listen, grpc, console, no_console, database, platform, process } = command;
    let flags = ServiceProcessFlags { grpc, database, process };
    let listening = flags.listen(&PLATFORM, listen).await?;
    let trust = ConsoleTrust {
        proxies: platform.access.trusted_proxy.clone(),
        issuer: platform.access.issuer(),
        audiences: Some(platform.access.oidc_audience.clone()),
    };
    let console_url = console.console_public_url.as_ref().map(ToString::to_string);
    let console = if no_console { None } else { bind_console(&console, trust).await? };
    let process = platform.prepare(console_url.as_deref())?.open(listening).await?;
    let Some(console) = console else { return process.serve().await };
    let services = Services::of_this_process(process.in_process());
    let console = tokio::spawn(console.serve(services, process.shutdown()));
    Ok(process.serve_until(console).await??)
}

/// The default address may be taken, perhaps by another instance: then there is no console, but
/// events are accepted and delivered. An address that a flag gives must be free.
async fn bind_console(
    flags: &ConsoleFlags,
    trust: ConsoleTrust,
) -> Result<Option<Console>, ConsoleError> {
    match Console::bind(flags, trust).await {
        Ok(console) => Ok(Some(console)),
        Err(ConsoleError::Listen(error)) if flags.console_listen.is_none() => {
            tracing::warn!(%error, "there is no console");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
