//! `ingest-service`: the ingest service in a process of its own, on Postgres.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_ingest_service::IngestApi;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_process::database::RetentionFlags;
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::program::{INGEST, ListenFlag};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

/// Accepts events and makes them durable: the ingest service, on a Postgres database that it
/// shares with the endpoint and the dispatch service. Run as many as you like.
///
/// Example: ingest-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = INGEST.name)]
struct Flags {
    #[command(flatten)]
    listen: ListenFlag<{ INGEST.port }>,

    #[command(flatten)]
    ingest: IngestFlags,

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
    let listening = flags.process.listen(&INGEST, flags.listen).await?;
    let process = listening.open_shared(flags.access.prepare()?).await?;
    let retention = flags.retention.body_retention;
    let api = IngestApi::server(process.log(), process.clock(), retention, &flags.ingest);
    process.service(api).serve().await
}
