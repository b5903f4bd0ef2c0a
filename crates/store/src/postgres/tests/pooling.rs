//! PgBouncer between a store and its server.

use keeptrusts_webhooks_testkit::pooler::Pooler;
use keeptrusts_webhooks_testkit::postgres::Cluster;

use super::database;
use crate::postgres::{OpenError, PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::given::{SHARD, event_id, publish};

async fn open_through(pooler: &Pooler) -> Result<PostgresStore, OpenError> {
    let server_port = Cluster::shared().await.port();
    let (from, to) = (format!(":{server_port}/"), format!(":{}/", pooler.port()));
    PostgresStore::open(&database().await.replace(&from, &to), PostgresOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_pooling_is_refused_and_session_pooling_is_used() {
    let server_port = Cluster::shared().await.port();
    let pooler = Pooler::start(server_port, "transaction").await;
    let error = open_through(&pooler).await.err().expect("it is refused");
    assert!(matches!(error, OpenError::TransactionPooling { .. }), "{error}");
    for told in ["pool_mode = session", &pooler.port().to_string(), "synchronous_commit"] {
        assert!(error.to_string().contains(told), "{error}");
    }

    let pooler = Pooler::start(server_port, "statement").await;
    let error = open_through(&pooler).await.err().expect("it is refused");
    assert!(matches!(error, OpenError::TransactionPooling { .. }), "{error}");

    let pooler = Pooler::start(server_port, "session").await;
    let store = open_through(&pooler).await.expect("it is used");
    for _ in 0..10 {
        store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    }
    assert_eq!(store.shard_state(SHARD).await.expect("reads").last_position.0, 10);
    store.close().await;
}
