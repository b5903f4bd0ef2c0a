//! Tables that grow faster than their statistics are updated.

use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::log::Epoch;
use sqlx::PgConnection;

use super::{connect, database, eventually};
use crate::log::operation::{ExpectedVersion, Operation};
use crate::postgres::session::fetch;
use crate::postgres::{MIN_CONNECTIONS, PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::given::{
    SHARD, change_delivery, create_endpoint, delivery_id, endpoint_id, event_id, publish_with_key,
    rename_endpoint, schedule, version,
};

const ROWS: i64 = 20_000;

/// Fills the tables without updating their statistics. In every index these rows come before the
/// ones that are looked up.
const FILL: &str = "
    INSERT INTO endpoints (shard, organization_id, endpoint_id, display_name, url, state,
                           document_version, document)
    SELECT shard, organization_id, 'ep_!' || i, display_name, url, state, document_version, document
    FROM (SELECT * FROM endpoints LIMIT 1) AS one, generate_series(1, 20000) AS i;
    INSERT INTO events (shard, organization_id, event_id, event_type, is_test, event_time, create_time,
                        body_sha256, body_size, idempotency_key, request_sha256, publisher, position)
    SELECT shard, organization_id, 'evt_!' || i, event_type, is_test, event_time, create_time,
           body_sha256, body_size, '!' || i, request_sha256, publisher, position
    FROM (SELECT * FROM events LIMIT 1) AS one, generate_series(1, 20000) AS i;
    INSERT INTO deliveries (shard, organization_id, delivery_id, event_id, event_type, is_test,
                            endpoint_id, state, attempt_count, automatic_count, due_time,
                            create_time, cancel_reason, version)
    SELECT shard, organization_id, 'dlv_!' || i, 'evt_!' || i, event_type, is_test, 'ep_!' || i,
           state, attempt_count, automatic_count, 1, create_time, cancel_reason, version
    FROM (SELECT * FROM deliveries LIMIT 1) AS one, generate_series(1, 20000) AS i";

/// How many rows were read through indexes, and how many were changed.
async fn read_and_changed(connection: &mut PgConnection) -> (i64, i64) {
    let sql = "SELECT (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
                       WHERE relname IN ('endpoints', 'events', 'deliveries')),
                      (SELECT sum(n_tup_upd)::bigint FROM pg_stat_user_tables
                       WHERE relname = 'deliveries')";
    sqlx::query_as(sql).fetch_one(connection).await.expect("answers")
}

/// Operations that an endpoint, a delivery and a key must be looked up for.
fn lookups(endpoint: EndpointId, delivery: DeliveryId) -> [Operation; 3] {
    let event = event_id();
    [
        rename_endpoint(endpoint, ExpectedVersion::Any, "again"),
        change_delivery(delivery, version(0), DeliveryFact::RetryRequested),
        publish_with_key(event, &event.to_string(), "content"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_made_for_empty_tables_does_not_scan_them_when_they_have_grown() {
    let url = database().await;
    // One connection writes.
    let options = PostgresOptions { connections: MIN_CONNECTIONS, ..PostgresOptions::default() };
    let store = PostgresStore::open(&url, options).await.expect("the database is opened");
    let mut connection = connect(&url).await;
    for table in ["endpoints", "events", "deliveries"] {
        let forget = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(forget)).execute(&mut connection).await.expect("alters");
    }
    let (endpoint, event, delivery) = (endpoint_id(), event_id(), delivery_id());
    // From the sixth execution on, Postgres keeps a generic plan if its estimated cost is no higher.
    // Here it is estimated while the tables are empty.
    for _ in 0..10 {
        let lookups = (0..50).flat_map(|_| lookups(endpoint_id(), delivery_id()));
        let refused: Vec<_> = lookups.map(|operation| operation.fenced(Epoch(99))).collect();
        let appended = store.append(SHARD, &refused).await.expect("answers");
        assert!(appended.records.is_empty());
    }

    let begin = [
        create_endpoint(endpoint),
        publish_with_key(event, "first", "content"),
        schedule(event, &[(delivery, endpoint)], &[]),
    ];
    store.append(SHARD, &begin).await.expect("appends");
    sqlx::raw_sql(FILL).execute(&mut connection).await.expect("fills");
    let appended = store.append(SHARD, &lookups(endpoint, delivery)).await.expect("appends");
    assert_eq!(appended.records.len(), 3);
    let read = eventually("the statistics of the append are in", async || {
        // A session reports its statistics at the end of a statement, once a second at most.
        let query = sqlx::query_as::<_, (i32,)>("SELECT 1");
        fetch(&store.writers, query).await.expect("answers");
        let (read, changed) = read_and_changed(&mut connection).await;
        (changed == 1).then_some(read)
    })
    .await;
    assert!(read < ROWS / 10, "{read} rows were read");
}
