//! Waiting deliveries and missed events: the queries of dispatch.

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::{DUE_IMMEDIATELY, Delivery};
use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::retry::RetrySchedule;

use super::Fixture;
use super::given::*;
use super::projections::{a_delivery_to, an_endpoint};
use crate::log::operation::{ExpectedVersion, Operation};
use crate::store::DueKey;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn due(
    fixture: &Fixture,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> Vec<Delivery> {
    let page = fixture.store().due_deliveries(SHARD, endpoint, after, limit).await;
    let page = page.expect("due deliveries are read");
    assert_eq!(page.as_of, fixture.last_position().await);
    page.deliveries
}

pub(crate) async fn missed_events_are_read_in_the_order_of_the_log(fixture: Fixture) {
    let (one, two) = (an_endpoint(&fixture).await, an_endpoint(&fixture).await);
    let events: Vec<EventId> = (0..5).map(|_| event_id()).collect();
    let mut expected = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let missed = if index == 2 { vec![two] } else { vec![one, two] };
        let routed = [publish(*event), schedule(*event, &[], &missed)];
        let records = fixture.append_all(&routed).await;
        if index != 2 {
            expected.push((records[1].position, *event));
        }
    }
    let missed = async |endpoint, after, limit| {
        let rows = fixture.store().missed_events(SHARD, endpoint, after, limit).await;
        let rows = rows.expect("missed events are read");
        assert!(rows.iter().all(|row| row.organization_id == organization()));
        assert!(rows.iter().all(|row| row.endpoint_id == endpoint));
        rows.into_iter().map(|row| (row.position, row.event_id)).collect::<Vec<_>>()
    };
    assert_eq!(missed(one, Position::START, 100).await, expected);
    assert_eq!(missed(one, Position::START, 3).await, expected[..3]);
    assert_eq!(missed(one, expected[2].0, 3).await, expected[3..]);
    assert_eq!(missed(two, Position::START, 100).await.len(), 5);
    assert!(missed(endpoint_id(), Position::START, 100).await.is_empty());
}

pub(crate) async fn due_deliveries_come_by_time_and_then_by_id_page_by_page(fixture: Fixture) {
    let (endpoint, other) = (an_endpoint(&fixture).await, an_endpoint(&fixture).await);
    a_delivery_to(&fixture, other).await;
    let event = event_id();
    let deliveries: Vec<_> = (0..7).map(|_| (delivery_id(), endpoint)).collect();
    fixture.append_all(&[publish(event), schedule(event, &deliveries, &[])]).await;
    // The first is now due last, the second has ended, the others are due at one time.
    fixture.append(fail(&fixture.delivery(deliveries[0].0).await, fixture.now())).await;
    fixture.append(succeed(&fixture.delivery(deliveries[1].0).await, fixture.now())).await;

    let mut expected: Vec<_> = deliveries[2..].iter().map(|(id, _)| *id).collect();
    expected.push(deliveries[0].0);
    let (mut seen, mut after) = (Vec::new(), DueKey::MIN);
    loop {
        let page = due(&fixture, endpoint, after, 4).await;
        let Some(last) = page.last() else { break };
        after = DueKey { due_time: last.due_time().expect("it waits"), delivery_id: last.id };
        assert!(page.len() <= 4);
        seen.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(seen, expected);

    let count = fixture.store().count_waiting(SHARD).await.expect("reads");
    let waiting = fixture.store().waiting_endpoints(SHARD).await.expect("reads");
    let earliest = fixture.delivery(deliveries[2].0).await.due_time().expect("it waits");
    assert_eq!(waiting.as_of, fixture.last_position().await);
    let waiting: HashMap<_, _> = waiting.endpoints.into_iter().collect();
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[&endpoint], earliest);
    let versions = fixture.store().table_versions().await.expect("reads");
    assert_eq!(versions.found, versions.needed, "every migration was applied");
    // The other endpoint has one.
    assert_eq!(count, expected.len() as u64 + 1);
}

pub(crate) async fn a_retry_waits_on_the_steady_clock_and_not_for_the_shown_time(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let ids = [
        a_delivery_to(&fixture, endpoint).await,
        a_delivery_to(&fixture, endpoint).await,
        a_delivery_to(&fixture, endpoint).await,
    ];
    // The wall clock is two hours ahead when the first one fails, and right when the others do.
    // In microseconds, as in columns.
    let now = time("2026-04-23T10:45:00.000001Z");
    let steady = [now, now + SECOND, now + 2 * SECOND];
    let told = [now + Duration::from_secs(7_200), now + SECOND, now + 2 * SECOND];
    for ((id, end), steady_end) in ids.into_iter().zip(told).zip(steady) {
        let row = fixture.delivery(id).await;
        let fact = row.conclude(
            attempt_of(&row, end),
            failure(),
            end,
            steady_end,
            &RetrySchedule::default(),
        );
        fixture.append(change_delivery(id, ExpectedVersion::Exactly(row.version), fact)).await;
        let row = fixture.delivery(id).await;
        let minute = 60 * SECOND;
        assert_eq!(row.next_attempt_time, Some(end + minute));
        assert_eq!(row.due_time(), Some(steady_end + minute));
    }
    let page = due(&fixture, endpoint, DueKey::MIN, 10).await;
    assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    let waiting = fixture.store().waiting_endpoints(SHARD).await.expect("reads").endpoints;
    assert_eq!(waiting, [(endpoint, steady[0] + 60 * SECOND)]);
}

pub(crate) async fn requested_attempts_are_due_before_scheduled_ones(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let first = a_delivery_to(&fixture, endpoint).await;
    let second = a_delivery_to(&fixture, endpoint).await;
    fixture
        .append(change_delivery(second, ExpectedVersion::Any, DeliveryFact::RetryRequested))
        .await;
    let page = due(&fixture, endpoint, DueKey::MIN, 10).await;
    let order: Vec<_> =
        page.iter().map(|row| (row.id, row.due_time() == Some(DUE_IMMEDIATELY))).collect();
    assert_eq!(order, [(second, true), (first, false)]);
}

pub(crate) async fn the_steady_clock_never_goes_back_and_its_age_is_the_databases(
    fixture: Fixture,
) {
    let stands = async || fixture.store().shard_state(SHARD).await.expect("reads").steady;
    let at = |time: Timestamp| {
        let operation = publish(event_id());
        let metadata = Metadata { steady_time: Some(time), ..operation.metadata.clone() };
        Operation { metadata, ..operation }
    };
    fixture.append(publish(event_id())).await;
    assert_eq!(stands().await, None, "nobody who owns the shard has written");

    let noon = time("2026-04-23T12:00:00Z");
    // One batch: an operation without a time, and two in the wrong order.
    fixture.append_all(&[publish(event_id()), at(noon), at(noon - SECOND)]).await;
    assert_eq!(stands().await.map(|steady| steady.time), Some(noon));
    fixture.append(at(noon - SECOND)).await;
    fixture.append(publish(event_id())).await;
    assert_eq!(stands().await.map(|steady| steady.time), Some(noon));
    // A refused operation changes nothing.
    let refused =
        change_delivery(delivery_id(), ExpectedVersion::Any, DeliveryFact::RetryRequested);
    let metadata = Metadata { steady_time: Some(noon + SECOND), ..refused.metadata.clone() };
    let refused = Operation { metadata, ..refused };
    assert!(fixture.store().append(SHARD, &[refused]).await.expect("appends").records.is_empty());
    assert_eq!(stands().await.map(|steady| steady.time), Some(noon));

    if let Some(clock) = fixture.clock() {
        let begun = clock.now();
        fixture.append(at(noon)).await;
        clock.advance(90 * SECOND);
        assert_eq!(stands().await.map(|steady| steady.age), Some(90 * SECOND));
        clock.set(begun - 3_600 * SECOND);
        assert_eq!(stands().await.map(|steady| steady.age), Some(Duration::ZERO));
    }
}
