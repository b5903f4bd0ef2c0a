//! `keeptrusts-webhooks demo`: the platform on a temporary database, a receiver that verifies every
//! signature, an event of each type, a few failures, and the delivery log as it grows.

mod receiver;
mod report;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::key::Token;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::grpc_server::Listener;
use keeptrusts_webhooks_process::lifecycle::Process;
use keeptrusts_webhooks_process::service_process::ListeningProcess;
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_telemetry::print_stdout;
use tonic::transport::Channel;

use crate::platform::PlatformFlags;
use receiver::Receiver;
use report::{DeliveryLog, ExpectedCounts};

#[derive(Debug, Args)]
pub(crate) struct DemoCommand {}

/// The events that the receiver refuses at first, and how often, so that there are retries.
const FAILURES: [(&str, u32); 3] =
    [("policy.violation", 2), ("export.failed", 1), ("key.rotated", 3)];
/// Instead of minutes and hours.
const RETRY_SCHEDULE: &str = "300ms,600ms,1200ms,2400ms,4800ms";
const ORGANIZATION: &str = "demo";
/// The demo takes a few seconds; a machine may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(9);

#[derive(Debug, Parser)]
struct DemoFlags {
    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    platform: PlatformFlags,
}

/// Runs the demo; fails unless every check of it passes.
pub(crate) async fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(&FAILURES).await?;
    let authority_file = folder.path().join("receiver-ca.pem");
    std::fs::write(&authority_file, &receiver.authority)?;
    let key = Token::from_random(random());
    let DemoFlags { database, platform } = flags(folder.path(), &authority_file, &key)?;
    let listener = Listener::bind("127.0.0.1:0".parse()?, "--listen").await?;
    let process = Process::embedded(SHUTDOWN_TIMEOUT);
    let listening = ListeningProcess::embedded(process, listener, database);
    let process = platform.prepare(None)?.open(listening).await?;
    let address = process.address();
    let scenario = tokio::time::timeout(TIMEOUT, run_scenario(address, &receiver, &key));
    let outcome = process.serve_until(scenario).await?;
    outcome.map_err(|_| format!("the demo was not over within {TIMEOUT:?}"))?
}

fn flags(folder: &Path, authority_file: &Path, key: &Token) -> Result<DemoFlags, clap::Error> {
    let arguments = [
        "demo".as_ref(),
        "--data-dir".as_ref(),
        folder.as_os_str(),
        "--trust-ca".as_ref(),
        authority_file.as_os_str(),
        "--bootstrap-admin-key".as_ref(),
        key.expose().as_ref(),
        "--retry-schedule".as_ref(),
        RETRY_SCHEDULE.as_ref(),
        // Receivers on loopback addresses are refused by default.
        "--allow-network=127.0.0.0/8".as_ref(),
    ];
    DemoFlags::try_parse_from(arguments)
}

async fn run_scenario(
    address: SocketAddr,
    receiver: &Receiver,
    key: &Token,
) -> Result<(), Failure> {
    let server = format!("http://{address}");
    let channel = Channel::from_shared(server)?.connect().await?;
    let channel = Bearer::new(key.expose())?.on(channel);
    let mut endpoints = EndpointServiceClient::new(channel.clone());
    let mut ingest = IngestServiceClient::new(channel.clone());
    let mut dispatch = DispatchServiceClient::new(channel);
    print_stdout!("Keeptrusts Webhooks, the whole story");
    print_stdout!("  platform   grpc on {address}, SQLite in a temporary folder");
    print_stdout!("  receiver   https://{}, verifies both signatures itself", receiver.address);
    print_stdout!("  retries    after {RETRY_SCHEDULE} (in production 1m, 5m, 30m, 2h, 12h)");
    print_stdout!("");

    let created = endpoints
        .create_endpoint(v1::CreateEndpointRequest {
            organization_id: ORGANIZATION.to_owned(),
            endpoint: Some(v1::Endpoint {
                display_name: "siem-all-events".to_owned(),
                url: format!("https://{}/webhooks", receiver.address),
                description: "everything that the demo publishes".to_owned(),
                event_types: EventType::ALL.iter().map(ToString::to_string).collect(),
                secret: String::new(),
                ..v1::Endpoint::default()
            }),
            ..Default::default()
        })
        .await?
        .into_inner();
    receiver.expect_secret(&created.secret);
    let endpoint = created.endpoint.ok_or("no endpoint in the answer")?;
    print_stdout!(
        "CreateEndpoint  {} subscribes to all {} event types",
        endpoint.id,
        EventType::ALL.len()
    );

    // Before anything is sent, so that no change is missed.
    let changes = dispatch
        .watch_deliveries(v1::WatchDeliveriesRequest {
            organization_id: ORGANIZATION.to_owned(),
            ..Default::default()
        })
        .await?
        .into_inner();
    let test = dispatch
        .send_test(v1::SendTestRequest {
            organization_id: ORGANIZATION.to_owned(),
            endpoint_id: endpoint.id,
            ..Default::default()
        })
        .await?
        .into_inner();
    let attempt = test.attempt.ok_or("no attempt in the answer")?;
    print_stdout!("SendTest        the receiver answered {}", attempt.status_code);

    let started = Instant::now();
    for event_type in EventType::ALL {
        ingest
            .publish_event(v1::PublishEventRequest {
                organization_id: ORGANIZATION.to_owned(),
                event_type: event_type.to_string(),
                payload: Some(v1::publish_event_request::Payload::DataJson(
                    sample_data(*event_type).to_owned(),
                )),
                ..Default::default()
            })
            .await?;
    }
    let accepted = started.elapsed();
    print_stdout!(
        "PublishEvent    {} events accepted, durably, in {} ms",
        EventType::ALL.len(),
        accepted.as_millis()
    );
    print_stdout!("");

    let expected = ExpectedCounts {
        deliveries: EventType::ALL.len() + 1,
        failures: FAILURES.iter().map(|(_, count)| *count as usize).sum(),
    };
    let mut log = DeliveryLog::start();
    log.follow(changes, &expected).await?;
    print_stdout!("");
    log.conclude(&expected, receiver.report(), started.elapsed())
}
