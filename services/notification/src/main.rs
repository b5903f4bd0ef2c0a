//! `notification-service`: the notification service in a process of its own, on Postgres.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keeptrusts_webhooks_access::{ServiceProcess, ServiceProcessFlags};
use keeptrusts_webhooks_notification_service::NotificationApi;
use keeptrusts_webhooks_process::database::Database;
use keeptrusts_webhooks_process::flags::listen_address;
use keeptrusts_webhooks_process::mail_limits::MailLimitFlags;
use keeptrusts_webhooks_process::{command_line, exit};
use keeptrusts_webhooks_store::system_clock;

/// Manages notification channels: the notification service, on a Postgres database that it shares
/// with the dispatch service, which does the sending.
///
/// Example: notification-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = "notification-service")]
struct Flags {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_LISTEN",
        default_value = "127.0.0.1:50056",
        value_parser = listen_address
    )]
    listen: SocketAddr,

    /// The SMTP server that dispatch was given. It is not connected to from here: with it, e-mail
    /// channels can be created.
    #[arg(long, value_name = "HOST:PORT", env = "KEEPTRUSTS_WEBHOOKS_SMTP_SERVER")]
    smtp_server: Option<String>,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    let (flags, given) = command_line::read();
    exit::run(async { exit::with(run(flags).await, &given) })
}

async fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let process = ServiceProcess::open("notification-service", flags.listen, flags.process).await?;
    let Database { log, keyring, .. } = &process.database;
    let (log, keyring) = (Arc::clone(log), Arc::clone(keyring));
    let shutdown = process.shutdown.asked().clone();
    let mail_limits = flags.smtp_server.map(|_| flags.mail_limits.limits());
    let api = NotificationApi::server(log, keyring, system_clock(), mail_limits, shutdown);
    process.serve(|server| server.service(api), async |_| ()).await
}
