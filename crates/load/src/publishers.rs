//! Publishers: each publishes an event, waits for the acknowledgement, and publishes the next; or each
//! publishes on a stream, and reads the acknowledgements meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::unfold;
use keeptrusts_webhooks_contracts::client::AuthorizedChannel;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_contracts::v1::stream_events_response::Result as ItemResult;
use keeptrusts_webhooks_contracts::v1::{PublishEventRequest, StreamEventsRequest};
use tokio::task::JoinSet;
use tonic::{Code, Status};

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
    let count = options.streams.unwrap_or(options.publishers);
    for channel in channels.iter().cycle().take(count as usize) {
        let client = IngestServiceClient::new(channel.clone());
        let (request, schedule) = (request.clone(), Arc::clone(&schedule));
        match options.streams {
            Some(_) => publishers.spawn(publish_on_a_stream(client, request, schedule)),
            None => publishers.spawn(publish_in_turn(client, request, schedule)),
        };
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

/// One stream. It stops at the first failure.
async fn publish_on_a_stream(
    mut client: IngestServiceClient<AuthorizedChannel>,
    request: PublishEventRequest,
    schedule: Arc<PublishSchedule>,
) -> (Vec<AcknowledgedEvent>, Option<String>, Instant) {
    // Of each item, in the order of their numbers.
    let starts = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&starts);
    let items = unfold(1, move |sequence_number| {
        let (schedule, sent, request) = (Arc::clone(&schedule), Arc::clone(&sent), request.clone());
        async move {
            if !schedule.next().await {
                return None;
            }
            sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            let request = Some(request);
            Some((StreamEventsRequest { sequence_number, request }, sequence_number + 1))
        }
    });
    let mut acknowledged = Vec::new();
    let read = async {
        let mut acknowledgements = client.stream_events(items).await?.into_inner();
        while let Some(next) = acknowledgements.message().await? {
            let response = match next.result {
                Some(ItemResult::Response(response)) => response,
                Some(ItemResult::Status(status)) => {
                    return Err(Status::new(Code::from_i32(status.code), status.message));
                }
                None => return Err(Status::internal("an acknowledgement without a result")),
            };
            let item = usize::try_from(next.sequence_number - 1).unwrap_or(usize::MAX);
            let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(call_start) = starts.get(item).copied() else {
                return Err(Status::internal("an acknowledgement of what was not sent"));
            };
            acknowledged.push(AcknowledgedEvent { event_id: response.event_id, call_start });
        }
        Ok(())
    };
    let failure = read.await.err().map(|status| status.to_string());
    (acknowledged, failure, Instant::now())
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
