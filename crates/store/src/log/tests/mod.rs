//! The log over a store that fails. Time is paused: [`settle`] lets every task go as far as it can.

#![allow(clippy::unwrap_used)]

mod following;
mod reading;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::Stream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, PROBE_INTERVAL};
use crate::log::operation::{ExpectedVersion, Refusal};
use crate::testing::conformance::given::*;
use crate::testing::faulty_store::{Fault, FaultyStore};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a failure no probe would count.
const MIN_FAILURE_AGE: Duration = Duration::from_secs(10);

async fn start(store: &Arc<FaultyStore>) -> Arc<Log> {
    Log::start(Arc::clone(store) as Arc<dyn Store>).await.expect("the log starts")
}

/// Until every task waits for something. (Paused time passes only then.)
async fn settle() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}

fn append(log: &Arc<Log>, operation: Operation) -> JoinHandle<Result<AppendOutcome, AppendError>> {
    let log = Arc::clone(log);
    tokio::spawn(async move { log.append(SHARD, operation).await })
}

fn append_all(
    log: &Arc<Log>,
    operations: Vec<Operation>,
) -> JoinHandle<Vec<Result<AppendOutcome, AppendError>>> {
    let log = Arc::clone(log);
    tokio::spawn(async move { log.append_all(SHARD, operations).await })
}

fn can_commit(log: &Arc<Log>) -> JoinHandle<Result<(), DatabaseProblem>> {
    let log = Arc::clone(log);
    tokio::spawn(async move { log.can_commit().await })
}

fn events(count: usize) -> Vec<Operation> {
    (0..count).map(|_| publish(event_id())).collect()
}

/// The operations of the log's records, in order.
async fn logged(store: &FaultyStore) -> Vec<OperationId> {
    let records = store.store().read(SHARD, Position::START, 100_000).await.expect("reads");
    records.into_iter().map(|record| record.operation_id).collect()
}

fn positions(results: &[Result<AppendOutcome, AppendError>]) -> Vec<i64> {
    results
        .iter()
        .map(|result| match result {
            Ok(AppendOutcome::Appended { first, .. }) => first.0,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_transaction_takes_all_that_waits_while_the_last_one_commits() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let first = append(&log, publish(event_id()));
    settle().await;
    let others = append_all(&log, events(100));
    let another = append(&log, publish(event_id()));
    settle().await;
    assert_eq!(store.batches(), [1]);

    store.open_gate();
    assert_eq!(positions(&[first.await.unwrap()]), [1]);
    assert!(positions(&others.await.unwrap()).into_iter().eq(2..=101));
    assert_eq!(positions(&[another.await.unwrap()]), [102]);
    assert_eq!(store.batches(), [1, 101]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_takes_no_more_operations_than_its_limit() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let first = append(&log, publish(event_id()));
    settle().await;
    let others = append_all(&log, events(MAX_BATCH_OPERATIONS + 88));
    settle().await;
    store.open_gate();
    first.await.unwrap().expect("appended");
    others.await.unwrap();
    assert_eq!(store.batches(), [1, MAX_BATCH_OPERATIONS, 88]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_takes_no_more_bytes_than_its_limit_unless_one_operation_has_more() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let first = append(&log, publish(event_id()));
    settle().await;
    let sizes = [3, 2, 1, 6, 1, 3, 1].map(|quarters| quarters * MAX_BATCH_BYTES / 4);
    let operations = sizes.map(|size| {
        let event = event_id();
        publish(event).with_body(BodyId::Event(event), vec![0; size], Timestamp::MAX)
    });
    let others = append_all(&log, operations.to_vec());
    settle().await;
    store.open_gate();
    first.await.unwrap().expect("appended");
    assert!(positions(&others.await.unwrap()).into_iter().eq(2..=8), "in their order");
    assert_eq!(store.batches(), [1, 1, 2, 1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_the_refusal_of_its_own_operation() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let (endpoint, absent, keyed) = (endpoint_id(), endpoint_id(), event_id());
    let operations = vec![
        create_endpoint(endpoint),
        rename_endpoint(absent, ExpectedVersion::Any, "absent"),
        publish_with_key(keyed, "key", "content"),
        publish_with_key(event_id(), "key", "content"),
        publish_with_key(event_id(), "key", "other"),
        rename_endpoint(endpoint, version(1), "renamed"),
    ];
    let results = log.append_all(SHARD, operations).await;
    assert!(results[0].is_ok() && results[2].is_ok() && results[5].is_ok());
    let refused = AppendError::Refused;
    let absent = Refusal::NoSuchStream(Stream::Endpoint(absent));
    assert_eq!(results[1], Err(refused(absent)));
    assert_eq!(results[3], Ok(AppendOutcome::Duplicate { event_id: keyed }));
    assert_eq!(results[4], Err(refused(Refusal::IdempotencyKeyReused { event_id: keyed })));
}

#[tokio::test(start_paused = true)]
async fn callers_get_an_error_while_the_database_is_down_and_appends_work_afterwards() {
    let store = FaultyStore::failing([Fault::Unavailable, Fault::Unavailable]);
    let log = start(&store).await;
    let unavailable = AppendError::Unavailable(DatabaseProblem::Unreachable);
    assert_eq!(log.append(SHARD, publish(event_id())).await, Err(unavailable.clone()));
    let results = log.append_all(SHARD, events(3)).await;
    let all_are_told = results.iter().all(|result| *result == Err(unavailable.clone()));
    assert!(all_are_told, "{results:?}");
    assert!(logged(&store).await.is_empty());
    assert_eq!(positions(&log.append_all(SHARD, events(2)).await), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn invariant_11_whether_the_database_commits_is_tried_only_while_the_last_commit_failed() {
    let store = FaultyStore::failing([Fault::Unavailable, Fault::Unavailable]);
    let log = start(&store).await;
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 0, "nothing has failed");

    log.append(SHARD, publish(event_id())).await.expect_err("it is away");
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Unreachable));
    assert_eq!(store.tries(), 0, "a small write has room where others have none: not asked");
    tokio::time::advance(MIN_FAILURE_AGE).await;
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Unreachable), "it still is");
    assert_eq!(store.tries(), 1);
    tokio::time::advance(PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Ok(()), "it is there again, though nobody has appended");
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 2, "once, and then no more");
}

#[tokio::test(start_paused = true)]
async fn many_callers_cause_one_probe_at_a_time_and_no_more_often_than_allowed() {
    let store = FaultyStore::failing([Fault::Unavailable, Fault::Slow, Fault::Unavailable]);
    let log = start(&store).await;
    log.append(SHARD, publish(event_id())).await.expect_err("it is away");
    tokio::time::advance(MIN_FAILURE_AGE).await;
    // The probe hangs: callers get an answer all the same, by what is known.
    let asking: Vec<_> = (0..20).map(|_| can_commit(&log)).collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Err(DatabaseProblem::Unreachable));
    }
    tokio::time::advance(10 * PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Unreachable));
    assert_eq!(store.tries(), 1, "one at a time, however long it takes");
    store.open_gate();
    settle().await;
    assert_eq!(log.can_commit().await, Ok(()), "it said so in the end");

    store.faults.lock().unwrap().push_front(Fault::Unavailable);
    log.append(SHARD, publish(event_id())).await.expect_err("it is away");
    tokio::time::advance(MIN_FAILURE_AGE).await;
    for _ in 0..20 {
        assert_eq!(log.can_commit().await, Err(DatabaseProblem::Unreachable));
    }
    assert_eq!(store.tries(), 2, "the second has failed, and the third is not due");
    tokio::time::advance(PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_locked_row_fails_its_shard_and_not_the_database() {
    let store = FaultyStore::of_shards(4, []);
    let log = start(&store).await;
    store.lock_rows([0]);
    let busy = AppendError::Unavailable(DatabaseProblem::Locked);
    assert_eq!(log.append(SHARD, publish(event_id())).await, Err(busy.clone()));
    assert_eq!(log.can_commit().await, Ok(()), "another shard was tried");
    assert_eq!(store.tries(), 2, "the other one, and whether it still is locked");
    for _ in 0..20 {
        log.append(SHARD, publish(event_id())).await.expect_err("locked");
        assert_eq!(log.can_commit().await, Ok(()));
    }
    assert_eq!(store.tries(), 2, "what another shard has said counts for a while");
    log.append(Shard(1), publish(event_id())).await.expect("appended");

    // If all shards are locked, the database does not commit.
    store.lock_rows(0..4);
    for shard in 0..4 {
        assert_eq!(log.append(Shard(shard), publish(event_id())).await, Err(busy.clone()));
    }
    tokio::time::advance(PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Locked));
    store.lock_rows([]);
    tokio::time::advance(PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_database_whose_every_row_is_locked_is_detected_from_one_shards_appends() {
    let store = FaultyStore::of_shards(4, []);
    let log = start(&store).await;
    store.lock_rows(0..4);
    log.append(SHARD, publish(event_id())).await.expect_err("locked");
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Locked));
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Locked));
    store.lock_rows([0]);
    tokio::time::advance(PROBE_INTERVAL).await;
    assert_eq!(log.can_commit().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_that_is_no_append_counts_until_a_probe_succeeds() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let renewed = Err::<(), _>(StoreError::Unknown(DatabaseProblem::DiskFull.into()));
    store.other_writes().note(&renewed);
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::DiskFull));
    assert_eq!(store.tries(), 0);
    tokio::time::advance(MIN_FAILURE_AGE).await;
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 1);
    store.other_writes().note(&renewed);
    log.append(SHARD, publish(event_id())).await.expect("appended");
    assert_eq!(log.can_commit().await, Ok(()), "an append was committed");
    assert_eq!(store.tries(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_committed_append_shows_that_the_database_can_be_written_to() {
    let store = FaultyStore::failing([Fault::Unavailable]);
    let log = start(&store).await;
    log.append(SHARD, publish(event_id())).await.expect_err("it is away");
    // It is rolled back, and says nothing.
    let refused = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent");
    log.append(SHARD, refused).await.expect_err("there is none");
    tokio::time::advance(MIN_FAILURE_AGE).await;
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 1);

    store.faults.lock().unwrap().push_back(Fault::Unavailable);
    log.append(SHARD, publish(event_id())).await.expect_err("it is away");
    log.append(SHARD, publish(event_id())).await.expect("appended");
    assert_eq!(log.can_commit().await, Ok(()));
    assert_eq!(store.tries(), 1, "the commit has said it");
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_commit_is_detected_without_a_probe() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let slow = append(&log, publish(event_id()));
    settle().await;
    assert_eq!(log.can_commit().await, Ok(()));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(log.can_commit().await, Err(DatabaseProblem::Silent));
    assert_eq!(store.tries(), 0);
    store.open_gate();
    slow.await.unwrap().expect("appended");
    assert_eq!(log.can_commit().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_happened_though_its_answer_was_lost_is_not_repeated() {
    let store = FaultyStore::failing([Fault::LostAfter]);
    let log = start(&store).await;
    let mut watch = log.watch(SHARD);
    let operations = vec![
        publish(event_id()),
        create_endpoint(endpoint_id()).and(create_endpoint(endpoint_id())),
        publish(event_id()),
    ];
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    let results = log.append_all(SHARD, operations).await;
    assert_eq!(positions(&results), [1, 2, 4]);
    let Ok(AppendOutcome::Appended { last, .. }) = &results[1] else { panic!("{results:?}") };
    assert_eq!(*last, Position(3));
    assert_eq!(store.batches(), [3]);
    assert_eq!(logged(&store).await, [ids[0], ids[1], ids[1], ids[2]]);
    assert_eq!(*watch.borrow_and_update(), Position(4), "readers are told");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_did_not_happen_when_its_answer_was_lost_is_repeated() {
    let store = FaultyStore::failing([Fault::LostBefore, Fault::LostBefore, Fault::LostAfter]);
    let log = start(&store).await;
    let operations = events(3);
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    assert_eq!(positions(&log.append_all(SHARD, operations).await), [1, 2, 3]);
    assert_eq!(store.batches(), [3, 3, 3]);
    assert_eq!(logged(&store).await, ids);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_never_happens_though_its_answer_is_lost_each_time_is_given_up() {
    let store = FaultyStore::failing([Fault::LostBefore; 10]);
    let log = start(&store).await;
    let unavailable = AppendError::Unavailable(DatabaseProblem::Unreachable);
    assert_eq!(log.append(SHARD, publish(event_id())).await, Err(unavailable));
    assert_eq!(store.batches(), [1; 3], "it does not go on for ever");
    assert!(logged(&store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_refusals_and_duplicates_stay_what_they_were() {
    let store = FaultyStore::failing([Fault::LostAfter]);
    let log = start(&store).await;
    let (keyed, absent) = (event_id(), endpoint_id());
    let operations = vec![
        publish_with_key(keyed, "key", "content"),
        publish_with_key(event_id(), "key", "content"),
        rename_endpoint(absent, ExpectedVersion::Any, "absent"),
        publish(event_id()),
    ];
    let results = log.append_all(SHARD, operations).await;
    assert!(matches!(results[0], Ok(AppendOutcome::Appended { first: Position(1), .. })));
    assert_eq!(results[1], Ok(AppendOutcome::Duplicate { event_id: keyed }));
    let absent = Refusal::NoSuchStream(Stream::Endpoint(absent));
    assert_eq!(results[2], Err(AppendError::Refused(absent)));
    assert!(matches!(results[3], Ok(AppendOutcome::Appended { first: Position(2), .. })));
    assert_eq!(store.batches(), [4, 2]);
    assert_eq!(logged(&store).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_is_found_although_other_records_were_announced_since() {
    let store = FaultyStore::failing([Fault::SlowThenLostAfter]);
    let (announce, hints) = mpsc::channel(8);
    *store.hints.lock().unwrap() = Some(hints);
    let log = start(&store).await;
    let operation = publish(event_id());
    let id = operation.id;
    let append = append(&log, operation);
    settle().await;
    store.open_gate();
    settle().await;
    // It is committed at 1. Before its answer is lost, another process appends and says so.
    store.store().append(SHARD, &events(1)).await.expect("appends");
    announce.send((SHARD, Position(2))).await.expect("the log listens");
    settle().await;
    assert_eq!(*log.watch(SHARD).borrow(), Position(2));
    store.open_gate();

    assert_eq!(positions(&[append.await.unwrap()]), [1]);
    let records = logged(&store).await;
    assert_eq!(records.iter().filter(|other| **other == id).count(), 1, "appended once");
}

#[tokio::test(start_paused = true)]
async fn a_failing_look_up_is_retried_with_backoff_until_it_succeeds() {
    let store = FaultyStore::failing([Fault::LostAfter]);
    store.failing_lookups.store(8, Ordering::SeqCst);
    let log = start(&store).await;
    let begun = Instant::now();
    assert_eq!(positions(&[log.append(SHARD, publish(event_id())).await]), [1]);
    let waits = [50, 100, 200, 400, 800, 1_600, 2_000, 2_000];
    let waited = Duration::from_millis(waits.iter().sum());
    let timer_resolution = Duration::from_millis(waits.len() as u64);
    assert!(
        (waited..=waited + timer_resolution).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(logged(&store).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_commit_that_cannot_be_looked_up_fails_at_once() {
    let store = FaultyStore::failing([Fault::SlowThenLostAfter]);
    store.failing_lookups.store(8, Ordering::SeqCst);
    let log = start(&store).await;
    let doubtful = append(&log, publish(event_id()));
    settle().await;
    let (first, second) = (append(&log, publish(event_id())), append(&log, publish(event_id())));
    settle().await;
    store.open_gate();
    settle().await;
    store.open_gate();
    let unavailable = Err(AppendError::Unavailable(DatabaseProblem::Unreachable));
    assert_eq!(first.await.unwrap(), unavailable);
    assert_eq!(second.await.unwrap(), unavailable);
    let later = append(&log, publish(event_id())).await.unwrap();
    assert_eq!(later, unavailable, "the database still does not answer");
    assert_eq!(positions(&[doubtful.await.unwrap()]), [1]);
    assert_eq!(positions(&[log.append(SHARD, publish(event_id())).await]), [2]);
    assert_eq!(logged(&store).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_makes_its_batch_fail_fails_alone() {
    let store = FaultyStore::failing([]);
    let log = start(&store).await;
    let operations = events(5);
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    *store.culprit.lock().unwrap() = Some(ids[2]);
    let mut results = log.append_all(SHARD, operations).await;
    assert_eq!(results.remove(2), Err(AppendError::Failed));
    assert_eq!(positions(&results), [1, 2, 3, 4]);
    assert_eq!(logged(&store).await, [ids[0], ids[1], ids[3], ids[4]]);
    assert_eq!(store.batches(), [5, 1, 1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_operation_of_a_caller_that_gave_up_is_not_appended() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let first = append(&log, publish(event_id()));
    settle().await;
    let (patient, impatient) = (publish(event_id()), publish(event_id()));
    let (patient_id, impatient_id) = (patient.id, impatient.id);
    let impatient = append(&log, impatient);
    let patient = append(&log, patient);
    settle().await;
    impatient.abort();
    settle().await;
    store.open_gate();
    first.await.unwrap().expect("appended");
    assert_eq!(positions(&[patient.await.unwrap()]), [2]);
    assert!(impatient.await.unwrap_err().is_cancelled());
    let records: BTreeSet<_> = logged(&store).await.into_iter().collect();
    assert!(records.contains(&patient_id) && !records.contains(&impatient_id));
}

#[tokio::test(start_paused = true)]
async fn closing_finishes_waiting_operations_and_refuses_later_ones() {
    let store = FaultyStore::failing([Fault::Slow]);
    let log = start(&store).await;
    let first = append(&log, publish(event_id()));
    settle().await;
    let waiting = append_all(&log, events(3));
    settle().await;
    let closing = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.close(PATIENCE).await }
    });
    settle().await;
    let late = append(&log, publish(event_id()));
    settle().await;
    assert!(!store.is_closed(), "while something is under way");
    store.open_gate();

    assert_eq!(positions(&[first.await.unwrap()]), [1]);
    assert_eq!(positions(&waiting.await.unwrap()), [2, 3, 4]);
    assert_eq!(late.await.unwrap(), Err(AppendError::Closed));
    closing.await.unwrap();
    assert!(store.is_closed());
    assert_eq!(log.append(SHARD, publish(event_id())).await, Err(AppendError::Closed));
    assert_eq!(logged(&store).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_operations_in_doubt_whose_outcome_is_not_known_in_time() {
    let store = FaultyStore::failing([Fault::LostAfter]);
    store.failing_lookups.store(usize::MAX, Ordering::SeqCst);
    let log = start(&store).await;
    let doubtful = append(&log, publish(event_id()));
    settle().await;
    let begun = Instant::now();
    log.close(PATIENCE).await;
    assert!(begun.elapsed() >= PATIENCE);
    let answer = tokio::time::timeout(PATIENCE, doubtful).await.expect("nobody waits for ever");
    assert_eq!(answer.unwrap(), Err(AppendError::InDoubt));
    assert!(store.is_closed());
}

#[tokio::test(start_paused = true)]
async fn the_database_does_not_commit_while_a_lost_commit_cannot_be_looked_up() {
    let store = FaultyStore::failing([Fault::LostAfter]);
    store.failing_lookups.store(usize::MAX, Ordering::SeqCst);
    let log = start(&store).await;
    let doubtful = append(&log, publish(event_id()));
    // As long as this goes on, although probes succeed.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(log.can_commit().await, Err(DatabaseProblem::Unreachable));
    }
    store.failing_lookups.store(0, Ordering::SeqCst);
    assert_eq!(positions(&[doubtful.await.unwrap()]), [1]);
    let tries = store.tries();
    assert_eq!(log.can_commit().await, Ok(()), "what was lost has been found");
    assert_eq!(store.tries(), tries, "and nothing needs to be tried");
}
