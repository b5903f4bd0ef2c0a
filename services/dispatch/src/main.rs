//! `dispatch-service`: the dispatch service in a process of its own, on Postgres.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_dispatch_service::flags::DispatchFlags;
use keeptrusts_webhooks_dispatch_service::mail::SmtpFlags;
use keeptrusts_webhooks_process::database::RetentionFlags;
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::mail_limit_flags::MailLimitFlags;
use keeptrusts_webhooks_process::program::{DISPATCH, ListenFlag};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

/// Delivers events and answers questions about deliveries: the dispatch service, on a Postgres
/// database that it shares with the endpoint and the ingest service. Run two or more: they share
/// the work, and take over from one that dies.
///
/// Example: dispatch-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = DISPATCH.name)]
struct Flags {
    #[command(flatten)]
    listen: ListenFlag<{ DISPATCH.port }>,

    #[command(flatten)]
    dispatch: DispatchFlags,

    #[command(flatten)]
    smtp: SmtpFlags,

    #[command(flatten)]
    mail_limits: MailLimitFlags,

    /// Where people reach the console, for links in notifications: https://webhooks.example.com.
    #[arg(long, value_name = "URL")]
    console_public_url: Option<String>,

    #[command(flatten)]
    retention: RetentionFlags,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    exit::main(run)
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let listening = flags.process.listen(&DISPATCH, flags.listen).await?;
    let (mailer, console_url) = (flags.smtp.mailer()?, flags.console_public_url.as_deref());
    let dispatch = flags.dispatch.prepare(flags.retention.body_retention)?;
    let dispatch = dispatch.notifying(mailer, flags.mail_limits.limits(), console_url);
    let process = listening.open_shared(flags.access.prepare()?).await?;
    dispatch.serve_in(process).serve().await
}
