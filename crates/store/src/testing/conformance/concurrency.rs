//! Many callers at once, on every store of the database: one order, one winner, no gap.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, OperationId};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Fixture;
use super::given::*;
use crate::error::StoreError;
use crate::log::operation::{AppendOutcome, ExpectedVersion, Operation, Record, Refusal};
use crate::store::{AppendedBatch, DueKey, Store};

pub(crate) const WRITERS: usize = 8;

/// Appends a batch. On a busy machine a caller that waits for others may get an error after which it
/// may try again: then nothing was appended.
pub(super) async fn append(store: &dyn Store, batch: &[Operation]) -> AppendedBatch {
    loop {
        match store.append(SHARD, batch).await {
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            appended => return appended.expect("appends"),
        }
    }
}

/// Appends a batch whose first operation is not refused. None: it was committed, but the machine
/// stood still for so long that the answer was lost.
async fn append_or_find(store: &dyn Store, batch: &[Operation]) -> Option<AppendedBatch> {
    let first = [batch[0].id];
    loop {
        match store.append(SHARD, batch).await {
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(StoreError::Unknown(_)) => {
                let found = repeat(|| store.find_operations(SHARD, Position::START, &first)).await;
                if !found.is_empty() {
                    return None;
                }
            }
            appended => return Some(appended.expect("appends")),
        }
    }
}

/// Repeats a read until the database is available: it is not if the machine stands still for longer
/// than an answer may take.
async fn repeat<T, F>(read: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match read().await {
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            outcome => return outcome.expect("reads"),
        }
    }
}

pub(crate) async fn invariant_6_readers_see_no_gap_while_many_append_and_some_are_refused(
    fixture: Fixture,
) {
    const BATCHES: usize = 25;
    let endpoint = endpoint_id();
    append_or_find(fixture.store(), &[create_endpoint(endpoint)]).await;
    let (finished, end) = watch::channel(None);
    let mut readers = JoinSet::new();
    for store in fixture.handles().take(2 * fixture.stores.len()) {
        readers.spawn(read_along(store, end.clone()));
    }
    let mut writers = JoinSet::new();
    for (writer, store) in fixture.handles().take(WRITERS).enumerate() {
        writers.spawn(async move {
            for number in 0..BATCHES {
                let key = format!("key {writer} {}", number / 2);
                let batch = [
                    publish(event_id()),
                    rename_endpoint(endpoint, version(0), "refused"),
                    publish_with_key(event_id(), &key, "content"),
                    rename_endpoint(endpoint, ExpectedVersion::Any, &key),
                ];
                if let Some(appended) = append_or_find(&*store, &batch).await {
                    let refused: Vec<_> = appended.results.iter().map(Result::is_err).collect();
                    assert_eq!(refused, [false, true, false, false]);
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("the writer succeeds");
    }
    let state = repeat(|| fixture.store().shard_state(SHARD)).await;
    finished.send_replace(Some(state.last_position));

    let log = read_along(Arc::clone(&fixture.stores[0]), end).await;
    let new_keys = BATCHES.div_ceil(2);
    assert_eq!(log.len(), 1 + WRITERS * (2 * BATCHES + new_keys));
    while let Some(seen) = readers.join_next().await {
        assert_eq!(seen.expect("the reader saw no gap"), log, "no record has changed since");
    }
}

/// Reads until the end; fails if a record is not the one after the last.
async fn read_along(store: Arc<dyn Store>, end: watch::Receiver<Option<Position>>) -> Vec<Record> {
    let mut seen = Vec::<Record>::new();
    loop {
        let last = seen.last().map_or(Position::START, |record| record.position);
        if *end.borrow() == Some(last) {
            return seen;
        }
        let known = repeat(|| store.shard_state(SHARD)).await.last_position;
        let records = repeat(|| store.read(SHARD, last, 7)).await;
        assert!(known <= last || !records.is_empty(), "{known} is announced but not there");
        for record in records {
            let last = seen.last().map_or(Position::START, |record| record.position);
            assert_eq!(record.position, last.next());
            seen.push(record);
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn one_of_many_changes_of_the_same_version_wins(fixture: Fixture) {
    const LAST_VERSION: i64 = 12;
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let mut writers = JoinSet::new();
    for (writer, store) in fixture.handles().take(WRITERS).enumerate() {
        writers.spawn(async move {
            let mut won = Vec::new();
            let mut current = 1;
            while current < LAST_VERSION {
                let rename = rename_endpoint(endpoint, version(current), &format!("by {writer}"));
                let appended = append(&*store, &[rename]).await;
                match &appended.results[0] {
                    Ok(_) => {
                        current += 1;
                        won.push((current, writer));
                    }
                    Err(Refusal::StaleVersion { actual, .. }) => {
                        assert!(actual.0 > current);
                        current = actual.0;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            won
        });
    }
    let mut wins = HashMap::new();
    while let Some(won) = writers.join_next().await {
        for (version, writer) in won.expect("the writer ends") {
            assert_eq!(wins.insert(version, writer), None, "version {version} has two winners");
        }
    }
    assert_eq!(wins.len() as i64, LAST_VERSION - 1);
    let row = fixture.endpoint(endpoint).await;
    assert_eq!(row.version, Version(LAST_VERSION));
    assert_eq!(row.config.display_name, format!("by {}", wins[&LAST_VERSION]));
}

pub(crate) async fn one_of_many_events_with_the_same_key_is_accepted(fixture: Fixture) {
    let mut publishers = JoinSet::new();
    for store in fixture.handles().take(2 * WRITERS) {
        publishers.spawn(async move {
            let event = event_id();
            let publish = publish_with_key(event, "key", "content");
            let mut results = append(&*store, &[publish]).await.results;
            (event, results.remove(0).expect("not refused"))
        });
    }
    let (mut first, mut answers) = (BTreeSet::new(), BTreeSet::new());
    while let Some(published) = publishers.join_next().await {
        match published.expect("the publisher ends") {
            (event, AppendOutcome::Appended { .. }) => drop(first.insert(event)),
            (_, AppendOutcome::Duplicate { event_id }) => drop(answers.insert(event_id)),
            (_, other) => {
                panic!("it is neither validated only nor has it a request's id: {other:?}")
            }
        }
    }
    assert_eq!(first.len(), 1);
    assert_eq!(answers, first);
    assert_eq!(fixture.last_position().await, Position(1));
}

pub(crate) async fn one_of_many_requests_with_the_same_id_makes_something(fixture: Fixture) {
    let mut callers = JoinSet::new();
    for store in fixture.handles().take(2 * WRITERS) {
        callers.spawn(async move {
            let endpoint = endpoint_id();
            let create = create_endpoint(endpoint).requested("r", "content");
            let mut results = append(&*store, &[create]).await.results;
            (Stream::Endpoint(endpoint), results.remove(0).expect("not refused"))
        });
    }
    let (mut made, mut answers) = (HashSet::new(), HashSet::new());
    for (stream, outcome) in callers.join_all().await {
        match outcome {
            AppendOutcome::Repeated { stream } => drop(answers.insert(stream)),
            _ => drop(made.insert(stream)),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(answers, made);
    assert_eq!(fixture.last_position().await, Position(1));
}

pub(crate) async fn changes_that_expect_any_version_all_succeed(fixture: Fixture) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let mut writers = JoinSet::new();
    for store in fixture.handles().take(4 * WRITERS) {
        writers.spawn(async move {
            let rename = rename_endpoint(endpoint, ExpectedVersion::Any, "renamed");
            let appended = append(&*store, &[rename]).await;
            appended.records[0].version.0
        });
    }
    let versions: BTreeSet<_> = writers.join_all().await.into_iter().collect();
    assert!(versions.into_iter().eq(2..=1 + 4 * WRITERS as i64));
}

pub(crate) async fn due_deliveries_are_of_the_snapshot_that_the_page_names(fixture: Fixture) {
    const EVENTS: usize = 40;
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let mut writers = JoinSet::new();
    for store in fixture.handles().take(2) {
        writers.spawn(async move {
            for _ in 0..EVENTS {
                let (event, delivery) = (event_id(), delivery_id());
                let batch = [publish(event), schedule(event, &[(delivery, endpoint)], &[])];
                append(&*store, &batch).await;
                let fact = DeliveryFact::Cancelled { reason: String::new() };
                let cancel = change_delivery(delivery, ExpectedVersion::Any, fact);
                append(&*store, &[cancel]).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let (mut pages, mut lists) = (Vec::new(), Vec::new());
    while !writers.is_empty() {
        let page = fixture.other_store().due_deliveries(SHARD, endpoint, DueKey::MIN, 100).await;
        let list = fixture.other_store().waiting_endpoints(SHARD).await;
        pages.push(page.expect("reads"));
        lists.push(list.expect("reads"));
        while let Some(writer) = writers.try_join_next() {
            writer.expect("the writer succeeds");
        }
        tokio::task::yield_now().await;
    }
    let mut waiting = vec![BTreeSet::new()];
    for record in fixture.log().await {
        let mut now_waiting = waiting[waiting.len() - 1].clone();
        match (&record.fact, record.stream) {
            (Fact::DeliveriesScheduled(scheduled), _) => {
                now_waiting.extend(scheduled.deliveries.iter().map(|(id, _)| *id));
            }
            (_, Stream::Delivery(id)) => drop(now_waiting.remove(&id)),
            _ => {}
        }
        waiting.push(now_waiting);
    }
    for page in pages {
        let ids: BTreeSet<_> = page.deliveries.iter().map(|row| row.id).collect();
        assert_eq!(ids, waiting[page.as_of.0 as usize], "as of {}", page.as_of);
    }
    for list in lists {
        let anything = !waiting[list.as_of.0 as usize].is_empty();
        assert_eq!(!list.endpoints.is_empty(), anything, "as of {}", list.as_of);
    }
}

pub(crate) async fn a_dropped_append_is_found_if_and_only_if_it_happened(fixture: Fixture) {
    const APPENDS: u64 = 60;
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let mut judged = Vec::<(OperationId, bool)>::new();
    for number in 0..APPENDS {
        let append =
            give_up(fixture.stores[0].clone(), endpoint, Duration::from_micros(50 * number));
        let id = append.await;
        let found = fixture.other_store().find_operations(SHARD, Position::START, &[id]).await;
        judged.push((id, !found.expect("finds").is_empty()));
    }
    fixture.append(publish(event_id())).await;
    let log = fixture.log().await;
    for (id, found) in judged {
        assert_eq!(log.iter().any(|record| record.operation_id == id), found, "{id}");
    }
    let row = fixture.endpoint(endpoint).await;
    let of_endpoint = log.iter().filter(|record| record.operation_id != log[0].operation_id);
    assert_eq!(row.version.0, of_endpoint.count() as i64, "the row follows the log");
}

/// Begins to append an operation, and drops the future after a while.
async fn give_up(store: Arc<dyn Store>, endpoint: EndpointId, after: Duration) -> OperationId {
    let rename = rename_endpoint(endpoint, ExpectedVersion::Any, "given up?");
    let id = rename.id;
    let append = tokio::spawn(async move { _ = store.append(SHARD, &[rename]).await });
    tokio::time::sleep(after).await;
    append.abort();
    _ = append.await;
    id
}

pub(crate) async fn what_other_processes_append_in_between_is_seen(fixture: Fixture) {
    let (endpoint, event, delivery) = (endpoint_id(), event_id(), delivery_id());
    let (ours, theirs) = (fixture.store(), fixture.other_store());
    let append = async |store: &dyn Store, operation: Operation| {
        let appended = store.append(SHARD, &[operation]).await.expect("appends");
        appended.results.into_iter().next().expect("one result")
    };
    append(ours, create_endpoint(endpoint)).await.expect("appends");
    append(ours, publish(event)).await.expect("appends");
    append(ours, schedule(event, &[(delivery, endpoint)], &[])).await.expect("appends");
    let now = time("2026-04-23T10:30:00Z");
    let scheduled = fixture.delivery(delivery).await;
    append(theirs, fail(&scheduled, now)).await.expect("appends");
    // The delivery that we know is no longer the stored one.
    let refused = append(ours, succeed(&scheduled, now)).await;
    assert!(matches!(refused, Err(Refusal::StaleVersion { .. })), "{refused:?}");
    let retrying = fixture.delivery(delivery).await;
    append(ours, fail(&retrying, now)).await.expect("appends");
    append(theirs, publish(event_id()).advancing(0, 2)).await.expect("appends");
    let refused = append(ours, publish(event_id()).advancing(0, 2)).await;
    assert!(matches!(refused, Err(Refusal::OutOfOrder { .. })), "{refused:?}");
    append(theirs, publish_with_key(event_id(), "k", "content")).await.expect("appends");
    let repeated = append(ours, publish_with_key(event_id(), "k", "content")).await;
    assert!(matches!(repeated, Ok(AppendOutcome::Duplicate { .. })), "{repeated:?}");
    let retrying = fixture.delivery(delivery).await;
    append(ours, succeed(&retrying, now)).await.expect("appends");
    assert_eq!(fixture.store().check(SHARD, 10, &|_| ()).await.expect("checks"), []);
}
