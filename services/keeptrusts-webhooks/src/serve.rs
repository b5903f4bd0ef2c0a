//! `keeptrusts-webhooks serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_console::flags::{ConsoleFlags, Trust};
use keeptrusts_webhooks_console::{Console, ConsoleError, Services};
use keeptrusts_webhooks_dispatch_service::flags::DispatchFlags;
use keeptrusts_webhooks_dispatch_service::mail::SmtpFlags;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_process::database::{DatabaseFlags, RetentionFlags};
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::grpc_server::{GrpcFlags, Listener};
use keeptrusts_webhooks_process::mail_limits::MailLimitFlags;
use keeptrusts_webhooks_process::monitoring::{Monitoring, MonitoringFlags};
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_process::shutdown::{Phase, Shutdown, ShutdownFlags};
use keeptrusts_webhooks_process::{master_keys, reload, shutdown, tls};
use keeptrusts_webhooks_telemetry::TelemetryFlags;
use tokio_util::sync::CancellationToken;

use crate::platform::{Platform, PlatformFlags};

/// Every flag is also an environment variable: KEEPTRUSTS_WEBHOOKS_ and its name.
///
/// Example: keeptrusts-webhooks serve --data-dir /var/lib/keeptrusts-webhooks
#[derive(Debug, Args)]
pub(crate) struct ServeCommand {
    /// Where all services listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50051",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    grpc: GrpcFlags,

    #[command(flatten)]
    console: ConsoleFlags,

    /// Serve gRPC only.
    #[arg(long, env = "KEEPTRUSTS_WEBHOOKS_NO_CONSOLE", conflicts_with = "console_listen")]
    no_console: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    dispatch: DispatchFlags,

    #[command(flatten)]
    smtp: SmtpFlags,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    endpoints: EndpointFlags,

    #[command(flatten)]
    ingest: IngestFlags,

    #[command(flatten)]
    telemetry: TelemetryFlags,

    #[command(flatten)]
    monitoring: MonitoringFlags,

    #[command(flatten)]
    shutdown: ShutdownFlags,
}

/// Serves until the process is asked to stop.
pub(crate) async fn run(
    command: ServeCommand,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ServeCommand { listen, grpc, console, no_console, database, dispatch, .. } = command;
    let ServeCommand { retention, access, endpoints, ingest, telemetry, monitoring, .. } = command;
    let (smtp, mail_limits) = (command.smtp, command.mail_limits.limits());
    let console_url = console.console_public_url.as_ref().map(ToString::to_string);
    let telemetry = telemetry.start("keeptrusts-webhooks")?;
    let ending = shutdown::on_signals(&command.shutdown)?;
    let stop = ending.asked().clone();
    let hangups = reload::on_hangup()?;
    let trust = Trust {
        proxies: access.trusted_proxy.clone(),
        issuer: access.issuer(),
        audiences: Some(access.oidc_audience.clone()),
    };
    let console = if no_console { None } else { bind_console(&console, trust).await? };
    let body_retention = retention.body_retention;
    let listener = Listener::bind_secured(listen, "--listen", &grpc.tls).await?;
    tls::reload_on_hangup(listener.tls().cloned(), hangups.clone());
    let readiness = Readiness::new(stop.clone());
    // From now on, so that a long migration is not taken for a process that hangs.
    let monitored = Monitoring::bind(&monitoring).await?.serve(telemetry, readiness.clone());
    let limits = grpc.limits;
    let flags = PlatformFlags {
        limits,
        database,
        dispatch,
        smtp,
        mail_limits,
        console_url,
        body_retention,
        access,
        endpoints,
        ingest,
        ending: ending.clone(),
    };
    let platform = Platform::start(listener, &flags, &readiness).await?;
    master_keys::reload_on_hangup(Arc::clone(platform.keyring()), hangups);
    let ran = match console {
        Some(console) => run_with_console(platform, console, &ending).await,
        None => platform.run_until(stop).await.map_err(Into::into),
    };
    monitored.stop(ending.left(Phase::Telemetry)).await;
    ran
}

/// The console ends first: until its last page is finished, the services answer it.
async fn run_with_console(
    platform: Platform,
    console: Console,
    ending: &Shutdown,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let services = Services::of_this_process(platform.in_process());
    let console_ended = CancellationToken::new();
    let console = {
        let ended = console_ended.clone().drop_guard();
        let served = console.serve(services, ending.clone());
        tokio::spawn(async move {
            served.await;
            drop(ended);
        })
    };
    let ran = platform.run_until(console_ended).await;
    // If it was the platform that ended.
    ending.asked().cancel();
    console.await?;
    Ok(ran?)
}

/// The default address may be taken, by another instance perhaps: then there is no console, but
/// events are accepted and delivered all the same. An address that was asked for must do.
async fn bind_console(flags: &ConsoleFlags, trust: Trust) -> Result<Option<Console>, ConsoleError> {
    match Console::bind(flags, trust).await {
        Ok(console) => Ok(Some(console)),
        Err(ConsoleError::Listen(error)) if flags.console_listen.is_none() => {
            tracing::warn!(%error, "there is no console");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
