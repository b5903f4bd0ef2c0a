//! The whole story on one screen: the platform on a temporary database, a receiver that
//! verifies every signature, sixteen events, a few failures, and the delivery log as it grows.

mod events;
mod receiver;
mod report;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use keeptrusts_webhooks_access::AccessFlags;
use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_dispatch_service::flags::{DispatchFlags, Patience};
use keeptrusts_webhooks_dispatch_service::mail::SmtpFlags;
use keeptrusts_webhooks_domain::key::Token;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_endpoint_service::flags::EndpointFlags;
use keeptrusts_webhooks_ingest_service::flags::IngestFlags;
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::grpc_server::{LimitFlags, Listener};
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_process::shutdown::Shutdown;
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_telemetry::print_stdout;
use tonic::transport::Channel;

use crate::platform::{Platform, PlatformFlags};
use events::EVENTS;
use receiver::Receiver;
use report::{Expected, Log};
use tokio_util::sync::CancellationToken;

/// The demo needs no flags.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {}

/// Which events are refused at first, and how often: so that retries are seen.
const FAILURES: [(&str, u32); 3] =
    [("policy.violation", 2), ("export.failed", 1), ("key.rotated", 3)];
/// In place of minutes and hours.
const RETRY_SCHEDULE: &str = "300ms,600ms,1200ms,2400ms,4800ms";
const ORGANIZATION: &str = "demo";
/// Everything is over in a few seconds; a machine may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo; fails unless all of it held.
pub(crate) async fn run() -> Result<(), Problem> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(&FAILURES).await?;
    let authority_file = folder.path().join("receiver-ca.pem");
    std::fs::write(&authority_file, &receiver.authority)?;
    let key = Token::from_random(random());
    let listener = Listener::bind("127.0.0.1:0".parse()?, "--listen").await?;
    let flags = flags(folder.path(), &authority_file, &key)?;
    // Nobody watches.
    let readiness = Readiness::new(CancellationToken::new());
    let platform = Platform::start(listener, &flags, &readiness).await?;
    let outcome = tokio::time::timeout(PATIENCE, tell(&platform, &receiver, &key)).await;
    platform.stop().await;
    outcome.map_err(|_| format!("the demo was not over within {PATIENCE:?}"))?
}

fn flags(folder: &Path, authority_file: &Path, key: &Token) -> Result<PlatformFlags, Problem> {
    Ok(PlatformFlags {
        limits: LimitFlags::default(),
        database: DatabaseFlags {
            data_dir: folder.to_owned(),
            database_url: None,
            // There is no connection.
            database_connections: 0,
            database_timeout: Duration::ZERO,
            master_key_file: None,
        },
        dispatch: DispatchFlags {
            disable_failing_after: Patience(None),
            retry_schedule: RETRY_SCHEDULE.parse()?,
            request_timeout: Duration::from_secs(10),
            trust_ca: vec![authority_file.to_owned()],
            // Receivers on the loopback are refused unless they are allowed.
            allow_network: vec!["127.0.0.0/8".parse()?],
            allow_port: Vec::new(),
            dns_server: Vec::new(),
            outbound_proxy: None,
            endpoint_concurrency: 64,
            lease_ttl: Duration::from_secs(10),
        },
        smtp: SmtpFlags::default(),
        mail_limits: MailLimits::default(),
        console_url: None,
        body_retention: Duration::from_secs(24 * 60 * 60),
        access: AccessFlags::with_first_key(key.clone()),
        endpoints: EndpointFlags { max_endpoints_per_organization: 10 },
        ingest: IngestFlags { publish_quota: NonZeroU32::MAX },
        ending: Shutdown::within(Duration::from_secs(9)),
    })
}

async fn tell(platform: &Platform, receiver: &Receiver, key: &Token) -> Result<(), Problem> {
    let server = format!("http://{}", platform.address());
    let channel = Channel::from_shared(server)?.connect().await?;
    let channel = Bearer::new(key.expose())?.on(channel);
    let mut endpoints = EndpointServiceClient::new(channel.clone());
    let mut ingest = IngestServiceClient::new(channel.clone());
    let mut dispatch = DispatchServiceClient::new(channel);
    print_stdout!("Keeptrusts Webhooks, the whole story");
    print_stdout!("  platform   grpc on {}, SQLite in a temporary folder", platform.address());
    print_stdout!("  receiver   https://{}, verifies both signatures itself", receiver.address);
    print_stdout!("  retries    after {RETRY_SCHEDULE} (in production 1m, 5m, 30m, 2h, 12h)");
    print_stdout!("");

    let created = endpoints
        .create_endpoint(v1::CreateEndpointRequest {
            organization_id: ORGANIZATION.to_owned(),
            name: "siem-all-events".to_owned(),
            url: format!("https://{}/webhooks", receiver.address),
            description: "everything that the demo publishes".to_owned(),
            event_types: EVENTS.map(|(event_type, _)| event_type.to_owned()).to_vec(),
            secret: String::new(),
            ..Default::default()
        })
        .await?
        .into_inner();
    receiver.expect_secret(&created.secret);
    let endpoint = created.endpoint.ok_or("no endpoint in the answer")?;
    print_stdout!("CreateEndpoint  {} subscribes to all 16 event types", endpoint.id);

    // Begins now, so that nothing is missed.
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
        })
        .await?
        .into_inner();
    let attempt = test.attempt.ok_or("no attempt in the answer")?;
    print_stdout!("SendTest        the receiver answered {}", attempt.status_code);

    let started = Instant::now();
    for (event_type, data) in EVENTS {
        ingest
            .publish_event(v1::PublishEventRequest {
                organization_id: ORGANIZATION.to_owned(),
                event_type: event_type.to_owned(),
                payload: Some(v1::publish_event_request::Payload::DataJson(data.to_owned())),
                ..Default::default()
            })
            .await?;
    }
    let accepted = started.elapsed();
    print_stdout!("PublishEvent    16 events accepted, durably, in {} ms", accepted.as_millis());
    print_stdout!("");

    let expected = Expected {
        deliveries: EVENTS.len() + 1,
        failures: FAILURES.iter().map(|(_, count)| *count as usize).sum(),
    };
    let mut log = Log::begin();
    log.follow(changes, &expected).await?;
    print_stdout!("");
    log.conclude(&expected, receiver.report(), started.elapsed())
}
