//! How SQLite means to run the statements: each by the index that was made for it.

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::{AssertSqlSafe, Row};
use tempfile::TempDir;

use super::open;
use crate::conformance::given::*;
use crate::query::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter};
use crate::sqlite::replays::Search;
use crate::sqlite::{SqliteStore, data_keys, lists, load, log_reads};

/// The steps of a statement's plan.
async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
    let mut turn = store.writer.turn().await.expect("the writer is there");
    let connection = turn.connection().expect("the database is open");
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let steps = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.expect("explained");
    steps.into_iter().map(|step| step.get("detail")).collect()
}

#[tokio::test]
async fn sets_of_rows_are_looked_up_by_their_keys() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let lookups = [
        (&load::lookup_by_key::<Endpoint>(), "SEARCH endpoints USING ", " AND endpoint_id=?"),
        (&load::lookup_by_key::<Delivery>(), "SEARCH deliveries USING ", " AND delivery_id=?"),
        (&load::lookup_by_idempotency_key(), "SEARCH events USING ", " AND idempotency_key=?"),
        (&log_reads::BODIES, "SEARCH bodies USING ", " AND id=?"),
        (&data_keys::DATA_KEYS, "SEARCH data_keys USING ", " AND organization_id=?"),
        (&data_keys::REWRAP, "SEARCH data_keys USING ", " AND organization_id=?"),
        (&log_reads::OPERATIONS, "SEARCH records USING ", " AND position>?"),
    ];
    for (statement, search, key) in lookups {
        for exponent in [0, 1, 6] {
            let sql = statement.sql(exponent);
            let steps = plan(&store, &sql).await;
            let found = steps.iter().any(|step| step.starts_with(search) && step.contains(key));
            assert!(found, "{sql}\n{steps:#?}");
        }
    }
}

#[tokio::test]
async fn lists_are_read_from_the_index_that_their_filter_begins_with() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let us = organization();
    let (endpoint_id, event_id) = (Some(EndpointId::MIN), Some(EventId::MIN));
    let deliveries = |endpoint_id, event_id| {
        let filter = DeliveryFilter { endpoint_id, event_id, ..DeliveryFilter::default() };
        lists::select_deliveries(SHARD, &us, &filter, DeliveryId::MAX, 10).into_string()
    };
    let attempts = |endpoint_id, delivery_id| {
        let filter = AttemptFilter { endpoint_id, delivery_id, ..AttemptFilter::default() };
        lists::select_attempts(SHARD, &us, &filter, AttemptId::MAX, 10).into_string()
    };
    let endpoints =
        lists::select_endpoints(SHARD, &us, &EndpointFilter::default(), EndpointId::MAX, 10);
    let events = lists::select_events(SHARD, &us, &EventFilter::default(), EventId::MAX, 10);
    let by_event = "deliveries USING INDEX deliveries_event (shard=? AND event_id=? AND organization_id=? AND delivery_id<?)";
    let by_delivery =
        "attempts USING INDEX attempts_delivery (shard=? AND delivery_id=? AND attempt_id<?)";
    let lists = [
        (
            endpoints.into_string(),
            "endpoints USING PRIMARY KEY (shard=? AND organization_id=? AND endpoint_id<?)",
        ),
        (
            events.into_string(),
            "events USING PRIMARY KEY (shard=? AND organization_id=? AND event_id<?)",
        ),
        (
            deliveries(None, None),
            "deliveries USING PRIMARY KEY (shard=? AND organization_id=? AND delivery_id<?)",
        ),
        (
            deliveries(endpoint_id, None),
            "deliveries USING INDEX deliveries_endpoint (shard=? AND endpoint_id=? AND delivery_id<?)",
        ),
        (deliveries(None, event_id), by_event),
        (deliveries(endpoint_id, event_id), by_event),
        (
            attempts(None, None),
            "attempts USING PRIMARY KEY (shard=? AND organization_id=? AND attempt_id<?)",
        ),
        (
            attempts(endpoint_id, None),
            "attempts USING INDEX attempts_endpoint (shard=? AND endpoint_id=? AND attempt_id<?)",
        ),
        (attempts(None, Some(DeliveryId::MIN)), by_delivery),
        (attempts(endpoint_id, Some(DeliveryId::MIN)), by_delivery),
    ];
    for (sql, step) in lists {
        // The whole plan is this one step: nothing is sorted afterwards.
        assert_eq!(plan(&store, &sql).await, [format!("SEARCH {step}")], "{sql}");
    }
}

#[tokio::test]
async fn what_a_replay_looks_at_is_read_from_one_index_and_the_rest_looked_up() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let us = organization();
    for (scope, index) in [
        (ReplayScope::Missed, "missed_events USING PRIMARY KEY (shard=? AND endpoint_id=?"),
        (ReplayScope::Failed, "attempts USING INDEX attempts_endpoint (shard=? AND endpoint_id=?"),
        (ReplayScope::All, "events USING PRIMARY KEY (shard=? AND organization_id=?"),
    ] {
        let selection = ReplaySelection {
            start_time: Some(time("2026-04-23T10:30:00Z")),
            event_types: vec![EVENT_TYPE],
            ..replay_selection(EndpointId::MIN, scope)
        };
        let search = Search {
            shard: SHARD,
            organization: &us,
            selection: &selection,
            before: Position(9),
            after: ReplayCursor::start(scope),
            limit: 10,
            now: time("2026-04-23T10:30:00Z"),
        };
        let steps = plan(&store, &search.sql().into_string()).await;
        assert!(
            steps.iter().any(|step| step.starts_with(&format!("SEARCH {index}"))),
            "{steps:#?}"
        );
        let scans: Vec<_> = steps.iter().filter(|step| step.starts_with("SCAN ")).collect();
        assert_eq!(scans, ["SCAN seen"], "{steps:#?}");
    }
}
