//! The plans of SQLite's statements: each uses the index that was made for it.

use keeptrusts_webhooks_domain::delivery::{Delivery, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::endpoint::{EffectiveEndpointState, Endpoint};
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};
use keeptrusts_webhooks_domain::request::RecordedRequest;
use sqlx::{AssertSqlSafe, Row, Sqlite};
use tempfile::TempDir;
use ulid::Ulid;

use super::open;
use crate::log::count_limit::Counted;
use crate::queries::counts::{CountSelection, count_selections};
use crate::queries::selection::ErasedSelection;
use crate::queries::walk::last;
use crate::queries::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, StateFilter};
use crate::queries::{attempts, deliveries, endpoints, events};
use crate::sql;
use crate::sql::replay_scan::ReplaySearch;
use crate::sqlite::{SqliteStore, bodies, data_keys, load, log_reads, replays};
use crate::tables::TableShape;
use crate::testing::conformance::given::*;

/// The steps of a statement's plan.
async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
    let mut writer = store.writer.lock().await.expect("the writer is there");
    let connection = writer.connection().expect("the database is open");
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let steps = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.expect("explained");
    steps.into_iter().map(|step| step.get("detail")).collect()
}

fn statement(selection: &ErasedSelection) -> String {
    sql::select::<Sqlite>(SHARD, selection).into_string()
}

#[tokio::test]
async fn sets_of_rows_are_looked_up_by_their_keys() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let lookups = [
        (
            &*load::lookup_by_key(&TableShape::of::<Endpoint>()),
            "SEARCH endpoints USING ",
            " AND endpoint_id=?",
        ),
        (
            &*load::lookup_by_key(&TableShape::of::<Delivery>()),
            "SEARCH deliveries USING ",
            " AND delivery_id=?",
        ),
        (
            &*load::lookup_by_key(&TableShape::of::<RecordedRequest>()),
            "SEARCH requests USING ",
            " AND request_id=?",
        ),
        (load::lookup_by_idempotency_key(), "SEARCH events USING ", " AND idempotency_key=?"),
        (load::lookup_by_stream(), "SEARCH records USING ", " AND stream=? AND version=?"),
        (&bodies::BODIES, "SEARCH bodies USING ", " AND id=?"),
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
    let some = Some(Ulid(0));
    let deliveries = |endpoint_id: Option<EndpointId>, event_id, least: Option<Ulid>| {
        let filter = DeliveryFilter {
            endpoint_ids: endpoint_id.into(),
            event_id,
            ..DeliveryFilter::default()
        };
        let range = (DeliveryId::MAX, least.map(DeliveryId::new));
        statement(deliveries::listed(&us, &filter, range).limit(10).erased())
    };
    let attempts = |endpoint_id: Option<EndpointId>, delivery_id, least: Option<Ulid>| {
        let filter = AttemptFilter {
            endpoint_ids: endpoint_id.into(),
            delivery_id,
            ..AttemptFilter::default()
        };
        let range = (AttemptId::MAX, least.map(AttemptId::new));
        statement(attempts::listed(&us, &filter, range).limit(10).erased())
    };
    let endpoints = endpoints::listed(&us, &EndpointFilter::default(), EndpointId::MAX).limit(10);
    let failing = StateFilter::of_endpoints(&[EffectiveEndpointState::Failing], [EndpointId::MIN]);
    let failing = EndpointFilter { states: failing, ..EndpointFilter::default() };
    let failing = endpoints::listed(&us, &failing, EndpointId::MAX).limit(10);
    let paused = |endpoint_id: Option<EndpointId>| {
        use EffectiveDeliveryState::{Paused, Scheduled};
        let filter = DeliveryFilter {
            endpoint_ids: endpoint_id.into(),
            states: StateFilter::of_deliveries(&[Paused, Scheduled], [EndpointId::MIN]),
            ..DeliveryFilter::default()
        };
        statement(deliveries::listed(&us, &filter, (DeliveryId::MAX, None)).limit(10).erased())
    };
    let events = |least: Option<Ulid>| {
        let (filter, range) = (EventFilter::default(), (EventId::MAX, least.map(EventId::new)));
        statement(events::listed(&us, &filter, range).limit(10).erased())
    };
    let by_event = "deliveries USING INDEX deliveries_event (shard=? AND event_id=? AND organization_id=? AND delivery_id<?)";
    let by_delivery =
        "attempts USING INDEX attempts_delivery (shard=? AND delivery_id=? AND attempt_id<?)";
    let lists = [
        (
            statement(endpoints.erased()),
            "endpoints USING PRIMARY KEY (shard=? AND organization_id=? AND endpoint_id<?)",
        ),
        (events(None), "events USING PRIMARY KEY (shard=? AND organization_id=? AND event_id<?)"),
        (
            deliveries(None, None, None),
            "deliveries USING PRIMARY KEY (shard=? AND organization_id=? AND delivery_id<?)",
        ),
        (
            deliveries(endpoint_id, None, None),
            "deliveries USING INDEX deliveries_endpoint (shard=? AND endpoint_id=? AND delivery_id<?)",
        ),
        (deliveries(None, event_id, None), by_event),
        (deliveries(endpoint_id, event_id, None), by_event),
        (
            attempts(None, None, None),
            "attempts USING PRIMARY KEY (shard=? AND organization_id=? AND attempt_id<?)",
        ),
        (
            attempts(endpoint_id, None, None),
            "attempts USING INDEX attempts_endpoint (shard=? AND endpoint_id=? AND attempt_id<?)",
        ),
        (attempts(None, Some(DeliveryId::MIN), None), by_delivery),
        (attempts(endpoint_id, Some(DeliveryId::MIN), None), by_delivery),
        (
            statement(endpoints::disabled(&us, None).erased()),
            "endpoints USING INDEX endpoints_disabled (shard=? AND organization_id=?)",
        ),
        (
            statement(endpoints::disabled(&us, endpoint_id).erased()),
            "endpoints USING INDEX endpoints_disabled (shard=? AND organization_id=? AND endpoint_id=?)",
        ),
        // Down to the last row that is looked at.
        (
            events(some),
            "events USING PRIMARY KEY (shard=? AND organization_id=? AND event_id>? AND event_id<?)",
        ),
        (
            deliveries(endpoint_id, None, some),
            "deliveries USING INDEX deliveries_endpoint (shard=? AND endpoint_id=? AND delivery_id>? AND delivery_id<?)",
        ),
        (
            attempts(endpoint_id, None, some),
            "attempts USING INDEX attempts_endpoint (shard=? AND endpoint_id=? AND attempt_id>? AND attempt_id<?)",
        ),
        // The last row that is looked at is found in the index alone.
        (
            statement(last(events::walk(&us, EventId::MAX, None), 1_000).erased()),
            "events USING PRIMARY KEY (shard=? AND organization_id=? AND event_id<?)",
        ),
        (
            statement(
                last(deliveries::walk(&us, endpoint_id, DeliveryId::MAX, None), 1_000).erased(),
            ),
            "deliveries USING COVERING INDEX deliveries_endpoint (shard=? AND endpoint_id=? AND delivery_id<?)",
        ),
        (
            statement(last(attempts::walk(&us, endpoint_id, AttemptId::MAX, None), 1_000).erased()),
            "attempts USING COVERING INDEX attempts_endpoint (shard=? AND endpoint_id=? AND attempt_id<?)",
        ),
    ];
    for (sql, step) in lists {
        // The whole plan is this one step: nothing is sorted afterwards.
        assert_eq!(plan(&store, &sql).await, [format!("SEARCH {step}")], "{sql}");
    }
    // What depends on the endpoint is a list in memory, and does not change how rows are found.
    let of_some_endpoints = [
        (
            statement(failing.erased()),
            "endpoints USING PRIMARY KEY (shard=? AND organization_id=? AND endpoint_id<?)",
        ),
        (
            paused(None),
            "deliveries USING PRIMARY KEY (shard=? AND organization_id=? AND delivery_id<?)",
        ),
        (
            paused(endpoint_id),
            "deliveries USING INDEX deliveries_endpoint (shard=? AND endpoint_id=? AND delivery_id<?)",
        ),
    ];
    for (sql, step) in of_some_endpoints {
        let steps = plan(&store, &sql).await;
        assert_eq!(steps[0], format!("SEARCH {step}"), "{sql}");
        assert!(!steps.concat().contains("TEMP B-TREE"), "{steps:#?}");
    }
}

#[tokio::test]
async fn what_an_append_counts_is_read_from_an_index() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let by_organization = "USING PRIMARY KEY (shard=? AND organization_id=?)";
    let endpoints = format!("endpoints {by_organization}");
    let channels = format!("channels {by_organization}");
    for (counted, step) in [
        (Counted::Endpoints, endpoints.as_str()),
        (Counted::Channels, channels.as_str()),
        (Counted::RunningReplays, "replays USING COVERING INDEX replays_running (shard=?)"),
        (
            Counted::RunningReplaysOf(EndpointId::MIN),
            "replays USING COVERING INDEX replays_running (shard=?)",
        ),
    ] {
        for owners in [vec![organization()], vec![organization(), other_organization()]] {
            let wanted: Vec<_> = owners.into_iter().map(|owner| (owner, counted)).collect();
            for CountSelection { rows, column, .. } in count_selections(&wanted) {
                let sql = sql::counted_by::<Sqlite>(SHARD, &rows, column).into_string();
                let steps = plan(&store, &sql).await;
                assert_eq!(steps[0], format!("SEARCH {step}"), "{sql}");
            }
        }
    }
}

#[tokio::test]
async fn a_replay_scans_one_index_and_looks_the_rest_up() {
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
        let search = ReplaySearch {
            shard: SHARD,
            organization: &us,
            selection: &selection,
            before: Position(9),
            after: ReplayCursor::start(scope),
            limit: 10,
        };
        let query = replays::select(&search, time("2026-04-23T10:30:00Z"));
        let steps = plan(&store, &query.into_string()).await;
        assert!(
            steps.iter().any(|step| step.starts_with(&format!("SEARCH {index}"))),
            "{steps:#?}"
        );
        let scans: Vec<_> = steps.iter().filter(|step| step.starts_with("SCAN ")).collect();
        assert_eq!(scans, ["SCAN scanned"], "{steps:#?}");
    }
}
