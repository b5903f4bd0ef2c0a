//! `dispatch-service`: the dispatch service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::{ServiceProcess, ServiceProcessFlags};
use keeptrusts_webhooks_dispatch_service::api::DispatchApi;
use keeptrusts_webhooks_dispatch_service::flags::DispatchFlags;
use keeptrusts_webhooks_dispatch_service::mail::SmtpFlags;
use keeptrusts_webhooks_dispatch_service::{Dispatch, member_name};
use keeptrusts_webhooks_process::database::RetentionFlags;
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::mail_limits::MailLimitFlags;
use keeptrusts_webhooks_process::{command_line, exit};
use keeptrusts_webhooks_store::system_clock;

/// Delivers events and answers questions about deliveries: the dispatch service, on a Postgres
/// database that it shares with the endpoint and the ingest service. Run two or more: they share
/// the work, and take over from one that dies.
///
/// Example: dispatch-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = "dispatch-service")]
struct Flags {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50054",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    dispatch: DispatchFlags,

    #[command(flatten)]
    smtp: SmtpFlags,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    /// Where people reach the console, for links in notifications: https://webhooks.example.com.
    #[arg(long, value_name = "URL", env = "KEEPTRUSTS_WEBHOOKS_CONSOLE_PUBLIC_URL")]
    console_public_url: Option<String>,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let retention = flags.retention.body_retention;
    let (dispatch, smtp) = (flags.dispatch, flags.smtp);
    let prepare = || Ok((dispatch.prepare(retention)?, smtp.mailer()?));
    let opened =
        ServiceProcess::open_prepared("dispatch-service", flags.listen, flags.process, prepare);
    let (process, (dispatch, mailer)) = opened.await?;
    let mail_limits = flags.mail_limits.limits();
    let parts = dispatch.parts(&process.database, system_clock());
    let parts = parts.telling(mailer, mail_limits, flags.console_public_url.as_deref());
    let dispatch = Dispatch::start(member_name(), parts);
    dispatch.needed_by(&process.readiness);
    let (log, shutdown) = (Arc::clone(&process.database.log), process.shutdown.asked().clone());
    let api = DispatchApi::server(log, system_clock(), retention, shutdown);
    process.serve(|server| server.service(api), async |left| dispatch.stop(left).await).await
}
