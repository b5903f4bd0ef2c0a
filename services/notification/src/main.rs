//! `notification-service`: the notification service in a process of its own, on Postgres.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_notification_service::NotificationApi;
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::mail_limit_flags::MailLimitFlags;
use keeptrusts_webhooks_process::program::{ListenFlag, NOTIFICATION};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

/// Manages notification channels: the notification service, on a Postgres database that it shares
/// with the dispatch service, which does the sending.
///
/// Example: notification-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = NOTIFICATION.name)]
struct Flags {
    #[command(flatten)]
    listen: ListenFlag<{ NOTIFICATION.port }>,

    /// The SMTP server that dispatch was given. It is not connected to from here: with it, e-mail
    /// channels can be created.
    #[arg(long, value_name = "HOST:PORT")]
    smtp_server: Option<String>,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    exit::main(run)
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let listening = flags.process.listen(&NOTIFICATION, flags.listen).await?;
    let process = listening.open_shared(flags.access.prepare()?).await?;
    let mail_limits = flags.smtp_server.map(|_| flags.mail_limits.limits());
    let (log, keyring, closing) = (process.log(), process.keyring(), process.closing());
    let api = NotificationApi::server(log, keyring, process.clock(), mail_limits, closing);
    process.service(api).serve().await
}
