//! One measurement on one new database.

use std::time::{Duration, Instant};

use keeptrusts_webhooks_contracts::client::AuthorizedChannel;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_testkit::collector::Collector;
use tokio::time::sleep;

use crate::arrivals::Comparison;
use crate::error::LoadError;
use crate::machine::{self, MachineSpeed};
use crate::options::{BenchmarkCase, Options};
use crate::platform::{CpuTime, Platform};
use crate::process_usage;
use crate::publishers::{self, EVENT_TYPE, ORGANIZATION, PublishResult};
use crate::receiver::Receiver;

#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) case: BenchmarkCase,
    pub(crate) events: usize,
    pub(crate) deliveries: usize,
    /// From the first publish call to the last acknowledgement.
    pub(crate) publish_time: Duration,
    /// From the first publish call to the last arrival.
    pub(crate) delivery_time: Duration,
    /// From the first publish call until the server was idle.
    pub(crate) cpu: CpuTime,
    /// Of this process, with publishers and receiver, in the same time.
    pub(crate) load_cpu: Duration,
    /// The server's, in bytes.
    pub(crate) peak_memory: u64,
    /// From the publish call to the arrival, shortest first.
    pub(crate) latencies: Vec<Duration>,
    /// How many spans the collector got, if there was one.
    pub(crate) spans: Option<usize>,
    /// What the machine could do, right before.
    pub(crate) machine: MachineSpeed,
    /// The share of the machine's CPU time that nobody used while events were published and delivered.
    pub(crate) unused_cpu: f64,
    /// The CPU time of an idle server, and how long it was measured.
    pub(crate) idle: Option<(CpuTime, Duration)>,
    /// Lost, duplicate or wrongly recorded deliveries, and what the server logged as warnings and
    /// errors.
    pub(crate) problems: Vec<String>,
}

pub(crate) async fn run(options: &Options, case: BenchmarkCase) -> Result<Measurement, LoadError> {
    let machine = machine::measure(&options.data()).await?;
    let receiver = Receiver::start().await?;
    let collector = case.traces.map(|_| Collector::start());
    let platform = Platform::start(case, receiver.ca_file(), collector.as_ref()).await?;
    let channel = platform.connect().await?;
    let endpoints = create_endpoints(channel.clone(), &receiver, options.endpoints).await?;
    let idle = measure_idle(&platform, options.idle_time()).await?;

    let cpu_before = platform.cpu_time()?;
    let machine_before = process_usage::machine_time()?;
    let own_cpu_before = own_cpu_time()?;
    let published = publishers::publish(&platform, options).await?;
    let expected = published.acknowledged.len() * usize::from(options.endpoints);
    receiver.arrivals().wait_for(expected).await;
    let unused_cpu = process_usage::machine_time()?.idle_share_since(machine_before);
    let load_cpu = own_cpu_time()?.saturating_sub(own_cpu_before);
    // The last outcomes may not be recorded yet, and a duplicate may still arrive.
    platform.wait_until_quiet().await?;
    let cpu = platform.cpu_time()?.since(cpu_before);

    let comparison = receiver.arrivals().compare(&published.acknowledged, options.endpoints);
    let mut problems = delivery_problems(&published, &comparison);
    problems.extend(recording_problems(channel, &endpoints, published.acknowledged.len()).await?);
    let peak_memory = platform.peak_memory()?;
    problems.extend(platform.stop().await);
    let last_arrival = comparison.last_arrival.unwrap_or_else(Instant::now);
    let spans = collector.map(|collector| collector.spans().len());
    Ok(Measurement {
        case,
        spans,
        events: published.acknowledged.len(),
        deliveries: comparison.latencies.len(),
        publish_time: published.duration,
        delivery_time: last_arrival - published.started,
        cpu,
        load_cpu,
        peak_memory,
        latencies: comparison.latencies,
        machine,
        unused_cpu,
        idle,
        problems,
    })
}

/// Returns the endpoints' ids.
async fn create_endpoints(
    channel: AuthorizedChannel,
    receiver: &Receiver,
    count: u16,
) -> Result<Vec<String>, LoadError> {
    let mut client = EndpointServiceClient::new(channel);
    let mut ids = Vec::new();
    for number in 0..count {
        let request = v1::CreateEndpointRequest {
            organization_id: ORGANIZATION.to_owned(),
            endpoint: Some(v1::Endpoint {
                display_name: format!("endpoint {number}"),
                url: receiver.url(number),
                event_types: vec![EVENT_TYPE.to_owned()],
                ..v1::Endpoint::default()
            }),
            ..Default::default()
        };
        let created = client.create_endpoint(request).await?.into_inner();
        ids.push(created.endpoint.ok_or("CreateEndpoint answered without an endpoint")?.id);
    }
    Ok(ids)
}

async fn measure_idle(
    platform: &Platform,
    time: Duration,
) -> Result<Option<(CpuTime, Duration)>, LoadError> {
    if time.is_zero() {
        return Ok(None);
    }
    platform.wait_until_quiet().await?;
    let before = platform.cpu_time()?;
    sleep(time).await;
    Ok(Some((platform.cpu_time()?.since(before), time)))
}

fn own_cpu_time() -> Result<Duration, LoadError> {
    Ok(process_usage::cpu_time(i32::try_from(std::process::id())?)?)
}

fn delivery_problems(published: &PublishResult, comparison: &Comparison) -> Vec<String> {
    let mut problems: Vec<String> = Vec::new();
    if let Some(first) = published.failures.first() {
        let count = published.failures.len();
        problems.push(format!("{count} publishers failed, the first with: {first}"));
    }
    let counts = [
        (comparison.missing as u64, "deliveries of acknowledged events were lost"),
        (comparison.duplicates, "requests were duplicates"),
        (comparison.unexpected as u64, "deliveries were of events that were not acknowledged"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        problems.push(format!("{count} {what}"));
    }
    problems
}

/// Compares the platform's statistics with what was delivered.
async fn recording_problems(
    channel: AuthorizedChannel,
    endpoints: &[String],
    events: usize,
) -> Result<Vec<String>, LoadError> {
    let mut client = DispatchServiceClient::new(channel);
    let mut problems = Vec::new();
    for endpoint_id in endpoints {
        let request = v1::GetEndpointStatsRequest {
            organization_id: ORGANIZATION.to_owned(),
            endpoint_id: endpoint_id.clone(),
            window: None,
        };
        let stats = client.get_endpoint_stats(request).await?.into_inner();
        let total = stats.total.unwrap_or_default();
        if (total.delivered_count, total.retrying_count, total.failed_count)
            != (events as i64, 0, 0)
        {
            problems.push(format!(
                "of {events} deliveries to {endpoint_id}, {} are recorded as delivered; {} attempts failed",
                total.delivered_count,
                total.retrying_count + total.failed_count,
            ));
        }
    }
    Ok(problems)
}
