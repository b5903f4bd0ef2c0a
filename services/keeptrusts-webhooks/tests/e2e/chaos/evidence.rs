//! What must hold after any failure, checked in the platform and at the receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::process::Process;
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver};
use tokio::time::{Instant, sleep};

use super::load::Acknowledged;
use crate::platform::Client;

const PAGE_SIZE: i32 = 1_000;
/// Thousands of requests are checked each time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Waits until the receiver has had a request for each of these events.
pub(crate) async fn wait_until_received(
    receiver: &Receiver,
    acknowledged: &[Acknowledged],
    within: Duration,
) {
    let deadline = Instant::now() + within;
    loop {
        let requests = receiver.requests();
        let received: BTreeSet<_> = requests.iter().map(|request| event_id(request)).collect();
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|event| !received.contains(event.event_id.as_str()))
            .collect();
        if missing.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{within:?} passed, and {} of {} acknowledged events are not delivered, such as {:?}",
            missing.len(),
            acknowledged.len(),
            missing[0]
        );
        sleep(LOOK_AGAIN).await;
    }
}

/// Checks that the organization's log has exactly the acknowledged events, each with one delivery,
/// which is delivered, with its attempts numbered 1, 2, 3, … and only the last of them successful.
pub(crate) async fn assert_every_event_delivered_once_recorded(
    client: &Client,
    acknowledged: &[Acknowledged],
) {
    let organization = client.organization();
    let mine = acknowledged.iter().filter(|event| event.organization == organization);
    let mut expected: Vec<_> = mine.map(|event| event.event_id.clone()).collect();
    expected.sort_unstable();

    let mut accepted = events(client).await;
    accepted.sort_unstable();
    let lost: Vec<_> = expected.iter().filter(|id| !accepted.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged, but not in the log (invariant 1): {lost:?}");
    let unknown: Vec<_> = accepted.iter().filter(|id| !expected.contains(id)).collect();
    assert!(unknown.is_empty(), "in the log, but never acknowledged: {unknown:?}");
    assert_eq!(accepted.len(), expected.len(), "each is accepted once");

    let mut deliveries = delivered(client, expected.len()).await;
    deliveries.sort_unstable_by(|one, other| one.event_id.cmp(&other.event_id));
    let routed: Vec<_> = deliveries.iter().map(|delivery| delivery.event_id.as_str()).collect();
    assert!(routed == expected, "every event has one delivery (invariant 2)");

    let mut numbers: BTreeMap<String, Vec<(i32, v1::attempt::Outcome)>> = BTreeMap::new();
    for attempt in attempts(client).await {
        let outcome = attempt.outcome();
        numbers.entry(attempt.delivery_id).or_default().push((attempt.number, outcome));
    }
    for delivery in deliveries {
        let mut recorded = numbers.remove(&delivery.id).unwrap_or_default();
        recorded.sort_unstable();
        let consistent = (1..=delivery.attempt_count).map(|number| {
            let is_last = number == delivery.attempt_count;
            let outcome = if is_last {
                v1::attempt::Outcome::Delivered
            } else {
                v1::attempt::Outcome::Retrying
            };
            (number, outcome)
        });
        let consistent: Vec<_> = consistent.collect();
        assert_eq!(recorded, consistent, "the attempts of {delivery:?}");
    }
    assert!(numbers.is_empty(), "every attempt is one of a delivery");
}

/// Tells which of several processes, each started after the one before had ended, has sent a
/// request: it came over a connection of that process.
#[derive(Debug, Default)]
pub(crate) struct ProcessRuns {
    /// How many connections the receiver had accepted when each process but the last had ended.
    ends: Vec<u64>,
    /// Processes that lost a lease while they ran: a busy machine may delay a process for longer
    /// than that, and then its attempts in flight are repeated as after a crash.
    that_lost_leases: BTreeSet<usize>,
}

impl ProcessRuns {
    /// A process has ended; the next one has not started.
    pub(crate) fn end(&mut self, process: &Process, receiver: &Receiver) {
        if process.output().contains("the lease is lost") {
            self.that_lost_leases.insert(self.ends.len());
        }
        self.ends.push(receiver.connection_count());
    }

    fn of(&self, request: &ReceivedRequest) -> usize {
        self.ends.partition_point(|end| *end < request.connection)
    }

    /// Checks that requests were repeated only because of a crash (invariant 4): none twice by the
    /// same process while it kept its leases, and no more of each process than could be in flight.
    /// Returns how many were repeated.
    pub(crate) fn assert_only_crashes_repeat(
        &self,
        receiver: &Receiver,
        in_flight: usize,
    ) -> usize {
        let mut repeated_from = BTreeMap::<usize, usize>::new();
        let mut repeats = 0;
        for requests in repeated_requests(&receiver.requests()) {
            for pair in requests.windows(2) {
                let (first, second) = (self.of(&pair[0]), self.of(&pair[1]));
                let may_repeat = first < second || self.that_lost_leases.contains(&first);
                assert!(may_repeat, "sent twice by one process: {pair:#?}");
                *repeated_from.entry(first).or_default() += 1;
                repeats += 1;
            }
        }
        for (life, count) in repeated_from {
            assert!(count <= in_flight, "{count} repeated because of the end of life {life}");
        }
        repeats
    }
}

/// Requests for the same attempt of the same delivery, where there is more than one, in the order
/// of their arrival.
pub(crate) fn repeated_requests(
    requests: &[Arc<ReceivedRequest>],
) -> Vec<Vec<Arc<ReceivedRequest>>> {
    let mut same = BTreeMap::<_, Vec<_>>::new();
    for request in requests {
        let number = request.header("x-keeptrusts-attempt").expect("it is numbered");
        let key = (request.path.as_str(), event_id(request), number);
        same.entry(key).or_default().push(Arc::clone(request));
    }
    same.into_values().filter(|requests| requests.len() > 1).collect()
}

fn event_id(request: &ReceivedRequest) -> &str {
    request.header("webhook-id").expect("it has an id")
}

async fn events(client: &Client) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListEventsRequest {
            organization_id: client.organization(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.ingest().list_events(request).await.expect("events are listed");
        let v1::ListEventsResponse { events, next_page_token } = page.into_inner();
        ids.extend(events.into_iter().map(|event| event.id));
        if next_page_token.is_empty() {
            return ids;
        }
        page_token = next_page_token;
    }
}

/// All deliveries, once there are so many and all are delivered: the last answers have been sent,
/// but may not be recorded yet.
async fn delivered(client: &Client, count: usize) -> Vec<v1::Delivery> {
    let deadline = Instant::now() + crate::platform::PATIENCE;
    loop {
        let deliveries = deliveries(client).await;
        let other =
            deliveries.iter().find(|delivery| delivery.state() != v1::delivery::State::Delivered);
        if other.is_none() && deliveries.len() >= count {
            return deliveries;
        }
        assert!(
            Instant::now() < deadline,
            "of {count} deliveries there are {}, and not delivered is {other:?}",
            deliveries.len()
        );
        sleep(LOOK_AGAIN).await;
    }
}

async fn deliveries(client: &Client) -> Vec<v1::Delivery> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListDeliveriesRequest {
            organization_id: client.organization(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.dispatch().list_deliveries(request).await.expect("they are listed");
        let v1::ListDeliveriesResponse { deliveries, next_page_token } = page.into_inner();
        all.extend(deliveries);
        if next_page_token.is_empty() {
            return all;
        }
        page_token = next_page_token;
    }
}

async fn attempts(client: &Client) -> Vec<v1::Attempt> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListAttemptsRequest {
            organization_id: client.organization(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.dispatch().list_attempts(request).await.expect("they are listed");
        let v1::ListAttemptsResponse { attempts, next_page_token } = page.into_inner();
        all.extend(attempts);
        if next_page_token.is_empty() {
            return all;
        }
        page_token = next_page_token;
    }
}
