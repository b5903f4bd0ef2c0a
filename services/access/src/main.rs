//! `access-service`: the access service in a process of its own, on Postgres.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_access_service::{AccessApi, AuditApi};
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::program::{ACCESS, ListenFlag};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

/// Makes and revokes keys, and shows the audit trail: the access service, on a Postgres database
/// that it shares with the other services.
///
/// Example: access-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = ACCESS.name)]
struct Flags {
    #[command(flatten)]
    listen: ListenFlag<{ ACCESS.port }>,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    exit::main(run)
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let listening = flags.process.listen(&ACCESS, flags.listen).await?;
    let process = listening.open_shared(flags.access.prepare()?).await?;
    let keys = AccessApi::server(process.log(), process.clock());
    let audit = AuditApi::server(process.log());
    process.service(keys).service(audit).serve().await
}
