//! The rows of the tables after each fact.

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptDetails, AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::{
    DUE_IMMEDIATELY, Delivery, DeliveryState, RequestResult,
};
use keeptrusts_webhooks_domain::endpoint::{
    DisableCause, Endpoint, EndpointState, PreviousSecret, StateCause,
};
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event::{ContentDigest, Event};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact};
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;
use keeptrusts_webhooks_domain::trace::TraceContext;

use super::Fixture;
use super::due::due;
use super::given::*;
use crate::durations;
use crate::log::operation::ExpectedVersion;
use crate::log::projection::{CountKey, hour_of};
use crate::queries::AttemptFilter;
use crate::store::DueKey;

/// How a fact changes an endpoint's row, apart from versions and times.
type Effect = fn(&mut Endpoint);

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An endpoint that exists.
pub(super) async fn an_endpoint(fixture: &Fixture) -> EndpointId {
    let id = endpoint_id();
    fixture.append(create_endpoint(id)).await;
    id
}

/// A delivery that waits for its first attempt.
pub(super) async fn a_delivery_to(fixture: &Fixture, endpoint: EndpointId) -> DeliveryId {
    let (event, delivery) = (event_id(), delivery_id());
    fixture.append_all(&[publish(event), schedule(event, &[(delivery, endpoint)], &[])]).await;
    delivery
}

/// Appends a fact to a delivery; returns its row and the time of the record.
async fn change(fixture: &Fixture, id: DeliveryId, fact: DeliveryFact) -> (Delivery, Timestamp) {
    let records = fixture.append(change_delivery(id, ExpectedVersion::Any, fact)).await;
    (fixture.delivery(id).await, records[0].recorded_at)
}

async fn attempts_of(fixture: &Fixture, delivery: DeliveryId) -> Vec<Attempt> {
    let filter = AttemptFilter { delivery_id: Some(delivery), ..AttemptFilter::default() };
    let (store, us) = (fixture.store(), organization());
    let listed = store.list_attempts(SHARD, &us, &filter, AttemptId::MAX, 100).await;
    listed.expect("attempts are listed").rows
}

pub(crate) async fn an_endpoints_row_follows_each_of_its_facts(fixture: Fixture) {
    let id = endpoint_id();
    let created = fixture.append(create_endpoint_with(id, "siem", "https://siem.example/")).await;
    let create_time = created[0].recorded_at;
    let mut expected = Endpoint {
        id,
        organization_id: organization(),
        config: EndpointConfig {
            display_name: "siem".to_owned(),
            url: "https://siem.example/".to_owned(),
            event_types: vec![EVENT_TYPE],
            ..EndpointConfig::default()
        },
        secret: sealed("secret"),
        previous_secret: None,
        state: EndpointState::Active,
        state_reason: String::new(),
        state_cause: None,
        state_delivery: None,
        state_time: create_time,
        config_version: Version(1),
        version: Version(1),
        create_time,
        update_time: create_time,
        delete_time: None,
    };
    assert_eq!(fixture.endpoint(id).await, expected);

    let expire_time = time("2026-05-01T00:00:00.000001Z");
    let delivery_id = delivery_id();
    let reason = || "because".to_owned();
    let patch = EndpointPatch {
        display_name: Some("SIEM".to_owned()),
        event_types: Some(vec![EventType::PolicyBlock, EventType::UserInvited]),
        ..EndpointPatch::default()
    };
    let disabled = |cause| EndpointFact::Disabled { reason: reason(), cause };
    let active: Effect = |row| {
        row.state = EndpointState::Active;
        row.state_reason = String::new();
        (row.state_cause, row.state_delivery) = (None, None);
    };
    let format = |format| {
        updated(EndpointPatch { payload_format: Some(format), ..EndpointPatch::default() })
    };
    let steps: [(EndpointFact, Effect); 15] = [
        (format(PayloadFormat::PagerDuty { routing_key: sealed("key") }), |row| {
            row.config.payload_format = PayloadFormat::PagerDuty { routing_key: sealed("key") };
            row.config_version = Version(2);
        }),
        (format(PayloadFormat::Custom { template: "{}".to_owned() }), |row| {
            row.config.payload_format = PayloadFormat::Custom { template: "{}".to_owned() };
            row.config_version = Version(3);
        }),
        (format(PayloadFormat::Slack), |row| {
            row.config.payload_format = PayloadFormat::Slack;
            row.config_version = Version(4);
        }),
        (updated(patch), |row| {
            row.config.display_name = "SIEM".to_owned();
            row.config.event_types = vec![EventType::PolicyBlock, EventType::UserInvited];
            row.config_version = Version(5);
        }),
        (
            EndpointFact::SecretRotated {
                secret: sealed("second"),
                previous_expire_time: Some(expire_time),
            },
            |row| {
                let secret = std::mem::replace(&mut row.secret, sealed("second"));
                let expire_time = time("2026-05-01T00:00:00.000001Z");
                row.previous_secret = Some(PreviousSecret { secret, expire_time });
                row.config_version = Version(6);
            },
        ),
        (updated_with_secret(sealed("third"), EndpointPatch::default()), |row| {
            row.secret = sealed("third");
            row.previous_secret = None;
            row.config_version = Version(7);
        }),
        (EndpointFact::Degraded { delivery_id: DeliveryId::MIN, reason: reason() }, |row| {
            row.state = EndpointState::Degraded;
            row.state_reason = "because".to_owned();
            row.state_cause = Some(StateCause::Exhausted);
            row.state_delivery = Some(DeliveryId::MIN);
        }),
        (EndpointFact::Recovered { delivery_id }, active),
        (disabled(DisableCause::Requested), |row| {
            row.state = EndpointState::Disabled;
            row.state_reason = "because".to_owned();
            row.state_cause = Some(StateCause::Requested);
        }),
        (EndpointFact::Enabled, active),
        (
            disabled(DisableCause::FailedTooLong {
                delivery_id: DeliveryId::MIN,
                since: create_time,
            }),
            |row| {
                row.state = EndpointState::Disabled;
                row.state_reason = "because".to_owned();
                row.state_cause = Some(StateCause::FailedTooLong);
                row.state_delivery = Some(DeliveryId::MIN);
            },
        ),
        (EndpointFact::Enabled, active),
        (disabled(DisableCause::Gone { delivery_id: DeliveryId::MAX }), |row| {
            row.state = EndpointState::Disabled;
            row.state_reason = "because".to_owned();
            row.state_cause = Some(StateCause::Gone);
            row.state_delivery = Some(DeliveryId::MAX);
        }),
        (EndpointFact::SecretRevealed, |_| ()),
        (EndpointFact::Deleted, |row| row.delete_time = Some(Timestamp::MAX)),
    ];
    for (fact, effect) in steps {
        fixture.advance(Duration::from_millis(1)).await;
        let is_change = fact != EndpointFact::SecretRevealed;
        let recorded = fixture
            .append(change_endpoint(id, ExpectedVersion::Exactly(expected.version), fact))
            .await;
        expected.version = expected.version.next();
        let status = expected.state;
        effect(&mut expected);
        if expected.state != status {
            expected.state_time = recorded[0].recorded_at;
        }
        if is_change {
            expected.update_time = recorded[0].recorded_at;
        }
        expected.delete_time = expected.delete_time.map(|_| recorded[0].recorded_at);
        assert_eq!(fixture.endpoint(id).await, expected);
    }
}

pub(crate) async fn an_accepted_event_and_its_delivery_have_rows_with_their_trace(
    fixture: Fixture,
) {
    let endpoint = an_endpoint(&fixture).await;
    let (event, delivery) = (event_id(), delivery_id());
    let mut batch =
        [publish_with_key(event, "key", "content"), schedule(event, &[(delivery, endpoint)], &[])];
    for operation in &mut batch {
        operation.metadata.trace = Some(noted());
    }
    let recorded_at = fixture.append_all(&batch).await[0].recorded_at;

    let row = fixture.store().event(SHARD, &organization(), event).await.expect("reads");
    let row = row.expect("the event exists");
    assert_eq!((row.id, row.event_type, row.create_time), (event, EVENT_TYPE, recorded_at));
    assert_eq!(row.event_time, time(EVENT_TIME));
    assert_eq!(row.body, ContentDigest::of(event.to_string().as_bytes()));
    let idempotency = row.idempotency.expect("it has a key");
    assert_eq!(idempotency.key.as_str(), "key");
    assert_eq!(idempotency.request_sha256, ContentDigest::of(b"content").sha256);
    assert_eq!(row.trace_id.expect("traced").to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");

    let expected = Delivery {
        id: delivery,
        organization_id: organization(),
        event_id: event,
        event_type: EVENT_TYPE,
        is_test: false,
        event_time: Some(time(EVENT_TIME)),
        endpoint_id: endpoint,
        state: DeliveryState::Scheduled,
        attempt_count: 0,
        automatic_count: 0,
        next_attempt_time: Some(recorded_at),
        steady_due_time: None,
        retry_request_time: None,
        retry_request_trace: None,
        replay_request_trace: None,
        trace: Some(noted()),
        create_time: recorded_at,
        end_reason: String::new(),
        version: Version(0),
    };
    assert_eq!(fixture.delivery(delivery).await, expected);
}

pub(crate) async fn a_delivery_retries_until_it_fails_and_each_attempt_has_a_row(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let id = a_delivery_to(&fixture, endpoint).await;
    let start_time = time("2026-04-23T10:59:59.999999Z");
    for number in 1..=6_u32 {
        let row = fixture.delivery(id).await;
        assert_eq!((row.attempt_count, row.automatic_count), (number - 1, number - 1));
        assert!(row.due_time().is_some());
        fixture.append(fail(&row, start_time)).await;
        let state = if number < 6 { DeliveryState::Retrying } else { DeliveryState::Failed };
        assert_eq!(fixture.delivery(id).await.state, state);
    }
    let row = fixture.delivery(id).await;
    assert_eq!((row.attempt_count, row.automatic_count, row.due_time()), (6, 6, None));

    let attempts = attempts_of(&fixture, id).await;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.details.number).collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
    let first = &attempts[5];
    assert_eq!((first.delivery_id, first.organization_id.clone()), (id, organization()));
    assert_eq!((first.outcome, first.error.as_str()), (AttemptOutcome::Retrying, "answered 500"));
    assert_eq!(first.next_attempt_time, Some(time("2026-04-23T11:01:00.004999Z")));
    let details = AttemptDetails { id: first.details.id, ..attempt_of(&row, start_time) };
    let details =
        AttemptDetails { number: 1, automatic_count: 1, status_code: Some(500), ..details };
    let details = AttemptDetails { remark: "a remark on attempt 1".to_owned(), ..details };
    assert_eq!(first.details, details);
    let last = &attempts[0];
    assert_eq!((last.outcome, last.next_attempt_time), (AttemptOutcome::Failed, None));

    let store = fixture.store();
    let found = store.attempt(SHARD, &organization(), first.details.id).await.expect("reads");
    assert_eq!(found.as_ref(), Some(first));
    let strangers = "another".parse().expect("an id");
    let found = store.attempt(SHARD, &strangers, first.details.id).await.expect("reads");
    assert_eq!(found, None, "it is of one organization");
    let found = store.attempt(SHARD, &organization(), AttemptId::MIN).await.expect("reads");
    assert_eq!(found, None);
}

/// A trace with the state of another system.
fn noted() -> TraceContext {
    let trace: TraceContext = TRACE.parse().expect("valid");
    trace.with_state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".parse().ok())
}

pub(crate) async fn a_delivery_keeps_the_traces_of_the_requests_for_its_attempts(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let id = a_delivery_to(&fixture, endpoint).await;
    let asked = async |fact: DeliveryFact, trace: TraceContext| {
        let mut operation = change_delivery(id, ExpectedVersion::Any, fact);
        operation.metadata.trace = Some(trace);
        fixture.append(operation).await;
        fixture.delivery(id).await
    };
    while !fixture.delivery(id).await.state.has_ended() {
        fixture.append(fail(&fixture.delivery(id).await, fixture.now())).await;
    }
    let resumed = DeliveryFact::Resumed { replay_id: replay_id(), endpoint_id: endpoint };
    let row = asked(resumed, noted()).await;
    let of_replay = Some(Box::new(noted().without_state()));
    assert_eq!((&row.replay_request_trace, &row.retry_request_trace), (&of_replay, &None));
    let of_retry = noted().child([7; 8]);
    let row = asked(DeliveryFact::RetryRequested, of_retry.clone()).await;
    assert_eq!(row.retry_request_trace, Some(Box::new(of_retry.without_state())));
    fixture.append(fail(&row, fixture.now())).await;
    let row = fixture.delivery(id).await;
    assert_eq!((&row.replay_request_trace, &row.retry_request_trace), (&of_replay, &None));
    // Due deliveries are read with all of it.
    assert_eq!(due(&fixture, endpoint, DueKey::MIN, 10).await, [row]);
}

pub(crate) async fn a_manual_retry_is_due_beside_the_schedule_and_can_deliver(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let id = a_delivery_to(&fixture, endpoint).await;
    fixture.append(fail(&fixture.delivery(id).await, fixture.now())).await;
    let scheduled = fixture.delivery(id).await.next_attempt_time;

    let (row, asked_at) = change(&fixture, id, DeliveryFact::RetryRequested).await;
    assert_eq!(row.retry_request_time, Some(asked_at));
    assert_eq!((row.next_attempt_time, row.due_time()), (scheduled, Some(DUE_IMMEDIATELY)));
    assert_eq!(row.expected_attempt_time(), Some(asked_at));

    fixture.append(fail(&row, fixture.now())).await;
    let row = fixture.delivery(id).await;
    assert_eq!((row.state, row.attempt_count), (DeliveryState::Retrying, 2));
    assert_eq!((row.automatic_count, row.due_time()), (1, scheduled.map(on_steady_clock)));
    assert_eq!(row.expected_attempt_time(), scheduled);

    change(&fixture, id, DeliveryFact::RetryRequested).await;
    fixture.append(succeed(&fixture.delivery(id).await, fixture.now())).await;
    let row = fixture.delivery(id).await;
    assert_eq!((row.state, row.attempt_count), (DeliveryState::Delivered, 3));
    assert_eq!((row.retry_request_time, row.next_attempt_time), (None, None));
    let triggers: Vec<_> =
        attempts_of(&fixture, id).await.iter().map(|row| row.details.trigger).collect();
    assert_eq!(triggers, [Trigger::Manual, Trigger::Manual, Trigger::Automatic]);
}

pub(crate) async fn a_cancelled_delivery_waits_for_nothing(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let id = a_delivery_to(&fixture, endpoint).await;
    change(&fixture, id, DeliveryFact::RetryRequested).await;
    let (asked, _) = change(&fixture, id, DeliveryFact::CancelRequested).await;
    assert_eq!(asked.state, DeliveryState::Scheduled, "asking is not yet doing");
    let reason = "by an operator".to_owned();
    let (row, _) = change(&fixture, id, DeliveryFact::Cancelled { reason: reason.clone() }).await;
    assert_eq!((row.state, row.end_reason.clone()), (DeliveryState::Cancelled, reason));
    assert_eq!((row.due_time(), row.version), (None, Version(3)));
    assert!(due(&fixture, endpoint, DueKey::MIN, 10).await.is_empty());
    assert!(fixture.store().waiting_endpoints(SHARD).await.expect("reads").endpoints.is_empty());
}

pub(crate) async fn a_test_is_an_event_and_a_delivery_of_its_own(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let (event, id) = (event_id(), delivery_id());
    let mut request = request_test(id, event, endpoint);
    request.metadata.actor = "key_1".to_owned();
    request.metadata.trace = Some(TRACE.parse().expect("valid"));
    let records = fixture.append(request).await;
    let recorded_at = records[0].recorded_at;

    let row = fixture.store().event(SHARD, &organization(), event).await.expect("reads");
    let expected = Event {
        id: event,
        organization_id: organization(),
        event_type: EVENT_TYPE,
        is_test: true,
        event_time: time("2026-04-23T10:29:59.5Z"),
        create_time: recorded_at,
        body: ContentDigest::of(b"test"),
        idempotency: None,
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".parse().expect("valid")),
        publisher: "key_1".to_owned(),
        position: records[0].position,
    };
    assert_eq!(row, Some(expected));
    let row = fixture.delivery(id).await;
    assert_eq!((row.event_id, row.event_type, row.is_test), (event, EVENT_TYPE, true));
    assert_eq!((row.state, row.version), (DeliveryState::Scheduled, Version(1)));

    fixture.append(fail(&row, fixture.now())).await;
    let row = fixture.delivery(id).await;
    assert_eq!((row.state, row.due_time()), (DeliveryState::Failed, None));
    assert_eq!(attempts_of(&fixture, id).await[0].details.trigger, Trigger::Test);
}

pub(crate) async fn a_batch_may_change_what_it_has_created(fixture: Fixture) {
    let (endpoint, event, id) = (endpoint_id(), event_id(), delivery_id());
    let scheduled = Delivery {
        id,
        organization_id: organization(),
        event_id: event,
        event_type: EVENT_TYPE,
        is_test: false,
        event_time: Some(time(EVENT_TIME)),
        endpoint_id: endpoint,
        state: DeliveryState::Scheduled,
        attempt_count: 0,
        automatic_count: 0,
        next_attempt_time: Some(fixture.now()),
        steady_due_time: None,
        retry_request_time: None,
        retry_request_trace: None,
        replay_request_trace: None,
        trace: None,
        create_time: fixture.now(),
        end_reason: String::new(),
        version: Version(0),
    };
    let retrying = Delivery {
        attempt_count: 1,
        automatic_count: 1,
        state: DeliveryState::Retrying,
        version: Version(1),
        ..scheduled.clone()
    };
    let batch = [
        create_endpoint(endpoint),
        publish(event),
        schedule(event, &[(id, endpoint)], &[]),
        fail(&scheduled, fixture.now()),
        succeed(&retrying, fixture.now()),
        change_endpoint(endpoint, version(1), EndpointFact::Deleted),
    ];
    fixture.append_all(&batch).await;
    let row = fixture.delivery(id).await;
    assert_eq!((row.state, row.attempt_count), (DeliveryState::Delivered, 2));
    assert_eq!((row.version, row.due_time()), (Version(2), None));
    assert_eq!(attempts_of(&fixture, id).await.len(), 2);
    assert!(fixture.endpoint(endpoint).await.delete_time.is_some());
}

pub(crate) async fn attempts_are_counted_by_hour_outcome_and_duration_and_tests_are_not(
    fixture: Fixture,
) {
    let endpoint = an_endpoint(&fixture).await;
    let hours = ["2026-04-23T09:59:59.999999Z", "2026-04-23T10:00:00Z", "2026-04-23T10:30:00Z"];
    let durations = [Duration::from_millis(2), Duration::from_secs(3)];
    let mut expected = HashMap::new();
    for start_time in hours.map(time) {
        for duration in durations {
            // The last one comes twice in one batch, so that counts are added up within it.
            let row = fixture.delivery(a_delivery_to(&fixture, endpoint).await).await;
            let twin = fixture.delivery(a_delivery_to(&fixture, endpoint).await).await;
            let details =
                |row: &Delivery| AttemptDetails { duration, ..attempt_of(row, start_time) };
            fixture.append(conclude(&row, details(&row), failure())).await;
            let row = fixture.delivery(row.id).await;
            let last =
                [&row, &twin].map(|row| conclude(row, details(row), RequestResult::Succeeded));
            fixture.append_all(&last).await;
            for (outcome, count) in [(AttemptOutcome::Retrying, 1), (AttemptOutcome::Delivered, 2)]
            {
                let key = CountKey {
                    endpoint_id: endpoint,
                    hour: hour_of(start_time),
                    outcome,
                    duration_bucket: durations::bucket(duration),
                };
                *expected.entry(key).or_insert(0) += count;
            }
        }
    }
    let test = delivery_id();
    fixture.append(request_test(test, event_id(), endpoint)).await;
    fixture.append(succeed(&fixture.delivery(test).await, time(hours[0]))).await;

    let counts = async |endpoint, from| {
        let counts = fixture.store().attempt_counts(SHARD, endpoint, from).await;
        counts.expect("counts are read").into_iter().collect::<HashMap<_, u64>>()
    };
    assert_eq!(expected.len(), 8, "the two later times lie in one hour");
    assert_eq!(counts(endpoint, Timestamp::UNIX_EPOCH).await, expected);
    let ten = time("2026-04-23T10:00:00Z");
    expected.retain(|key, _| key.hour >= ten);
    assert_eq!(counts(endpoint, ten).await, expected);
    assert!(counts(endpoint_id(), Timestamp::UNIX_EPOCH).await.is_empty());
}
