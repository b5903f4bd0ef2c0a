//! Migrations of tables that are full already.

use std::sync::Arc;

use tempfile::TempDir;

use super::{open, run};
use crate::store::Store;
use crate::testing::conformance::Fixture;
use crate::testing::conformance::given::SHARD;
use crate::testing::conformance::migrating::{fill, updates};

#[tokio::test]
async fn invariant_7_events_of_before_get_the_positions_that_the_log_says() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = Arc::new(open(&folder.path().join("webhooks.db")).await);
    fill(&Fixture::new(vec![Arc::clone(&store) as Arc<dyn Store>])).await;
    run(&store, "UPDATE events SET position = 0").await;
    let differences = store.check(SHARD, 100, &|_| ()).await.expect("checks");
    assert_eq!(differences.len(), 9, "every event");
    for update in updates(include_str!("../../../../../migrations/sqlite/0006_replays.sql")) {
        run(&store, update).await;
    }
    assert_eq!(store.check(SHARD, 100, &|_| ()).await.expect("checks"), []);
}
