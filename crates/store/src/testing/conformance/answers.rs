//! Everything that a store answers about a shard, to compare it with the answers of another store, or
//! with later ones.

use std::collections::BTreeMap;
use std::fmt::Debug;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, ReplayId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor};
use keeptrusts_webhooks_domain::request::RecordedRequest;

use super::fixture::read_all;
use super::given::{SHARD, organization, other_organization, replay_selection};
use crate::log::operation::BodyId;
use crate::queries::selection::Selection;
use crate::queries::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, ReplayFilter};
use crate::store::{DueKey, Store};

const ALL: usize = 1_000_000;

/// Queries, each with its answer line by line.
pub(crate) struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    /// Asks a store everything about [`SHARD`].
    pub(crate) async fn of(store: &dyn Store) -> Answers {
        let mut answers = Answers(BTreeMap::new());
        answers.add("log", read_all(store, SHARD).await);
        answers.add("state", [store.shard_state(SHARD).await.expect("reads")]);
        for whose in [organization(), other_organization()] {
            let filter = EndpointFilter::default();
            let rows = store.list_endpoints(SHARD, &whose, &filter, EndpointId::MAX, ALL).await;
            let rows = rows.expect("reads");
            let ids: Vec<_> = rows.iter().map(|endpoint| endpoint.id).collect();
            let mut by_id = store.endpoints(SHARD, &whose, &ids).await.expect("reads");
            by_id.sort_unstable_by_key(|endpoint| std::cmp::Reverse(endpoint.id));
            assert_eq!(by_id, rows, "the same by their ids");
            answers.add(format!("endpoints of {whose}"), rows);
            let filter = EventFilter::default();
            let rows = store.list_events(SHARD, &whose, &filter, EventId::MAX, ALL).await;
            let rows = rows.expect("reads").rows;
            let ids: Vec<_> = rows.iter().map(|event| BodyId::Event(event.id)).collect();
            answers.add(format!("events of {whose}"), rows);
            let bodies = store.bodies(SHARD, &ids).await.expect("reads");
            answers
                .add(format!("bodies of {whose}"), bodies.into_iter().collect::<BTreeMap<_, _>>());
            let filter = DeliveryFilter::default();
            let rows = store.list_deliveries(SHARD, &whose, &filter, DeliveryId::MAX, ALL).await;
            answers.add(format!("deliveries of {whose}"), rows.expect("reads").rows);
            let filter = AttemptFilter::default();
            let rows = store.list_attempts(SHARD, &whose, &filter, AttemptId::MAX, ALL).await;
            let rows = rows.expect("reads").rows;
            for row in &rows {
                let by_id = store.attempt(SHARD, &whose, row.details.id).await.expect("reads");
                assert_eq!(by_id.as_ref(), Some(row), "the same by its id");
            }
            answers.add(format!("attempts of {whose}"), rows);
            let failing = store.failing_endpoints(SHARD, Some(&whose)).await.expect("reads");
            let failing: BTreeMap<_, _> = failing.into_iter().collect();
            answers.add(format!("failing endpoints of {whose}"), failing);
            let pauses = store.endpoint_pauses(SHARD, Some(&whose)).await.expect("reads");
            let pauses: BTreeMap<_, _> = pauses.into_iter().collect();
            answers.add(format!("paused endpoints of {whose}"), pauses);
            let always = Timestamp::MIN..Timestamp::MAX;
            let mut sums = store.attempt_sums(SHARD, &whose, always).await.expect("reads");
            sums.sort_unstable();
            answers.add(format!("attempt sums of {whose}"), sums);
            let requests = Selection::<RecordedRequest>::new().equal("organization_id", &whose);
            let requests = requests.ascending(&["request_id"]).limit(ALL);
            answers.add(
                format!("requests of {whose}"),
                store.selected(SHARD, requests).await.expect("reads"),
            );
            let rows = store
                .list_replays(SHARD, &whose, &ReplayFilter::default(), ReplayId::MAX, ALL)
                .await;
            for replay in rows.expect("reads").rows {
                answers.add_replay(store, &replay).await;
            }
        }
        let running = store.running_replays(SHARD, None, ReplayId::MIN, ALL).await;
        answers.add("running replays", running.expect("reads"));
        let endpoints = store.shard_endpoints(SHARD, EndpointId::MIN, ALL).await.expect("reads");
        for endpoint in endpoints.iter().map(|endpoint| endpoint.id) {
            let due = store.due_deliveries(SHARD, endpoint, DueKey::MIN, ALL).await;
            answers.add(format!("due deliveries of {endpoint}"), due.expect("reads").deliveries);
            let missed = store.missed_events(SHARD, endpoint, Position::START, ALL).await;
            answers.add(format!("events missed by {endpoint}"), missed.expect("reads"));
            let counts = store.attempt_counts(SHARD, endpoint, Timestamp::UNIX_EPOCH).await;
            let counts: BTreeMap<_, _> = counts.expect("reads").into_iter().collect();
            answers.add(format!("attempt counts of {endpoint}"), counts);
        }
        answers.add("endpoints of the shard", endpoints);
        let failing = store.failing_endpoints(SHARD, None).await.expect("reads");
        answers.add("failing endpoints", failing.into_iter().collect::<BTreeMap<_, _>>());
        let pauses = store.endpoint_pauses(SHARD, None).await.expect("reads");
        answers.add("paused endpoints", pauses.into_iter().collect::<BTreeMap<_, _>>());
        let waiting = store.waiting_endpoints(SHARD).await.expect("reads");
        let waiting: BTreeMap<_, _> = waiting.endpoints.into_iter().collect();
        answers.add("waiting endpoints", waiting);
        answers
    }

    /// The candidates of a replay from its beginning, and those of a replay of everything.
    async fn add_replay(&mut self, store: &dyn Store, replay: &Replay) {
        self.add(format!("{}", replay.id), [replay]);
        let selection = &replay.request.selection;
        let all = replay_selection(selection.endpoint_id, selection.scope);
        let (whose, start) = (&replay.organization_id, ReplayCursor::start(selection.scope));
        for (name, selection) in [("selected", selection), ("all", &all)] {
            let before = replay.position;
            let page = store.replay_candidates(SHARD, whose, selection, before, start, ALL).await;
            let found = page.expect("reads").candidates;
            self.add(format!("{name} of {}", replay.id), found);
        }
    }

    fn add<T: Debug>(&mut self, question: impl Into<String>, answer: impl IntoIterator<Item = T>) {
        let lines = answer.into_iter().map(|line| format!("{line:?}")).collect();
        self.0.insert(question.into(), lines);
    }

    /// Panics with the first line that differs.
    pub(crate) fn assert_same_as(&self, other: &Answers) {
        assert!(self.0.keys().eq(other.0.keys()), "the same questions were asked");
        for (question, answer) in &self.0 {
            let other = &other.0[question];
            for (line, (one, other)) in answer.iter().zip(other).enumerate() {
                assert_eq!(one, other, "{question}, line {line}");
            }
            assert_eq!(answer.len(), other.len(), "{question}: lines");
        }
    }
}
