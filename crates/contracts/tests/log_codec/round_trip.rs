//! A fact that is encoded and decoded is the same fact.

use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::{
    Metadata, decode, decode_exchange, encode, encode_exchange,
};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, HttpExchange, Trigger};
use keeptrusts_webhooks_domain::config::FieldValue;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{
    DeliveriesScheduled, DeliveryFact, EndpointFact, EventAccepted, Fact,
};
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, KeyId, ReplayId,
};
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, SessionOrigin, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;
use keeptrusts_webhooks_domain::replay::{
    NewReplay, ReplayBound, ReplayCounts, ReplayCursor, ReplayFact, ReplayScope, ReplaySelection,
    ReplayStep,
};
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestDigest, RequestId};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use ulid::Ulid;

use crate::samples::{attempt, stream_of, time};

proptest! {
    #[test]
    fn every_fact(fact in any_fact()) {
        prop_assert_eq!(decode(stream_of(&fact), &encode(&fact)), Ok(fact));
    }

    #[test]
    fn metadata(
        actor in any::<String>(),
        correlation_id in any::<String>(),
        causation in of(1..=i64::MAX),
        trace in of(traces()),
        actor_name in any::<String>(),
        address in of(any::<std::net::IpAddr>()),
        steady_time in of(times()),
        request in of(requests()),
    ) {
        let causation = causation.map(Position);
        let metadata = Metadata {
            actor,
            correlation_id,
            causation,
            trace,
            actor_name,
            address,
            steady_time,
            request,
        };
        prop_assert_eq!(Metadata::decode(&metadata.encode()), Ok(metadata));
    }

    #[test]
    fn exchanges(
        request_headers in headers(),
        response_headers in headers(),
        response_body in vec(any::<u8>(), 0..64),
        request_body in of(vec(any::<u8>(), 0..64)),
    ) {
        let exchange = HttpExchange { request_headers, response_headers, response_body, request_body };
        prop_assert_eq!(decode_exchange(&encode_exchange(&exchange)), Ok(exchange));
    }

    #[test]
    fn bytes_that_nobody_wrote_do_no_harm(bytes in vec(any::<u8>(), 0..64)) {
        let _ = decode(Stream::Event(EventId::MIN), &bytes);
        let _ = Metadata::decode(&bytes);
        let _ = decode_exchange(&bytes);
    }
}

#[test]
fn times_are_cut_to_the_microsecond() {
    let fine = AttemptDetails {
        start_time: time() + Duration::from_nanos(999),
        duration: attempt().duration + Duration::from_nanos(999),
        ..attempt()
    };
    let [fine, cut] =
        [fine, attempt()].map(|details| Fact::Delivery(DeliveryFact::AttemptSucceeded(details)));
    assert_eq!(decode(stream_of(&fine), &encode(&fine)), Ok(cut));
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        endpoint_fact().prop_map(Fact::Endpoint),
        event_accepted().prop_map(Fact::EventAccepted),
        deliveries_scheduled().prop_map(Fact::DeliveriesScheduled),
        delivery_fact().prop_map(Fact::Delivery),
        key_fact().prop_map(Fact::Key),
        replay_fact().prop_map(Fact::Replay),
    ]
}

fn payload_formats() -> impl Strategy<Value = PayloadFormat> {
    prop_oneof![
        Just(PayloadFormat::Keeptrusts),
        Just(PayloadFormat::Slack),
        Just(PayloadFormat::Teams),
        Just(PayloadFormat::CloudEvents),
        sealed().prop_map(|routing_key| PayloadFormat::PagerDuty { routing_key }),
        any::<String>().prop_map(|template| PayloadFormat::Custom { template }),
    ]
}

fn endpoint_fact() -> impl Strategy<Value = EndpointFact> {
    let patch = || {
        (any::<[Option<String>; 3]>(), of(event_types()), of(payload_formats())).prop_map(
            |([name, url, description], event_types, payload_format)| EndpointPatch {
                display_name: name,
                url,
                description,
                event_types,
                payload_format,
            },
        )
    };
    let created = (patch(), event_types(), sealed()).prop_map(|(patch, event_types, secret)| {
        let mut config = EndpointConfig { event_types, ..EndpointConfig::default() };
        config.apply(patch);
        EndpointFact::Created { config, secret }
    });
    let updated = (patch(), of(sealed()), patch()).prop_map(|(patch, secret, before)| {
        let shown = before.payload_format.as_ref().map(FieldValue::shown);
        EndpointFact::Updated { patch, secret, before: before.with_payload_format(shown) }
    });
    prop_oneof![
        created,
        updated,
        (sealed(), of(times())).prop_map(|(secret, previous_expire_time)| {
            EndpointFact::SecretRotated { secret, previous_expire_time }
        }),
        Just(EndpointFact::Enabled),
        (any::<String>(), disable_causes())
            .prop_map(|(reason, cause)| EndpointFact::Disabled { reason, cause }),
        (delivery_ids(), any::<String>())
            .prop_map(|(delivery_id, reason)| EndpointFact::Degraded { delivery_id, reason }),
        delivery_ids().prop_map(|delivery_id| EndpointFact::Recovered { delivery_id }),
        Just(EndpointFact::Deleted),
        Just(EndpointFact::SecretRevealed),
    ]
}

fn disable_causes() -> impl Strategy<Value = DisableCause> {
    prop_oneof![
        Just(DisableCause::Requested),
        (delivery_ids(), times())
            .prop_map(|(delivery_id, since)| DisableCause::FailedTooLong { delivery_id, since }),
        delivery_ids().prop_map(|delivery_id| DisableCause::Gone { delivery_id }),
    ]
}

fn key_fact() -> impl Strategy<Value = KeyFact> {
    let role = (0..Role::ALL.len()).prop_map(|index| Role::ALL[index]);
    let parent = of((0..=u128::MAX).prop_map(|number| KeyId::new(Ulid(number))));
    let session = of(parent.prop_map(|parent| SessionOrigin { parent }));
    let created = (any::<String>(), role, any::<[u8; 32]>(), of(times()), session).prop_map(
        |(name, role, token, expire_time, session)| {
            let token = TokenDigest(token);
            KeyFact::Created(NewKey { display_name: name, role, token, expire_time, session })
        },
    );
    prop_oneof![created, Just(KeyFact::Revoked), Just(KeyFact::SessionEnded)]
}

fn event_accepted() -> impl Strategy<Value = EventAccepted> {
    let idempotency = ("[^\0]{1,64}", any::<[u8; 32]>()).prop_map(|(key, request_sha256)| {
        let key = IdempotencyKey::optional(key).expect("short").expect("not empty");
        Idempotency { key, request_sha256 }
    });
    (any_event_type(), times(), digests(), of(idempotency), any::<bool>()).prop_map(
        |(event_type, event_time, body, idempotency, is_routed)| EventAccepted {
            event_type,
            event_time,
            body,
            idempotency,
            is_routed,
        },
    )
}

fn deliveries_scheduled() -> impl Strategy<Value = DeliveriesScheduled> {
    let deliveries = vec((delivery_ids(), endpoint_ids()), 0..5);
    (any_event_type(), of(times()), deliveries, vec(endpoint_ids(), 0..5)).prop_map(
        |(event_type, event_time, deliveries, missed)| DeliveriesScheduled {
            event_type,
            event_time,
            deliveries,
            missed,
        },
    )
}

fn delivery_fact() -> impl Strategy<Value = DeliveryFact> {
    let test_requested = (event_ids(), any_event_type(), endpoint_ids(), times(), digests())
        .prop_map(|(event_id, event_type, endpoint_id, event_time, body)| {
            DeliveryFact::TestRequested { event_id, event_type, endpoint_id, event_time, body }
        });
    let states = select(vec![
        DeliveryState::Scheduled,
        DeliveryState::Retrying,
        DeliveryState::Delivered,
        DeliveryState::Failed,
        DeliveryState::Cancelled,
    ]);
    let pauses = (0_u64..300_000_000).prop_map(Duration::from_micros);
    let times_of_next = (of(times()), of(times()));
    let failed = (attempts(), any::<String>(), times_of_next, states, of(pauses)).prop_map(
        |(details, error, (next_attempt_time, steady_due_time), state, endpoint_pause)| {
            DeliveryFact::AttemptFailed {
                details,
                error,
                next_attempt_time,
                steady_due_time,
                state,
                endpoint_pause,
            }
        },
    );
    prop_oneof![
        test_requested,
        Just(DeliveryFact::RetryRequested),
        Just(DeliveryFact::CancelRequested),
        attempts().prop_map(DeliveryFact::AttemptSucceeded),
        failed,
        any::<String>().prop_map(|reason| DeliveryFact::Cancelled { reason }),
        (endpoint_ids(), any_event_type(), any::<bool>(), any::<String>()).prop_map(
            |(endpoint_id, event_type, is_test, reason)| DeliveryFact::Expired {
                endpoint_id,
                event_type,
                is_test,
                reason,
            }
        ),
        replayed_or_resumed(),
    ]
}

fn replayed_or_resumed() -> impl Strategy<Value = DeliveryFact> {
    let ids = (any::<u128>(), event_ids(), endpoint_ids());
    let event = (any_event_type(), of(times()), of(traces()));
    (ids, event, any::<bool>()).prop_map(|(ids, event, is_new)| {
        let (replay_id, event_id, endpoint_id) = ids;
        let replay_id = ReplayId::new(Ulid(replay_id));
        let (event_type, event_time, trace) = event;
        match is_new {
            true => DeliveryFact::Replayed {
                replay_id,
                event_id,
                event_type,
                event_time,
                endpoint_id,
                trace,
            },
            false => DeliveryFact::Resumed { replay_id, endpoint_id },
        }
    })
}

fn traces() -> impl Strategy<Value = TraceContext> {
    let state = of("[a-z]{1,8}(@[a-z]{1,4})?=[!-+]{1,9}");
    (1..=u128::MAX, 1..=u64::MAX, any::<bool>(), state).prop_map(
        |(trace_id, span_id, sampled, state)| TraceContext {
            trace_id: TraceId(trace_id.to_be_bytes()),
            span_id: span_id.to_be_bytes(),
            sampled,
            state: state.map(|text| text.parse().expect("a tracestate")),
        },
    )
}

fn replay_fact() -> impl Strategy<Value = ReplayFact> {
    let bound = || {
        of((event_ids(), 0..=i64::MAX)).prop_map(|bound| {
            bound.map(|(event_id, position)| ReplayBound { event_id, position: Position(position) })
        })
    };
    let scopes = select(vec![ReplayScope::Missed, ReplayScope::Failed, ReplayScope::All]);
    let limits = (of(times()), of(times()), bound(), bound(), vec(any_event_type(), 0..4));
    let numbers = (0..=5_000_u32, 0..=i64::MAX as u64, any::<bool>());
    let requested = (endpoint_ids(), scopes, limits, numbers).prop_map(
        |(endpoint_id, scope, limits, numbers)| {
            let (start_time, end_time, start_event, end_event, event_types) = limits;
            let (deliveries_per_second, matched_count, include_delivered) = numbers;
            let selection = ReplaySelection {
                endpoint_id,
                scope,
                start_time,
                end_time,
                start_event,
                end_event,
                event_types,
                include_delivered,
            };
            ReplayFact::Requested(NewReplay {
                selection,
                deliveries_per_second,
                matched_count,
                may_match_more: matched_count % 2 == 1,
            })
        },
    );
    let cursors = prop_oneof![
        (0..=i64::MAX).prop_map(|position| ReplayCursor::Missed(Position(position))),
        any::<u128>().prop_map(|id| ReplayCursor::Attempt(AttemptId::new(Ulid(id)))),
        event_ids().prop_map(ReplayCursor::Event),
    ];
    let count = || 0..=i64::MAX as u64;
    let advanced = (cursors, count(), count(), count(), count()).prop_map(
        |(cursor, scheduled, resumed, skipped, expired)| {
            let counts = ReplayCounts { scheduled, resumed, skipped, expired };
            ReplayFact::Advanced(ReplayStep { cursor, counts })
        },
    );
    prop_oneof![
        requested,
        advanced,
        any::<String>().prop_map(|reason| ReplayFact::Ended { reason }),
        endpoint_ids().prop_map(|endpoint_id| ReplayFact::Cancelled { endpoint_id }),
    ]
}

fn attempts() -> impl Strategy<Value = AttemptDetails> {
    let ids = (any::<u128>(), event_ids(), endpoint_ids(), any_event_type());
    let counts = (0..=i32::MAX as u32, 0..=i32::MAX as u32, of(1..=u16::MAX));
    let triggers = select(vec![Trigger::Automatic, Trigger::Manual, Trigger::Test]);
    let micros = 0..10_000_000_000_u64;
    let remarks = any::<String>();
    (ids, counts, triggers, times(), micros, digests(), remarks).prop_map(
        |(ids, counts, trigger, start_time, micros, exchange, remark)| {
            let (id, event_id, endpoint_id, event_type) = ids;
            let (number, automatic_count, status_code) = counts;
            AttemptDetails {
                id: AttemptId::new(Ulid(id)),
                event_id,
                event_type,
                endpoint_id,
                number,
                automatic_count,
                trigger,
                start_time,
                duration: Duration::from_micros(micros),
                status_code,
                exchange,
                remark,
            }
        },
    )
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    vec((any::<String>(), vec(any::<u8>(), 0..16)), 0..4)
}

/// Years 1 to 9999, in microseconds.
fn requests() -> impl Strategy<Value = IdentifiedRequest> {
    ("[!-~]{1,128}", any::<[u8; 32]>()).prop_map(|(id, digest)| IdentifiedRequest {
        id: RequestId::optional(id).expect("visible ASCII").expect("not empty"),
        digest: RequestDigest(digest),
    })
}

fn times() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000_000..253_402_207_200_000_000_i64)
        .prop_map(|micros| Timestamp::from_microsecond(micros).expect("in range"))
}

fn any_event_type() -> impl Strategy<Value = EventType> {
    let with_test: Vec<_> = EventType::ALL.iter().copied().chain([EventType::Test]).collect();
    select(with_test)
}

fn event_types() -> impl Strategy<Value = Vec<EventType>> {
    vec(any_event_type(), 1..5)
}

fn digests() -> impl Strategy<Value = ContentDigest> {
    any::<([u8; 32], u32)>().prop_map(|(sha256, size)| ContentDigest { sha256, size })
}

fn sealed() -> impl Strategy<Value = SealedSecret> {
    (any::<String>(), any::<[u8; 12]>(), vec(any::<u8>(), 0..64))
        .prop_map(|(key_id, nonce, ciphertext)| SealedSecret { key_id, nonce, ciphertext })
}

fn delivery_ids() -> impl Strategy<Value = DeliveryId> {
    any::<u128>().prop_map(|ulid| DeliveryId::new(Ulid(ulid)))
}

fn endpoint_ids() -> impl Strategy<Value = EndpointId> {
    any::<u128>().prop_map(|ulid| EndpointId::new(Ulid(ulid)))
}

fn event_ids() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|ulid| EventId::new(Ulid(ulid)))
}
