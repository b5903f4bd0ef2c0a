//! Publishers: each publishes an event, waits for the acknowledgement, and publishes the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keeptrusts_webhooks_contracts::client::AuthorizedChannel;
use keeptrusts_webhooks_contracts::v1::PublishEventRequest;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use tokio::task::JoinSet;

use crate::error::LoadError;
use crate::options::Options;
use crate::platform::Platform;

/// A single organization, so that everything is on one shard.
pub(crate) const ORGANIZATION: &str = "load";
pub(crate) const EVENT_TYPE: &str = "policy.violation";
/// Every event is kept in memory until the end, so their number is limited.
const MAX_EVENTS: u64 = 3_000_000;
const PUBLISHERS_PER_CONNECTION: u32 = 64;

/// An event that the platform acknowledged, and so has to deliver.
#[derive(Debug)]
pub(crate) struct AcknowledgedEvent {
    pub(crate) event_id: String,
    /// When the call that published it started.
    pub(crate) call_start: Instant,
}

#[derive(Debug)]
pub(crate) struct PublishResult {
    pub(crate) acknowledged: Vec<AcknowledgedEvent>,
    /// The errors. A publisher stops at its first.
    pub(crate) failures: Vec<String>,
    pub(crate) started: Instant,
    /// From the first call to the last acknowledgement.
    pub(crate) duration: Duration,
}

/// Publishes for as long as the options say.
pub(crate) async fn publish(
    platform: &Platform,
    options: &Options,
) -> Result<PublishResult, LoadError> {
    let mut channels = Vec::new();
    for _ in 0..options.publishers.div_ceil(PUBLISHERS_PER_CONNECTION) {
        channels.push(platform.connect().await?);
    }
    let request = PublishEventRequest {
        organization_id: ORGANIZATION.to_owned(),
        event_type: EVENT_TYPE.to_owned(),
        payload: Some(Payload::DataJson(options.data())),
        ..PublishEventRequest::default()
    };

    let started = Instant::now();
    let schedule = Arc::new(PublishSchedule::new(options, started));
    let mut publishers = JoinSet::new();
    for channel in channels.iter().cycle().take(options.publishers as usize) {
        let client = IngestServiceClient::new(channel.clone());
        publishers.spawn(publish_in_turn(client, request.clone(), Arc::clone(&schedule)));
    }
    let mut published = PublishResult {
        acknowledged: Vec::new(),
        failures: Vec::new(),
        started,
        duration: Duration::ZERO,
    };
    while let Some(done) = publishers.join_next().await {
        let (acknowledged, failure, ended) = done?;
        published.acknowledged.extend(acknowledged);
        published.failures.extend(failure);
        published.duration = published.duration.max(ended - started);
    }
    Ok(published)
}

/// One publisher. It stops at the first failure.
async fn publish_in_turn(
    mut client: IngestServiceClient<AuthorizedChannel>,
    request: PublishEventRequest,
    schedule: Arc<PublishSchedule>,
) -> (Vec<AcknowledgedEvent>, Option<String>, Instant) {
    let mut acknowledged = Vec::new();
    let mut ended = Instant::now();
    while schedule.next().await {
        let call_start = Instant::now();
        let answer = client.publish_event(request.clone()).await;
        ended = Instant::now();
        match answer {
            Ok(answer) => {
                let event_id = answer.into_inner().event_id;
                acknowledged.push(AcknowledgedEvent { event_id, call_start });
            }
            Err(status) => return (acknowledged, Some(status.to_string()), ended),
        }
    }
    (acknowledged, None, ended)
}

/// When events are published; any free publisher takes the next one.
struct PublishSchedule {
    events: AtomicU64,
    started: Instant,
    end: Instant,
    /// Events per second. `None`: as fast as possible.
    rate: Option<u32>,
}

impl PublishSchedule {
    fn new(options: &Options, started: Instant) -> Self {
        let end = started + options.publish_time();
        Self { events: AtomicU64::new(0), started, end, rate: options.rate }
    }

    /// Waits until it is time for the next event. False if there is none.
    async fn next(&self) -> bool {
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        if number >= MAX_EVENTS || Instant::now() >= self.end {
            return false;
        }
        let Some(rate) = self.rate else { return true };
        let due = self.started + Duration::from_secs_f64(number as f64 / f64::from(rate));
        if due >= self.end {
            return false;
        }
        tokio::time::sleep_until(due.into()).await;
        true
    }
}
