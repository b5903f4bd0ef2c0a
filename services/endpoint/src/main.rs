//! `endpoint-service`: the endpoint service in a process of its own, on Postgres.

use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_endpoint_service::EndpointApi;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_process::exit::{self, Failure};
use keeptrusts_webhooks_process::program::{ENDPOINT, ListenFlag};
use keeptrusts_webhooks_process::service_process::ServiceProcessFlags;

/// Manages webhook endpoints: the endpoint service, on a Postgres database that it shares with
/// the ingest and the dispatch service.
///
/// Example: endpoint-service --database-url postgres://webhooks@db/webhooks
#[derive(Debug, Parser)]
#[command(version, name = ENDPOINT.name)]
struct Flags {
    #[command(flatten)]
    listen: ListenFlag<{ ENDPOINT.port }>,

    #[command(flatten)]
    endpoints: EndpointFlags,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    process: ServiceProcessFlags,
}

fn main() -> ExitCode {
    exit::main(run)
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let listening = flags.process.listen(&ENDPOINT, flags.listen).await?;
    let process = listening.open_shared(flags.access.prepare()?).await?;
    let (log, keyring) = (process.log(), process.keyring());
    let api = EndpointApi::server(log, keyring, process.clock(), &flags.endpoints);
    process.service(api).serve().await
}
