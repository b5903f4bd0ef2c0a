//! kill -9 at random moments: acknowledged records are there, and no batch is there in part.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptDetails;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OperationId};
use keeptrusts_webhooks_domain::log::Position;
use tempfile::TempDir;

use super::open;
use crate::ids::new_ulid;
use crate::log::operation::{BodyId, Operation};
use crate::log::projection::scheduled_deliveries;
use crate::random::random;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::given::*;

const KILLS: usize = 8;
/// Tells the process that is killed where its database is.
const DATABASE: &str = "KEEPTRUSTS_WEBHOOKS_TEST_DATABASE";
const ACKNOWLEDGED: &str = "acknowledged ";

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_what_was_acknowledged_before_a_kill_is_in_the_log() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("webhooks.db");
    let mut acknowledged = HashSet::new();
    for round in 0..KILLS {
        let mut child = start_appending(&path);
        let (first, mut lines) = first_answer(&mut child);
        acknowledged.insert(first);
        if round == 0 {
            let error = SqliteStore::open(&path, SqliteOptions::default()).await;
            let Err(OpenError::InUse { holder, .. }) = error else { panic!("it is in use") };
            assert!(holder.starts_with(&format!("process {} (", child.id())), "{holder}");
        }
        let moment = Duration::from_micros(u64::from(u16::from_le_bytes(random())) * 3);
        let killed = std::thread::spawn(move || {
            std::thread::sleep(moment);
            child.kill().expect("SIGKILL is sent");
            child.wait().expect("the process ends");
        });
        // Answers are read until the pipe breaks. An incomplete last line is not an answer.
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            acknowledged.extend(operation_of(&line));
            line.clear();
        }
        killed.join().expect("killed");

        let store = open(&path).await;
        let log = store.read(SHARD, Position::START, usize::MAX).await.expect("reads");
        assert!(log.iter().map(|record| record.position.0).eq(1..=log.len() as i64), "no gap");
        let state = store.shard_state(SHARD).await.expect("reads");
        assert_eq!(state.last_position.0, log.len() as i64);
        let there: HashSet<_> = log.iter().map(|record| record.operation_id).collect();
        assert_eq!(acknowledged.difference(&there).count(), 0, "answered, but not there");
        assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
        store.close().await;
    }
    assert!(acknowledged.len() > KILLS);
}

/// Not a test: the process that is killed. It appends for ever and prints the answers.
#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn appends_until_it_is_killed() {
    let path = std::env::var_os(DATABASE).expect("started by the test above");
    let store = open(Path::new(&path)).await;
    let endpoint = EndpointId::new(new_ulid(Timestamp::now()));
    let mut waiting = Vec::<Delivery>::new();
    append(&store, vec![create_endpoint(endpoint)]).await;
    loop {
        let mut batch: Vec<_> = waiting.drain(..).map(|delivery| attempt(&delivery)).collect();
        for _ in 0..1 + random::<1>()[0] % 20 {
            batch.extend(publish_and_route(endpoint));
        }
        waiting = append(&store, batch).await;
    }
}

fn publish_and_route(endpoint: EndpointId) -> [Operation; 2] {
    let now = Timestamp::now();
    let event = EventId::new(new_ulid(now));
    let body = vec![b'x'; usize::from(random::<1>()[0]) * 20];
    let expire_time = now + Duration::from_secs(3_600);
    let deliveries = [(DeliveryId::new(new_ulid(now)), endpoint)];
    [
        publish(event).with_body(BodyId::Event(event), body, expire_time),
        schedule(event, &deliveries, &[]),
    ]
}

fn attempt(delivery: &Delivery) -> Operation {
    let now = Timestamp::now();
    let details = attempt_of(delivery, now);
    // Ids of the conformance suite are unique in their process only.
    let details = AttemptDetails { id: AttemptId::new(new_ulid(now)), ..details };
    conclude(delivery, details, failure())
}

/// Appends a batch and prints the answer. Returns the scheduled deliveries.
async fn append(store: &SqliteStore, mut batch: Vec<Operation>) -> Vec<Delivery> {
    for operation in &mut batch {
        operation.id = OperationId::new(new_ulid(Timestamp::now()));
    }
    let appended = store.append(SHARD, &batch).await.expect("appends");
    let mut output = std::io::stdout().lock();
    for (operation, result) in batch.iter().zip(&appended.results) {
        assert!(result.is_ok(), "{result:?}");
        writeln!(output, "{ACKNOWLEDGED}{}", operation.id).expect("somebody listens");
    }
    output.flush().expect("somebody listens");
    appended.records.iter().flat_map(scheduled_deliveries).collect()
}

pub(super) fn start_appending(path: &Path) -> Child {
    let this_test = module_path!().split_once("::").expect("the crate's name and the path").1;
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{this_test}::appends_until_it_is_killed")])
        .args(["--ignored", "--nocapture"])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts once more")
}

pub(super) fn first_answer(child: &mut Child) -> (OperationId, impl BufRead + use<>) {
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    loop {
        let mut line = String::new();
        let bytes = lines.read_line(&mut line).expect("the process writes");
        assert!(bytes > 0, "the process ended before it was killed");
        if let Some(id) = operation_of(&line) {
            return (id, lines);
        }
    }
}

fn operation_of(line: &str) -> Option<OperationId> {
    // The harness writes "test … ... " in front of the first one.
    let (_, id) = line.strip_suffix('\n')?.split_once(ACKNOWLEDGED)?;
    id.parse().ok()
}
