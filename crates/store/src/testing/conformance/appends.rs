//! Appends: records in order, local refusals, batches of any size.

use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

use super::Fixture;
use super::fixture::read_all;
use super::given::*;
use crate::log::operation::{AppendOutcome, ExpectedVersion, Operation, Record, Refusal};
use crate::store::{DueKey, ShardState};

/// An operation for every kind of fact, and for every field that may be absent both cases.
fn one_of_each_kind(endpoint: EndpointId) -> Vec<Operation> {
    let (event, test_event) = (event_id(), event_id());
    let (delivery, test) = (delivery_id(), delivery_id());
    let later = time("2026-04-24T00:00:00.000001Z");
    let details = |trigger, status_code| AttemptDetails {
        id: attempt_id(),
        event_id: event,
        event_type: EventType::KeyRevoked,
        endpoint_id: endpoint,
        number: 1,
        automatic_count: 1,
        trigger,
        start_time: later,
        duration: Duration::from_micros(1_234_567),
        status_code,
        exchange: keeptrusts_webhooks_domain::event::ContentDigest::of(b"x"),
        remark: String::new(),
    };
    let of_endpoint = [
        updated_with_secret(
            sealed("updated"),
            EndpointPatch {
                display_name: Some("\"quoted\" 'name' \\ %_ \u{1f980}".to_owned()),
                url: Some("https://example.com/?a=b&c=%20".to_owned()),
                description: Some("two\nlines".to_owned()),
                event_types: Some(EventType::ALL.to_vec()),
                payload_format: Some(PayloadFormat::Custom {
                    template: "{{ data }}\n%".to_owned(),
                }),
            },
        ),
        updated(EndpointPatch {
            payload_format: Some(PayloadFormat::PagerDuty { routing_key: sealed("key") }),
            ..EndpointPatch::default()
        }),
        updated(EndpointPatch { description: Some(String::new()), ..EndpointPatch::default() }),
        EndpointFact::SecretRotated { secret: sealed("1"), previous_expire_time: Some(later) },
        EndpointFact::SecretRotated { secret: sealed("2"), previous_expire_time: None },
        EndpointFact::SecretRevealed,
        EndpointFact::Disabled { reason: "maintenance".to_owned(), cause: DisableCause::Requested },
        EndpointFact::Enabled,
        EndpointFact::Degraded { delivery_id: delivery, reason: "ran out".to_owned() },
        EndpointFact::Recovered { delivery_id: delivery },
    ];
    let of_delivery = [
        DeliveryFact::AttemptFailed {
            details: details(Trigger::Automatic, None),
            error: "connection refused".to_owned(),
            next_attempt_time: Some(later),
            steady_due_time: Some(later),
            state: DeliveryState::Retrying,
            endpoint_pause: Some(Duration::from_secs(20)),
        },
        DeliveryFact::RetryRequested,
        DeliveryFact::AttemptFailed {
            details: details(Trigger::Manual, Some(301)),
            error: String::new(),
            next_attempt_time: None,
            steady_due_time: None,
            state: DeliveryState::Failed,
            endpoint_pause: None,
        },
        DeliveryFact::CancelRequested,
        DeliveryFact::Expired {
            endpoint_id: endpoint,
            event_type: EVENT_TYPE,
            is_test: false,
            reason: "too late".to_owned(),
        },
        DeliveryFact::Cancelled { reason: "by an operator".to_owned() },
        DeliveryFact::AttemptSucceeded(details(Trigger::Manual, Some(200))),
    ];
    let mut operations = vec![create_endpoint(endpoint)];
    operations
        .extend(of_endpoint.map(|fact| change_endpoint(endpoint, ExpectedVersion::Any, fact)));
    operations.extend([
        publish(event_id()),
        publish_with_key(event, "key/1", "content"),
        schedule(event, &[(delivery, endpoint)], &[endpoint]),
        request_test(test, test_event, endpoint),
    ]);
    operations
        .extend(of_delivery.map(|fact| change_delivery(delivery, ExpectedVersion::Any, fact)));
    operations.push(change_endpoint(endpoint, ExpectedVersion::Any, EndpointFact::Deleted));
    operations
}

pub(crate) async fn every_kind_of_fact_is_read_back_as_it_was_appended(fixture: Fixture) {
    let endpoint = endpoint_id();
    let mut operations = one_of_each_kind(endpoint);
    for (index, operation) in operations.iter_mut().enumerate().skip(1).step_by(2) {
        operation.metadata = Metadata {
            actor: format!("actor {index}"),
            correlation_id: endpoint.to_string(),
            causation: Some(Position(index as i64)),
            trace: Some(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("valid"),
            ),
            actor_name: format!("name {index}"),
            address: "2001:db8::7".parse().ok(),
            steady_time: "2026-04-23T09:30:00.000001Z".parse().ok(),
            request: Some(identified(&format!("request/{index}"), "content")),
        };
    }
    let appended = fixture.store().append(SHARD, &operations).await.expect("appends");

    assert_eq!(appended.records.len(), operations.len());
    for (index, (operation, record)) in operations.iter().zip(&appended.records).enumerate() {
        assert_eq!(record.position, Position(index as i64 + 1));
        assert_eq!(record.stream, operation.records[0].stream);
        assert_eq!(record.fact, operation.records[0].fact);
        assert_eq!(record.metadata, operation.metadata);
        assert_eq!(record.organization_id, operation.organization_id);
        assert_eq!(record.operation_id, operation.id);
    }
    for store in &fixture.stores {
        assert_eq!(read_all(store.as_ref(), SHARD).await, appended.records);
    }
    let of_endpoint: Vec<_> = appended
        .records
        .iter()
        .filter(|record| record.stream == Stream::Endpoint(endpoint))
        .cloned()
        .collect();
    assert_eq!(read_stream(&fixture, Stream::Endpoint(endpoint)).await, of_endpoint);
}

async fn read_stream(fixture: &Fixture, stream: Stream) -> Vec<Record> {
    let records = fixture.other_store().read_stream(SHARD, stream, Version(0), 100).await;
    records.expect("the stream is read")
}

pub(crate) async fn an_operation_of_several_records_returns_its_first_and_last_position(
    fixture: Fixture,
) {
    let (one, two, event) = (endpoint_id(), endpoint_id(), event_id());
    let both = create_endpoint(one).and(create_endpoint(two));
    let appended = fixture.store().append(SHARD, &[both, publish(event)]).await.expect("appends");

    let recorded_at = appended.records[0].recorded_at;
    let new = |first, last| {
        Ok(AppendOutcome::Appended { first: Position(first), last: Position(last), recorded_at })
    };
    assert_eq!(appended.results, [new(1, 2), new(3, 3)]);
    let times: Vec<_> = appended.records.iter().map(|record| record.recorded_at).collect();
    assert_eq!(times, [recorded_at; 3], "a transaction has one time");
    let operations: Vec<_> = appended.records.iter().map(|record| record.operation_id).collect();
    assert_eq!(operations[0], operations[1]);
    assert_ne!(operations[1], operations[2]);
}

pub(crate) async fn invariant_6_refused_operations_leave_nothing_and_take_no_position(
    fixture: Fixture,
) {
    let store = fixture.store();
    let lease = store.acquire_lease(SHARD, "us", Duration::from_secs(600)).await.expect("acquires");
    let epoch = lease.expect("the lease is free").epoch;
    let (endpoint, keyed) = (endpoint_id(), event_id());
    fixture.append(create_endpoint(endpoint)).await;
    fixture.append(publish_with_key(keyed, "key", "content").advancing(0, 1)).await;

    let absent = endpoint_id();
    let body = |operation: Operation, event: EventId| {
        let expire_time = fixture.now() + Duration::from_secs(600);
        operation.with_body(crate::BodyId::Event(event), "body", expire_time)
    };
    let refused_events = [event_id(), event_id(), event_id(), event_id()];
    let [reused, unowned, repeated, half] = refused_events;
    let (neighbours, half_made) = ([event_id(), event_id(), event_id()], endpoint_id());
    let batch = [
        publish(neighbours[0]),
        rename_endpoint(endpoint, version(7), "stale"),
        rename_endpoint(absent, ExpectedVersion::Any, "absent"),
        change_delivery(DeliveryId::MIN, version(1), DeliveryFact::RetryRequested),
        body(publish_with_key(reused, "key", "other content"), reused),
        publish(neighbours[1]).fenced(epoch).advancing(1, 2),
        body(publish(unowned).fenced(Epoch(epoch.0 + 1)), unowned),
        body(publish(repeated).advancing(1, 2), repeated),
        // One record of an operation is refused: so are the others.
        body(publish(half).and(create_endpoint(half_made)), half)
            .and(rename_endpoint(endpoint, version(2), "stale"))
            .and(rename_endpoint(absent, ExpectedVersion::Any, "absent")),
        publish(neighbours[2]),
    ];
    let appended = store.append(SHARD, &batch).await.expect("appends");

    let recorded_at = appended.records[0].recorded_at;
    let new = |position| {
        Ok(AppendOutcome::Appended {
            first: Position(position),
            last: Position(position),
            recorded_at,
        })
    };
    let stale = |expected| Refusal::StaleVersion {
        stream: Stream::Endpoint(endpoint),
        expected: Version(expected),
        actual: Version(1),
    };
    let expected = [
        new(3),
        Err(stale(7)),
        Err(Refusal::NoSuchStream(Stream::Endpoint(absent))),
        Err(Refusal::NoSuchStream(Stream::Delivery(DeliveryId::MIN))),
        Err(Refusal::IdempotencyKeyReused { event_id: keyed }),
        new(4),
        Err(Refusal::LeaseLost { expected: Epoch(epoch.0 + 1), actual: epoch }),
        Err(Refusal::OutOfOrder { expected: Position(1), actual: Position(2) }),
        Err(stale(2)),
        new(5),
    ];
    assert_eq!(appended.results, expected);

    let log = fixture.log().await;
    assert_eq!(log[2..], appended.records);
    let streams: Vec<_> = log[2..].iter().map(|record| record.stream).collect();
    assert_eq!(streams, neighbours.map(Stream::Event));
    assert_eq!(fixture.endpoint(endpoint).await.version, Version(1));
    let half_made = store.endpoint(SHARD, &organization(), half_made).await.expect("reads");
    assert_eq!(half_made, None);
    for event in refused_events {
        let found = store.event(SHARD, &organization(), event).await.expect("reads");
        assert_eq!(found, None);
        let body = crate::BodyId::Event(event);
        assert!(store.bodies(SHARD, &[body]).await.expect("reads").is_empty());
    }
    let state =
        ShardState { last_position: Position(5), checkpoint: Position(2), epoch, steady: None };
    assert_eq!(store.shard_state(SHARD).await.expect("reads"), state);
}

pub(crate) async fn invariant_6_a_batch_of_refused_operations_changes_nothing(fixture: Fixture) {
    fixture.append(publish(event_id())).await;
    let absent = || rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent");
    let appended = fixture.store().append(SHARD, &[absent(), absent()]).await.expect("appends");
    assert!(appended.records.is_empty());
    assert!(appended.results.iter().all(Result::is_err));
    assert_eq!(fixture.last_position().await, Position(1));
    let next = fixture.append(publish(event_id())).await;
    assert_eq!(next[0].position, Position(2));
}

pub(crate) async fn an_operation_sees_those_before_it_in_its_batch(fixture: Fixture) {
    let (endpoint, event, delivery) = (endpoint_id(), event_id(), delivery_id());
    let batch = [
        rename_endpoint(endpoint, ExpectedVersion::Any, "too early"),
        create_endpoint(endpoint),
        rename_endpoint(endpoint, version(1), "first"),
        rename_endpoint(endpoint, version(1), "stale by now"),
        rename_endpoint(endpoint, version(2), "second"),
        publish(event),
        schedule(event, &[(delivery, endpoint)], &[]).advancing(0, 4),
        schedule(event, &[(delivery_id(), endpoint)], &[]).advancing(0, 4),
        change_delivery(delivery, version(0), DeliveryFact::RetryRequested),
        change_delivery(delivery, version(0), DeliveryFact::CancelRequested),
        change_delivery(delivery, version(1), DeliveryFact::Cancelled { reason: String::new() }),
    ];
    let results = fixture.results(&batch).await;

    let stale = |stream, expected, actual| {
        let (expected, actual) = (Version(expected), Version(actual));
        Refusal::StaleVersion { stream, expected, actual }
    };
    let refusals: Vec<_> = results
        .into_iter()
        .enumerate()
        .filter_map(|(index, result)| Some((index, result.err()?)))
        .collect();
    let expected = [
        (0, Refusal::NoSuchStream(Stream::Endpoint(endpoint))),
        (3, stale(Stream::Endpoint(endpoint), 1, 2)),
        (7, Refusal::OutOfOrder { expected: Position(0), actual: Position(4) }),
        (9, stale(Stream::Delivery(delivery), 0, 1)),
    ];
    assert_eq!(refusals, expected);
    let endpoint = fixture.endpoint(endpoint).await;
    assert_eq!((endpoint.config.display_name.as_str(), endpoint.version), ("second", Version(3)));
    let delivery = fixture.delivery(delivery).await;
    assert_eq!((delivery.state, delivery.version), (DeliveryState::Cancelled, Version(2)));
    assert_eq!(fixture.last_position().await, Position(7));
}

pub(crate) async fn entities_of_another_organization_cannot_be_changed(fixture: Fixture) {
    let (endpoint, event, delivery) = (endpoint_id(), event_id(), delivery_id());
    fixture
        .append_all(&[
            create_endpoint(endpoint),
            publish(event),
            schedule(event, &[(delivery, endpoint)], &[]),
        ])
        .await;
    let new = endpoint_id();
    let theirs = [
        rename_endpoint(endpoint, ExpectedVersion::Any, "theirs"),
        rename_endpoint(endpoint, version(1), "theirs"),
        change_delivery(delivery, ExpectedVersion::Any, DeliveryFact::RetryRequested),
        rename_endpoint(new, ExpectedVersion::Any, "theirs"),
    ];
    let mut batch = vec![create_endpoint(new)];
    batch.extend(theirs.into_iter().map(|operation| operation.of(other_organization())));
    // It must not help that the same batch changes its own rows.
    batch.insert(1, rename_endpoint(endpoint, version(1), "ours"));
    let results = fixture.results(&batch).await;

    assert!(results[0].is_ok() && results[1].is_ok());
    let streams = [
        Stream::Endpoint(endpoint),
        Stream::Endpoint(endpoint),
        Stream::Delivery(delivery),
        Stream::Endpoint(new),
    ];
    assert_eq!(results[2..], streams.map(|stream| Err(Refusal::NoSuchStream(stream))));
    assert_eq!(fixture.endpoint(endpoint).await.config.display_name, "ours");
}

pub(crate) async fn an_append_without_operations_changes_nothing(fixture: Fixture) {
    let appended = fixture.store().append(SHARD, &[]).await.expect("appends nothing");
    assert!(appended.results.is_empty() && appended.records.is_empty());
    let state = fixture.store().shard_state(SHARD).await.expect("reads");
    assert_eq!((state.last_position, state.checkpoint), (Position::START, Position::START));
}

pub(crate) async fn a_batch_of_2_000_operations_is_appended(fixture: Fixture) {
    let endpoint = endpoint_id();
    let expire_time = fixture.now() + Duration::from_secs(600);
    let mut batch = vec![create_endpoint(endpoint)];
    batch.extend((1..2_000).map(|number| match number % 3 {
        0 => rename_endpoint(endpoint, ExpectedVersion::Any, &format!("name {number}")),
        _ => {
            let event = event_id();
            let publish = publish_with_key(event, &format!("key {number}"), "content");
            publish.with_body(crate::BodyId::Event(event), event.to_string(), expire_time)
        }
    }));
    let records = fixture.append_all(&batch).await;
    assert_eq!(records.len(), 2_000);
    assert_eq!(fixture.log().await, records);
    assert_eq!(fixture.endpoint(endpoint).await.config.display_name, "name 1998");
    let ids: Vec<_> =
        batch.iter().flat_map(|operation| &operation.bodies).map(|body| body.id).collect();
    let bodies = fixture.store().bodies(SHARD, &ids).await.expect("reads");
    assert_eq!(bodies.len(), 1_333);
}

pub(crate) async fn an_event_with_3_000_deliveries_is_routed_and_concluded(fixture: Fixture) {
    let event = event_id();
    let endpoints: Vec<_> = (0..3_000).map(|_| endpoint_id()).collect();
    let create: Vec<_> = endpoints.iter().map(|id| create_endpoint(*id)).collect();
    fixture.append_all(&create).await;
    let deliveries: Vec<_> = endpoints.iter().map(|id| (delivery_id(), *id)).collect();
    let (scheduled, missed) = deliveries.split_at(2_999);
    fixture.append_all(&[publish(event), schedule(event, &deliveries, &[missed[0].1])]).await;

    let ids: Vec<_> = scheduled.iter().map(|(delivery, _)| *delivery).collect();
    let rows = fixture.store().deliveries(SHARD, &organization(), &ids).await.expect("reads");
    assert_eq!(rows.len(), 2_999);
    let conclusions: Vec<_> = rows.iter().map(|row| succeed(row, fixture.now())).collect();
    fixture.append_all(&conclusions).await;

    let waiting = fixture.store().waiting_endpoints(SHARD).await.expect("reads");
    let waiting: Vec<_> = waiting.endpoints.into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(waiting, [endpoints[2_999]]);
    let due = fixture.store().due_deliveries(SHARD, endpoints[2_999], DueKey::MIN, 10).await;
    assert_eq!(due.expect("reads").deliveries.len(), 1);
}

pub(crate) async fn a_probing_commit_changes_nothing(fixture: Fixture) {
    let store = fixture.store();
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    let before = store.shard_state(SHARD).await.expect("reads");
    for _ in 0..2 {
        store.try_commit(SHARD).await.expect("commits");
    }
    assert_eq!(store.shard_state(SHARD).await.expect("reads"), before);
    let appended = store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    assert_eq!(appended.records[0].position, Position(2));
}
