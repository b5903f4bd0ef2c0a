//! Power cuts: acknowledged records are there, whatever the disk has kept of unsynced writes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_power_cut::{Disk, Kept, Operation, note, operations, record};
use keeptrusts_webhooks_testkit::random::{Random, seed};
use tempfile::TempDir;

use super::{open, run};
use crate::log::operation::BodyId;
use crate::store::Store;
use crate::testing::conformance::given::*;

const APPENDS: usize = 150;
/// After how many answers and how many file operations the power is cut.
const CUTS: usize = 30;
const USUAL_SEED: u64 = 0x5eed;

/// Runs in a process of its own, since the layer below SQLite is installed for a whole process.
#[tokio::test]
async fn invariant_1_what_was_acknowledged_before_a_power_cut_is_in_the_log() {
    let this_test = module_path!().split_once("::").expect("the crate's name and the path").1;
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{this_test}::cuts_the_power"), "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .expect("this program starts once more");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, in a process of its own"]
async fn cuts_the_power() {
    record();
    let folder = TempDir::new().expect("a temporary folder");
    let mut random = Random::of_seed(seed(USUAL_SEED));
    let (answered, lock_file) = append(&folder.path().join("webhooks.db"), &mut random).await;
    let done = operations();
    let synced = done.iter().filter(|done| is_sync_of(done, "webhooks.db")).count();
    assert!(synced > 3, "the log was moved into the file several times: {synced}");

    let (mut disk, mut acknowledged, mut cuts, mut notes) = (Disk::default(), 0, 0, 0);
    for operation in &done {
        disk.apply(operation);
        let cut_here = match operation {
            Operation::Note(number) => {
                acknowledged = *number;
                notes += 1;
                notes % (APPENDS / CUTS) == 0
            }
            // When the file was just synced, and the log begins again.
            Operation::Sync { .. } => is_sync_of(operation, "webhooks.db"),
            _ => random.index(done.len() / CUTS) == 0,
        };
        if cut_here {
            cuts += 1;
            let answered = &answered[..acknowledged];
            assert_whole(disk.after_power_cut(|| Kept::Nothing), "", answered).await;
            let anything = [Kept::Nothing, Kept::FirstSector, Kept::All];
            let torn = disk.after_power_cut(|| *random.pick(&anything).expect("there are some"));
            assert_whole(torn, &lock_file, answered).await;
        }
    }
    assert!(cuts > CUTS, "{cuts}");
}

/// Appends, and notes each answer. Returns the acknowledged operations in their order, and the
/// content of the lock file.
async fn append(path: &Path, random: &mut Random) -> (Vec<OperationId>, String) {
    let store = open(path).await;
    // As after many more appends.
    run(&store, "PRAGMA wal_autocheckpoint = 64").await;
    let mut answered = Vec::new();
    for _ in 0..APPENDS {
        let batch: Vec<_> = (0..1 + random.below(3))
            .map(|_| {
                let event = event_id();
                let body = vec![b'x'; random.index(6_000)];
                let expire_time = time("2100-01-01T00:00:00Z");
                publish(event).with_body(BodyId::Event(event), body, expire_time)
            })
            .collect();
        let appended = store.append(SHARD, &batch).await.expect("appends");
        assert!(appended.results.iter().all(Result::is_ok));
        answered.extend(batch.iter().map(|operation| operation.id));
        note(answered.len());
    }
    let lock_file = std::fs::read_to_string(path.with_extension("db.lock")).expect("it is there");
    assert!(lock_file.contains("\nopening "), "{lock_file}");
    store.close().await;
    (answered, lock_file)
}

fn is_sync_of(operation: &Operation, name: &str) -> bool {
    matches!(operation, Operation::Sync { file } if file.ends_with(name))
}

/// Opens the files that are left, and finds the acknowledged records and no incomplete batch. The
/// lock file's name is durable, its content is not.
async fn assert_whole(
    files: Vec<(Arc<Path>, Vec<u8>)>,
    lock_file: &str,
    acknowledged: &[OperationId],
) {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(folder.path().join("webhooks.db.lock"), lock_file).expect("written");
    for (path, bytes) in files {
        let name = path.file_name().expect("a file");
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    let store = open(&folder.path().join("webhooks.db")).await;
    let log = store.read(SHARD, Position::START, usize::MAX).await.expect("reads");
    assert!(log.iter().map(|record| record.position.0).eq(1..=log.len() as i64), "no gap");
    let there: Vec<_> = log.iter().map(|record| record.operation_id).collect();
    let lost = acknowledged.iter().filter(|id| !there.contains(id)).count();
    assert_eq!(lost, 0, "of {} acknowledged operations {lost} are lost", acknowledged.len());
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
    store.close().await;
}
