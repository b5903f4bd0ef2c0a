//! Migrations of tables that are full already.

use std::sync::Arc;

use super::{connect, database, open};
use crate::store::Store;
use crate::testing::conformance::Fixture;
use crate::testing::conformance::given::SHARD;
use crate::testing::conformance::migrating::{fill, updates};

#[tokio::test(flavor = "multi_thread")]
async fn invariant_7_events_of_before_get_the_positions_that_the_log_says() {
    let url = database().await;
    let store = Arc::new(open(&url).await);
    fill(&Fixture::new(vec![Arc::clone(&store) as Arc<dyn Store>])).await;
    let mut connection = connect(&url).await;
    let reset = "UPDATE events SET position = 0";
    sqlx::raw_sql(reset).execute(&mut connection).await.expect("the statement runs");
    let differences = store.check(SHARD, 100, &|_| ()).await.expect("checks");
    assert_eq!(differences.len(), 9, "every event");
    for update in updates(include_str!("../../../../../migrations/postgres/0006_replays.sql")) {
        sqlx::raw_sql(update).execute(&mut connection).await.expect("the statement runs");
    }
    assert_eq!(store.check(SHARD, 100, &|_| ()).await.expect("checks"), []);
}
