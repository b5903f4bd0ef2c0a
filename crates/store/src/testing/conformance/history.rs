//! Long random histories of the domain's decisions. The same operations go to the checked store and
//! to a store in memory, and both must answer alike.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState, RequestResult};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, EndpointState};
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{
    ReplayAction, ReplayBound, ReplayCounts, ReplayFact, ReplayScope, ReplaySelection, ReplayStep,
};
use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};
use keeptrusts_webhooks_testkit::random::Random;

use super::given::*;
use super::stories::in_state;
use super::{Fixture, ManualClock};
use crate::log::operation::{AppendOutcome, BodyId, ExpectedVersion, Operation};
use crate::queries::replay_candidates::Candidate;
use crate::queries::{DeliveryFilter, EventFilter};
use crate::store::Store;
use crate::testing::memory::MemoryStore;

const EVENT_TYPES: [EventType; 3] =
    [EventType::PolicyViolation, EventType::ExportFailed, EventType::UserInvited];
/// The endpoints that are not deleted.
const MAX_ENDPOINTS: usize = 12;
const MAX_OPERATIONS_OF_A_BATCH: usize = 12;

/// A history that is being made.
pub(crate) struct History {
    random: Random,
    /// The reference: it gets the same operations at the same times as the checked store.
    pub(crate) reference: Arc<dyn Store>,
    clock: ManualClock,
    epoch: Epoch,
    /// The checkpoint after the operations that were decided.
    checkpoint: Position,
}

impl History {
    /// Begins the history of a new database and takes its lease. The same seed makes the same
    /// decisions.
    pub(crate) async fn begin(fixture: &Fixture, random: Random) -> History {
        let clock = ManualClock::new();
        let reference: Arc<dyn Store> = Arc::new(MemoryStore::new(1, clock.as_clock()));
        let mut epoch = Epoch(0);
        for store in [fixture.store(), &*reference] {
            let lease = store.acquire_lease(SHARD, "us", Duration::from_secs(3_600)).await;
            epoch = lease.expect("the lease is asked for").expect("the lease is free").epoch;
        }
        History { random, reference, clock, epoch, checkpoint: Position::START }
    }

    /// Appends some batches. Panics if the two stores answer differently.
    pub(crate) async fn go_on(&mut self, fixture: &Fixture, batches: usize) {
        for (store, _) in fixture.handles().zip(0..batches) {
            let batch = self.decide_batch().await;
            let appended = store.append(SHARD, &batch).await.expect("appends");
            let new = appended.results.iter().find_map(|result| match result {
                Ok(AppendOutcome::Appended { recorded_at, .. }) => Some(*recorded_at),
                _ => None,
            });
            self.clock.set(new.unwrap_or(self.clock.now()));
            let expected = self.reference.append(SHARD, &batch).await.expect("appends");
            assert_eq!(appended.results, expected.results);
            assert_eq!(appended.records, expected.records);
        }
    }

    /// Operations that may follow in the current state. Some will be refused.
    async fn decide_batch(&mut self) -> Vec<Operation> {
        let state = self.reference.shard_state(SHARD).await.expect("reads");
        self.checkpoint = state.checkpoint;
        let mut batch = Vec::new();
        for _ in 0..=self.random.index(MAX_OPERATIONS_OF_A_BATCH) {
            let decided = match self.random.below(23) {
                0 => self.create().await,
                1 | 2 => self.command().await,
                3..=6 => vec![self.publish()],
                7..=10 => self.route().await,
                11..=15 => self.attempt().await,
                16 => self.ask().await,
                17 => self.cancel().await,
                18 => self.test().await,
                19 => self.ask_for_replay().await,
                20 | 21 => self.replay().await,
                _ => vec![self.nonsense()],
            };
            batch.extend(decided);
        }
        for operation in &mut batch {
            if self.random.chance(50) {
                operation.metadata.trace = Some(trace(&mut self.random));
            }
            if operation.records.len() == 1 && self.random.chance(10) {
                // Some are repeated, and some ids are used for another request.
                let id = format!("request {}", self.random.below(1_000)).replace(' ', "/");
                let content = format!("content {}", self.random.below(2));
                operation.metadata.request = Some(identified(&id, &content));
            }
        }
        batch
    }

    async fn endpoints(&self) -> Vec<Endpoint> {
        let rows = self.reference.shard_endpoints(SHARD, EndpointId::MIN, 1_000).await;
        let rows = rows.expect("reads").into_iter();
        rows.filter(|row| row.delete_time.is_none()).collect()
    }

    async fn deliveries(&self, state: Option<DeliveryState>) -> Vec<Delivery> {
        let filter = DeliveryFilter { states: in_state(state), ..DeliveryFilter::default() };
        let mut rows = Vec::new();
        for whose in [organization(), other_organization()] {
            let list =
                self.reference.list_deliveries(SHARD, &whose, &filter, DeliveryId::MAX, 1_000);
            rows.extend(list.await.expect("reads").rows);
        }
        rows
    }

    fn whose(&mut self) -> OrganizationId {
        if self.random.chance(70) { organization() } else { other_organization() }
    }

    fn some_event_types(&mut self) -> Vec<EventType> {
        let first = self.random.index(EVENT_TYPES.len());
        EVENT_TYPES[first..].to_vec()
    }

    async fn create(&mut self) -> Vec<Operation> {
        if self.endpoints().await.len() >= MAX_ENDPOINTS {
            return Vec::new();
        }
        vec![create_endpoint(endpoint_id()).of(self.whose())]
    }

    async fn command(&mut self) -> Vec<Operation> {
        let endpoints = self.endpoints().await;
        let Some(endpoint) = self.random.pick(&endpoints) else { return Vec::new() };
        let expire_time = self.clock.now() + Duration::from_secs(86_400);
        let command = match self.random.below(12) {
            0..=2 => EndpointCommand::Update {
                secret: None,
                patch: EndpointPatch {
                    display_name: Some(format!("name {}", self.random.below(100))),
                    event_types: Some(self.some_event_types()),
                    ..EndpointPatch::default()
                },
            },
            3 => EndpointCommand::RotateSecret {
                secret: sealed("rotated"),
                previous_expire_time: self.random.chance(50).then_some(expire_time),
            },
            4 | 5 => EndpointCommand::Disable { reason: "by chance".to_owned() },
            6..=9 => EndpointCommand::Enable,
            10 => EndpointCommand::RevealSecret,
            _ => EndpointCommand::Delete,
        };
        let is_delete = command == EndpointCommand::Delete;
        let Ok(Some(fact)) = endpoint.decide(command, None) else { return Vec::new() };
        let expected = ExpectedVersion::Exactly(endpoint.version);
        let whose = &endpoint.organization_id;
        let mut operations = vec![change_endpoint(endpoint.id, expected, fact).of(whose.clone())];
        if is_delete {
            let waiting = self
                .deliveries(None)
                .await
                .into_iter()
                .filter(|row| row.endpoint_id == endpoint.id && !row.state.has_ended());
            let fact = DeliveryFact::Cancelled { reason: "the endpoint was deleted".to_owned() };
            operations.extend(waiting.map(|row| {
                let cancel =
                    change_delivery(row.id, ExpectedVersion::Exactly(row.version), fact.clone());
                cancel.of(whose.clone()).fenced(self.epoch)
            }));
        }
        operations
    }

    fn publish(&mut self) -> Operation {
        let event = event_id();
        let publish = match self.random.below(3) {
            // Few keys and contents, so that there are repetitions and clashes.
            0 => {
                let (key, content) = (self.random.below(40), self.random.below(2));
                publish_with_key(event, &format!("key {key}"), &format!("content {content}"))
            }
            _ => publish_type(event, EVENT_TYPES[self.random.index(EVENT_TYPES.len())]),
        };
        let expire_time = self.clock.now() + Duration::from_secs(86_400);
        publish.of(self.whose()).with_body(BodyId::Event(event), event.to_string(), expire_time)
    }

    /// Routes the first event above the checkpoint.
    async fn route(&mut self) -> Vec<Operation> {
        let records = self.reference.read(SHARD, self.checkpoint, 1_000).await.expect("reads");
        let accepted = records.iter().find_map(|record| match (&record.fact, record.stream) {
            (Fact::EventAccepted(accepted), Stream::Event(id)) => {
                Some((record, id, accepted.event_type))
            }
            _ => None,
        });
        let Some((record, event, event_type)) = accepted else { return Vec::new() };
        let endpoints = self.endpoints().await;
        let subscribed: Vec<_> = endpoints
            .iter()
            .filter(|row| row.organization_id == record.organization_id)
            .filter(|row| row.subscribes_to(event_type))
            .collect();
        let disabled = |row: &&&Endpoint| row.state == EndpointState::Disabled;
        let missed: Vec<_> = subscribed.iter().filter(disabled).map(|row| row.id).collect();
        let active = subscribed.iter().filter(|row| !disabled(row));
        let deliveries: Vec<_> = active.map(|row| (delivery_id(), row.id)).collect();
        let operation = schedule_type(event, event_type, &deliveries, &missed)
            .of(record.organization_id.clone())
            .fenced(self.epoch)
            .advancing(self.checkpoint.0, record.position.0);
        self.checkpoint = record.position;
        vec![operation]
    }

    /// Makes an attempt that is due, with its consequences for the endpoint.
    async fn attempt(&mut self) -> Vec<Operation> {
        let deliveries = self.deliveries(None).await;
        let waiting: Vec<_> = deliveries.iter().filter(|row| row.due_time().is_some()).collect();
        let Some(delivery) = self.random.pick(&waiting) else { return Vec::new() };
        let hours_ago = Duration::from_secs(3_600 * self.random.below(5));
        let details = AttemptDetails {
            duration: Duration::from_micros(1 << self.random.below(23)),
            status_code: [None, Some(200), Some(503)][self.random.index(3)],
            ..attempt_of(delivery, self.clock.now() - hours_ago)
        };
        let request_result = match details.status_code {
            Some(200) => RequestResult::Succeeded,
            Some(503) if self.random.chance(50) => {
                let wait = Duration::from_secs(self.random.below(600));
                RequestResult::Failed {
                    error: "answered 503".to_owned(),
                    retry_after: Some(wait),
                    endpoint_pause: Pause::after_answer(503, Some(wait)),
                }
            }
            _ => failure(),
        };
        let operation = match self.random.chance(5) {
            // Its event's body is no longer kept.
            true => change_delivery(
                delivery.id,
                ExpectedVersion::Exactly(delivery.version),
                delivery.expire(),
            ),
            false => conclude(delivery, details, request_result),
        };
        let operation = operation.of(delivery.organization_id.clone()).fenced(self.epoch);
        let delivery_id = delivery.id;
        let command = match &operation.records[0].fact {
            Fact::Delivery(DeliveryFact::AttemptSucceeded(_)) => {
                EndpointCommand::NoteSuccess { delivery_id }
            }
            Fact::Delivery(fact) if fact.is_exhaustion() => {
                EndpointCommand::NoteExhausted { delivery_id, error: "by chance".to_owned() }
            }
            // What the owner would do at this time.
            Fact::Delivery(DeliveryFact::AttemptFailed { details, .. })
                if details.trigger != Trigger::Test && self.random.chance(20) =>
            {
                EndpointCommand::NoteFailedTooLong { delivery_id, since: details.start_time }
            }
            _ => return vec![operation],
        };
        let endpoints = self.endpoints().await;
        let endpoint = endpoints.iter().find(|row| row.id == delivery.endpoint_id);
        match endpoint.map(|row| row.decide(command, None)) {
            Some(Ok(Some(fact))) => {
                let note = change_endpoint(delivery.endpoint_id, ExpectedVersion::Any, fact);
                vec![operation.and(note)]
            }
            _ => vec![operation],
        }
    }

    async fn ask(&mut self) -> Vec<Operation> {
        let deliveries = self.deliveries(None).await;
        let Some(delivery) = self.random.pick(&deliveries) else { return Vec::new() };
        let fact = match self.random.below(4) {
            0 => DeliveryFact::CancelRequested,
            _ => DeliveryFact::RetryRequested,
        };
        let operation = change_delivery(delivery.id, ExpectedVersion::Any, fact);
        vec![operation.of(delivery.organization_id.clone())]
    }

    async fn cancel(&mut self) -> Vec<Operation> {
        let deliveries = self.deliveries(Some(DeliveryState::Retrying)).await;
        let Some(delivery) = self.random.pick(&deliveries) else { return Vec::new() };
        let fact = DeliveryFact::Cancelled { reason: "by an operator".to_owned() };
        let operation =
            change_delivery(delivery.id, ExpectedVersion::Exactly(delivery.version), fact);
        vec![operation.of(delivery.organization_id.clone()).fenced(self.epoch)]
    }

    async fn test(&mut self) -> Vec<Operation> {
        let endpoints = self.endpoints().await;
        let Some(endpoint) = self.random.pick(&endpoints) else { return Vec::new() };
        let event_type = match self.random.chance(50) {
            true => EventType::Test,
            false => EVENT_TYPES[self.random.index(EVENT_TYPES.len())],
        };
        let request = request_test_of(event_type, delivery_id(), event_id(), endpoint.id);
        vec![request.of(endpoint.organization_id.clone())]
    }

    async fn ask_for_replay(&mut self) -> Vec<Operation> {
        let endpoints = self.endpoints().await;
        let Some(endpoint) = self.random.pick(&endpoints) else { return Vec::new() };
        let whose = endpoint.organization_id.clone();
        let filter = EventFilter::default();
        let events = self.reference.list_events(SHARD, &whose, &filter, EventId::MAX, 1_000).await;
        let mut bounds = Vec::new();
        for event in events.expect("reads").rows {
            bounds.push(ReplayBound { event_id: event.id, position: event.position });
        }
        let scope =
            [ReplayScope::Missed, ReplayScope::Failed, ReplayScope::All][self.random.index(3)];
        let mut bound = || {
            let bound = self.random.pick(&bounds).copied();
            bound.filter(|_| self.random.chance(30))
        };
        let (start_event, end_event) = (bound(), bound());
        let selection = ReplaySelection {
            start_event,
            end_event,
            event_types: match self.random.chance(50) {
                true => self.some_event_types(),
                false => Vec::new(),
            },
            include_delivered: scope == ReplayScope::All && self.random.chance(50),
            ..replay_selection(endpoint.id, scope)
        };
        vec![ask_replay(replay_id(), selection).of(whose)]
    }

    /// A step of a replay, or its end.
    async fn replay(&mut self) -> Vec<Operation> {
        let running = self.reference.running_replays(SHARD, None, ReplayId::MIN, 1_000).await;
        let running = running.expect("reads");
        let Some(replay) = self.random.pick(&running) else { return Vec::new() };
        let (whose, selection) = (&replay.organization_id, &replay.request.selection);
        let limit = 1 + self.random.index(8);
        let (before, after) = (replay.position, replay.cursor);
        let page =
            self.reference.replay_candidates(SHARD, whose, selection, before, after, limit).await;
        let page = page.expect("reads");
        let Some(cursor) = page.next.or(page.candidates.last().map(|last| last.cursor)) else {
            let ended = Fact::Replay(ReplayFact::Ended { reason: String::new() });
            let expected = ExpectedVersion::Exactly(replay.version);
            return vec![operation(Stream::Replay(replay.id), expected, ended).of(whose.clone())];
        };
        let mut step = ReplayStep { cursor, counts: ReplayCounts::default() };
        let mut records = Vec::new();
        let (replay_id, endpoint_id) = (replay.id, selection.endpoint_id);
        for candidate in &page.candidates {
            let state = candidate.delivery.map(|delivery| delivery.state);
            let action = selection.action(state, candidate.is_kept);
            step.counts.count(action);
            let Candidate { event_id, event_type, event_time, delivery, .. } = *candidate;
            records.extend(match (action, delivery) {
                (ReplayAction::Schedule, _) => {
                    let fact = DeliveryFact::Replayed {
                        replay_id,
                        event_id,
                        event_type,
                        event_time,
                        endpoint_id,
                        trace: candidate.trace.clone(),
                    };
                    Some(change_delivery(delivery_id(), ExpectedVersion::New, fact))
                }
                (ReplayAction::Resume, Some(delivery)) => {
                    let fact = DeliveryFact::Resumed { replay_id, endpoint_id };
                    Some(change_delivery(
                        delivery.id,
                        ExpectedVersion::Exactly(delivery.version),
                        fact,
                    ))
                }
                _ => None,
            });
        }
        let fact = Fact::Replay(ReplayFact::Advanced(step));
        let advance =
            operation(Stream::Replay(replay.id), ExpectedVersion::Exactly(replay.version), fact);
        let whole = records.into_iter().fold(advance, Operation::and);
        vec![whole.of(whose.clone()).fenced(self.epoch)]
    }

    /// An operation that is refused.
    fn nonsense(&mut self) -> Operation {
        match self.random.below(3) {
            0 => self.publish().fenced(Epoch(self.epoch.0 - 1)),
            1 => self.publish().advancing(i64::MAX - 1, i64::MAX),
            _ => rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent"),
        }
    }
}

fn trace(random: &mut Random) -> TraceContext {
    let id = (u128::from(random.number()) << 64) | 1;
    let span_id = (random.number() | 1).to_be_bytes();
    let state = random.chance(50).then(|| format!("vendor={}", random.number()));
    TraceContext {
        trace_id: TraceId(id.to_be_bytes()),
        span_id,
        sampled: random.chance(50),
        state: state.map(|text| text.parse().expect("a tracestate")),
    }
}
