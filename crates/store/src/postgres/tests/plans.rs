//! The plans of the statements that read many rows: each reads the index that was made for it, and
//! no more rows than it must.
//!
//! The indexes' statistics say how many rows a call has read, so that it is the statements of the
//! calls themselves that are judged, with their parameters, in sessions as they are set up.

use std::collections::BTreeMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::delivery::EffectiveDeliveryState;
use keeptrusts_webhooks_domain::endpoint::EffectiveEndpointState;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OrganizationId,
    ReplayId,
};
use keeptrusts_webhooks_domain::key::TokenDigest;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::notification::NotificationState;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection, ReplayState};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{connect, database};
use crate::log::count_limit::Counted;
use crate::log::operation::BodyId;
use crate::postgres::session::fetch;
use crate::postgres::{MIN_CONNECTIONS, PostgresOptions, PostgresStore};
use crate::queries::counts::{CountSelection, count_selections};
use crate::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, KeyFilter,
    NotificationFilter, ReplayFilter, StateFilter,
};
use crate::store::{DueKey, Store};
use crate::testing::conformance::given::{SHARD, create_endpoint, replay_selection};

/// How many rows each call asks for.
const LIMIT: usize = 10;
/// How often each call is made. Postgres plans the first five executions of a prepared statement
/// for their parameters, and then may keep to a plan for any.
const CALLS: i64 = 7;

/// Rows of 20 organizations, `org-0` to `org-19`. The number of a row modulo 20 is its
/// organization's, so that each organization's rows are scattered over the table. An organization
/// has 10 endpoints with deliveries, an endpoint 100 deliveries.
const FILL: &str = r"
    CREATE FUNCTION pg_temp.org(i BIGINT) RETURNS TEXT LANGUAGE sql AS
        $$ SELECT 'org-' || i % 20 $$;
    CREATE FUNCTION pg_temp.id(prefix TEXT, i BIGINT) RETURNS TEXT LANGUAGE sql AS
        $$ SELECT prefix || '_' || lpad(i::text, 26, '0') $$;
    CREATE FUNCTION pg_temp.sha(i BIGINT) RETURNS BYTEA LANGUAGE sql AS
        $$ SELECT sha256(int8send(i)) $$;

    INSERT INTO endpoints (shard, organization_id, endpoint_id, display_name, url, state,
                           document_version, document)
    SELECT 0, pg_temp.org(i), pg_temp.id('ep', i), display_name, url,
           CASE WHEN i / 20 % 10 = 0 THEN 'disabled' ELSE state END, document_version, document
    FROM (SELECT * FROM endpoints LIMIT 1) AS one, generate_series(1, 2000) AS i;
    INSERT INTO records (shard, position, stream, version, kind, organization_id, data, metadata,
                         recorded_at, operation_id, audit_action, actor)
    SELECT 0, 1000 + i, 'endpoint/' || pg_temp.id('ep', i), 1, kind, pg_temp.org(i), data, metadata,
           recorded_at, operation_id, CASE WHEN i / 20 % 5 = 0 THEN audit_action END, actor
    FROM (SELECT * FROM records LIMIT 1) AS one, generate_series(1, 10000) AS i;
    INSERT INTO events (shard, organization_id, event_id, event_type, is_test, event_time,
                        create_time, body_sha256, body_size, publisher, position)
    SELECT 0, pg_temp.org(i), pg_temp.id('evt', i), 'policy.violation', FALSE, i, i,
           pg_temp.sha(i), 1, '', 1000 + i
    FROM generate_series(1, 10000) AS i;
    INSERT INTO bodies (shard, id, content, expire_time)
    SELECT 0, event_id, 'x', 9223372036854775807 FROM events;
    INSERT INTO deliveries (shard, organization_id, delivery_id, event_id, event_type, is_test,
                            endpoint_id, state, attempt_count, automatic_count, due_time,
                            create_time, cancel_reason, version)
    SELECT 0, pg_temp.org(i), pg_temp.id('dlv', i), pg_temp.id('evt', i % 10000),
           'policy.violation', FALSE, pg_temp.id('ep', i % 200),
           CASE WHEN i % 200 < 20 THEN 'scheduled' ELSE 'delivered' END, 1, 1,
           CASE WHEN i % 200 < 20 THEN i END, i, '', 1
    FROM generate_series(1, 20000) AS i;
    INSERT INTO attempts (shard, organization_id, attempt_id, delivery_id, event_id, event_type,
                          endpoint_id, number, automatic_count, trigger, start_time, duration,
                          exchange_sha256, exchange_size, outcome, error, remark)
    SELECT 0, organization_id, pg_temp.id('att', i), delivery_id, event_id, event_type, endpoint_id,
           1, 1, 'automatic', i, 1, pg_temp.sha(i), 1, 'failed', '', ''
    FROM deliveries, LATERAL (SELECT right(delivery_id, 26)::bigint AS i) AS number;
    INSERT INTO missed_events (shard, endpoint_id, position, organization_id, event_id)
    SELECT 0, pg_temp.id('ep', i % 200), 1000 + i, pg_temp.org(i), pg_temp.id('evt', i)
    FROM generate_series(1, 10000) AS i;
    INSERT INTO attempt_counts (shard, endpoint_id, hour, outcome, duration_bucket, count)
    SELECT 0, pg_temp.id('ep', i % 200), i / 200 * 3600000000, 'delivered', 1, 1
    FROM generate_series(1, 20000) AS i;
    INSERT INTO failing_endpoints (shard, organization_id, endpoint_id, since, delivery_id, failures)
    SELECT 0, pg_temp.org(i), pg_temp.id('ep', i), 0, pg_temp.id('dlv', i), 1
    FROM generate_series(1, 2000) AS i;
    INSERT INTO endpoint_pauses (shard, organization_id, endpoint_id, start_time, end_time,
                                 delivery_id, status_code)
    SELECT 0, organization_id, endpoint_id, 0, 1, delivery_id, 503 FROM failing_endpoints;
    INSERT INTO keys (shard, key_id, organization_id, token_sha256, is_session, creator,
                      document_version, document)
    SELECT 0, pg_temp.id('key', i), pg_temp.org(i), pg_temp.sha(i), i / 20 % 2 = 0,
           pg_temp.id('key', i % 40), 1, $document$KEY$document$
    FROM generate_series(1, 4000) AS i;
    INSERT INTO key_uses (shard, key_id, last_use_time) SELECT 0, key_id, 1 FROM keys;
    INSERT INTO replays (shard, organization_id, replay_id, endpoint_id, state, document_version,
                         document)
    SELECT 0, pg_temp.org(i), pg_temp.id('rpl', i), pg_temp.id('ep', i % 200),
           CASE WHEN i / 20 % 20 = 0 THEN 'running' ELSE 'done' END, 1, $document$REPLAY$document$
    FROM generate_series(1, 4000) AS i;
    INSERT INTO channels (shard, organization_id, channel_id, document_version, document)
    SELECT 0, pg_temp.org(i), pg_temp.id('chn', i), 1, $document$CHANNEL$document$
    FROM generate_series(1, 2000) AS i;
    INSERT INTO notifications (shard, organization_id, notification_id, channel_id, type, state, due_time,
                               end_time, cause, attempt_start_time, attempt_recipients,
                               document_version, document)
    SELECT 0, pg_temp.org(i), pg_temp.id('ntf', i), pg_temp.id('chn', i % 200),
           'delivery_exhausted', CASE WHEN i % 200 < 20 THEN 'waiting' ELSE 'sent' END,
           CASE WHEN i % 200 < 20 THEN i END,
           CASE WHEN i % 200 >= 20 THEN i END, i, i, 1, 1, $document$NOTIFICATION$document$
    FROM generate_series(1, 20000) AS i;
    INSERT INTO incidents (shard, organization_id, channel_id, endpoint_id, opened, closing, closed)
    SELECT 0, pg_temp.org(i), pg_temp.id('chn', i % 200), pg_temp.id('ep', i), 2, 2,
           CASE WHEN i % 100 = 0 THEN 1 ELSE 2 END
    FROM generate_series(1, 4000) AS i;
    ANALYZE";

/// The first document of a table.
fn document(documents: &str) -> String {
    let documents: Vec<Value> = serde_json::from_str(documents).expect("a list of documents");
    documents[0].to_string()
}

fn fill() -> String {
    FILL.replace("KEY", &document(include_str!("../../tables/documents/keys.v1.json")))
        .replace("REPLAY", &document(include_str!("../../tables/documents/replays.v1.json")))
        .replace("CHANNEL", &document(include_str!("../../tables/documents/channels.v1.json")))
        .replace(
            "NOTIFICATION",
            &document(include_str!("../../tables/documents/notifications.v1.json")),
        )
}

/// A filled database, and one session that reads.
struct Filled {
    store: PostgresStore,
    connection: PgConnection,
    /// The calls that have read otherwise than expected.
    surprises: Vec<String>,
}

impl Filled {
    async fn new() -> Filled {
        let url = database().await;
        let options =
            PostgresOptions { connections: MIN_CONNECTIONS, ..PostgresOptions::default() };
        let store = PostgresStore::open(&url, options).await.expect("the database is opened");
        assert_eq!(store.readers.size(), 1);
        store.append(SHARD, &[create_endpoint(EndpointId::MAX)]).await.expect("appends");
        let mut connection = connect(&url).await;
        sqlx::raw_sql(AssertSqlSafe(fill())).execute(&mut connection).await.expect("fills");
        Filled { store, connection, surprises: Vec::new() }
    }

    /// Notes a surprise unless each call reads rows by these indexes only, and of each at most so
    /// many.
    async fn expect(
        &mut self,
        call_name: &str,
        expected: &[(&str, i64)],
        call: impl AsyncFn(&dyn Store),
    ) {
        let read = self.rows_read(call).await;
        let is_expected = read.len() == expected.len()
            && expected.iter().all(|(index, most)| {
                read.get(*index).is_some_and(|rows| (1..=*most).contains(rows))
            });
        if !is_expected {
            self.surprises.push(format!("{call_name}: read {read:?}, not {expected:?}"));
        }
    }

    /// How many rows a call reads by each index, and without one.
    async fn rows_read(&mut self, call: impl AsyncFn(&dyn Store)) -> BTreeMap<String, i64> {
        let before = self.statistics().await;
        for _ in 0..CALLS {
            call(&self.store).await;
        }
        let mut read = self.statistics().await;
        read.retain(|index, rows| {
            *rows = (*rows - before.get(index).copied().unwrap_or(0)).div_euclid(CALLS);
            *rows > 0
        });
        read
    }

    /// How many rows were read by each index and, under the name of the table, without one. The
    /// small table `shards` is left out: other connections read it as well.
    async fn statistics(&mut self) -> BTreeMap<String, i64> {
        // A session reports its statistics after this statement, which the next one waits for.
        for report in ["SELECT pg_stat_force_next_flush()::text", "SELECT ''"] {
            let query = sqlx::query_as::<_, (String,)>(report);
            fetch(&self.store.readers, query).await.expect("reports");
        }
        let statistics: Vec<(String, i64)> = sqlx::query_as(
            "SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes
             WHERE relname NOT IN ('shards', '_sqlx_migrations')
             UNION ALL
             SELECT relname::text, seq_tup_read FROM pg_stat_user_tables
             WHERE relname NOT IN ('shards', '_sqlx_migrations')",
        )
        .fetch_all(&mut self.connection)
        .await
        .expect("answers");
        statistics.into_iter().collect()
    }
}

/// The organization of the endpoint, the event, the delivery and so on with the number 27.
fn us() -> OrganizationId {
    "org-7".parse().expect("an organization's id")
}

/// The id that `FILL` gives a row with the number 27.
fn row_27<Id: std::str::FromStr>(prefix: &str) -> Id {
    row(prefix, 27)
}

fn row<Id: std::str::FromStr>(prefix: &str, number: u32) -> Id {
    let id = format!("{prefix}_{number:0>26}").parse();
    id.unwrap_or_else(|_| panic!("an id of {prefix}"))
}

async fn list_deliveries_of_an_endpoint(store: &dyn Store) {
    let filter = DeliveryFilter { endpoint_ids: (Some(row_27("ep"))).into(), ..Default::default() };
    let page = store.list_deliveries(SHARD, &us(), &filter, DeliveryId::MAX, LIMIT).await;
    assert_eq!(page.expect("reads").rows.len(), LIMIT);
}

fn micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("a time")
}

/// Filling takes far longer than reading, so that all of them share what is filled.
#[tokio::test(flavor = "multi_thread")]
async fn every_read_of_many_rows_uses_the_index_that_was_made_for_it() {
    let mut filled = Filled::new().await;
    lists_read_the_index_of_their_filter_and_no_more_rows_than_they_must(&mut filled).await;
    a_replay_scans_one_index_and_looks_the_rest_up(&mut filled).await;
    sums_are_read_for_an_organizations_endpoints_only(&mut filled).await;
    what_is_counted_is_read_from_an_index(&mut filled).await;
    a_look_up_reads_the_rows_that_it_names(&mut filled).await;
    assert!(filled.surprises.is_empty(), "{:#?}", filled.surprises);
    the_statistics_show_a_list_that_has_no_index_of_its_own(&mut filled).await;
}

async fn lists_read_the_index_of_their_filter_and_no_more_rows_than_they_must(filled: &mut Filled) {
    let us = us();
    let endpoint: EndpointId = row_27("ep");
    let channel: ChannelId = row_27("chn");

    filled
        .expect("list_endpoints", &[("endpoints_pkey", 10)], async |store| {
            let filter = EndpointFilter::default();
            let list = store.list_endpoints(SHARD, &us, &filter, EndpointId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("shard_endpoints", &[("endpoints_id", 10)], async |store| {
            let list = store.shard_endpoints(SHARD, EndpointId::MIN, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("failing_endpoints", &[("failing_endpoints_pkey", 100)], async |store| {
            let all = store.failing_endpoints(SHARD, Some(&us)).await;
            assert_eq!(all.expect("reads").len(), 100);
        })
        .await;
    filled
        .expect("list_endpoints that are failing", &[("endpoints_pkey", 100)], async |store| {
            let failing = (1..100).map(|number| row("ep", number * 20 + 7));
            let states = &[EffectiveEndpointState::Failing];
            let states = StateFilter::of_endpoints(states, failing);
            let filter = EndpointFilter { states, ..Default::default() };
            let list = store.list_endpoints(SHARD, &us, &filter, EndpointId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("disabled_endpoints", &[("endpoints_disabled", 10)], async |store| {
            let all = store.disabled_endpoints(SHARD, &us, None).await;
            assert_eq!(all.expect("reads").len(), 10);
        })
        .await;
    filled
        .expect("disabled_endpoints, one", &[("endpoints_disabled", 1)], async |store| {
            let one = store.disabled_endpoints(SHARD, &us, Some(row("ep", 7))).await;
            assert_eq!(one.expect("reads").len(), 1);
        })
        .await;
    filled
        .expect("endpoint_pauses", &[("endpoint_pauses_pkey", 100)], async |store| {
            let all = store.endpoint_pauses(SHARD, Some(&us)).await;
            assert_eq!(all.expect("reads").len(), 100);
        })
        .await;

    filled
        .expect("list_events", &[("events_pkey", 10)], async |store| {
            let filter = EventFilter::default();
            let page = store.list_events(SHARD, &us, &filter, EventId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_events of a publisher", &[("events_pkey", 1_000)], async |store| {
            let filter = EventFilter { publisher: Some("x".to_owned()), ..Default::default() };
            let page = store.list_events(SHARD, &us, &filter, EventId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 0);
        })
        .await;
    filled
        .expect("missed_events", &[("missed_events_pkey", 10)], async |store| {
            let list = store.missed_events(SHARD, endpoint, Position::START, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;

    filled
        .expect("list_deliveries", &[("deliveries_pkey", 10)], async |store| {
            let filter = DeliveryFilter::default();
            let page = store.list_deliveries(SHARD, &us, &filter, DeliveryId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    // Its last row is looked up first.
    filled
        .expect(
            "list_deliveries of an endpoint",
            &[("deliveries_endpoint", 20)],
            list_deliveries_of_an_endpoint,
        )
        .await;
    filled
        .expect("list_deliveries of a state", &[("deliveries_endpoint", 200)], async |store| {
            let filter = DeliveryFilter {
                endpoint_ids: Some(endpoint).into(),
                states: StateFilter::of_deliveries(&[EffectiveDeliveryState::Failed], []),
                ..Default::default()
            };
            let page = store.list_deliveries(SHARD, &us, &filter, DeliveryId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 0);
        })
        .await;
    // The last row is looked up first. One in ten matches.
    filled
        .expect("list_deliveries that are paused", &[("deliveries_pkey", 1_100)], async |store| {
            let disabled = (0..100).map(|number| row("ep", number * 20 + 7));
            let states = &[EffectiveDeliveryState::Paused];
            let states = StateFilter::of_deliveries(states, disabled);
            let filter = DeliveryFilter { states, ..Default::default() };
            let page = store.list_deliveries(SHARD, &us, &filter, DeliveryId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_deliveries of an event", &[("deliveries_event", 2)], async |store| {
            let filter = DeliveryFilter { event_id: Some(row_27("evt")), ..Default::default() };
            let page = store.list_deliveries(SHARD, &us, &filter, DeliveryId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 2);
        })
        .await;
    filled
        .expect("due_deliveries", &[("deliveries_due", 10)], async |store| {
            let first: EndpointId = format!("ep_{:0>26}", 7).parse().expect("an id");
            let page = store.due_deliveries(SHARD, first, DueKey::MIN, LIMIT).await;
            assert_eq!(page.expect("reads").deliveries.len(), LIMIT);
        })
        .await;
    // One row of each of 20 endpoints, and the end.
    filled
        .expect("waiting_endpoints", &[("deliveries_due", 21)], async |store| {
            let waiting = store.waiting_endpoints(SHARD).await;
            assert_eq!(waiting.expect("reads").endpoints.len(), 20);
        })
        .await;

    filled
        .expect("list_attempts", &[("attempts_pkey", 10)], async |store| {
            let filter = AttemptFilter::default();
            let page = store.list_attempts(SHARD, &us, &filter, AttemptId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_attempts of an endpoint", &[("attempts_endpoint", 20)], async |store| {
            let filter =
                AttemptFilter { endpoint_ids: Some(endpoint).into(), ..Default::default() };
            let page = store.list_attempts(SHARD, &us, &filter, AttemptId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_attempts of an outcome", &[("attempts_pkey", 2_000)], async |store| {
            let filter = AttemptFilter {
                outcomes: Some(AttemptOutcome::Delivered).into(),
                ..Default::default()
            };
            let page = store.list_attempts(SHARD, &us, &filter, AttemptId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 0);
        })
        .await;
    filled
        .expect("list_attempts of a delivery", &[("attempts_delivery", 1)], async |store| {
            let filter = AttemptFilter { delivery_id: Some(row_27("dlv")), ..Default::default() };
            let page = store.list_attempts(SHARD, &us, &filter, AttemptId::MAX, LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 1);
        })
        .await;
    filled
        .expect("attempts_of_deliveries", &[("attempts_delivery", 2)], async |store| {
            let other = format!("dlv_{:0>26}", 47).parse().expect("an id");
            let ids = [row_27("dlv"), other];
            let list = store.attempts_of_deliveries(SHARD, &us, &ids, LIMIT).await;
            assert_eq!(list.expect("reads").len(), 2);
        })
        .await;
    filled
        .expect("attempt_counts", &[("attempt_counts_pkey", 11)], async |store| {
            let from_hour = micros(90 * 3_600_000_000);
            let counts = store.attempt_counts(SHARD, endpoint, from_hour).await;
            assert_eq!(counts.expect("reads").len(), 10);
        })
        .await;

    filled
        .expect("list_audit_records", &[("records_audit", 10)], async |store| {
            let filter = AuditFilter::default();
            let page =
                store.list_audit_records(SHARD, &us, &filter, Position(i64::MAX), LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_audit_records of actions", &[("records_audit", 200)], async |store| {
            let actions = vec![AuditAction::KeyCreated, AuditAction::KeyRevoked];
            let filter = AuditFilter { actions: actions.into(), ..Default::default() };
            let page =
                store.list_audit_records(SHARD, &us, &filter, Position(i64::MAX), LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 0);
        })
        .await;
    filled
        .expect("list_audit_records of an actor", &[("records_audit", 200)], async |store| {
            let filter = AuditFilter { actor: Some("x".to_owned()), ..Default::default() };
            let page =
                store.list_audit_records(SHARD, &us, &filter, Position(i64::MAX), LIMIT).await;
            assert_eq!(page.expect("reads").rows.len(), 0);
        })
        .await;

    filled
        .expect("list_keys", &[("keys_organization", 10)], async |store| {
            let list = store.list_keys(&us, KeyFilter::default(), KeyId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("list_keys of a kind", &[("keys_kind", 10)], async |store| {
            let filter = KeyFilter { sessions: Some(true) };
            let list = store.list_keys(&us, filter, KeyId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("list_replays", &[("replays_pkey", 10)], async |store| {
            let list = store
                .list_replays(SHARD, &us, &ReplayFilter::default(), ReplayId::MAX, LIMIT)
                .await;
            assert_eq!(list.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("keys_made_by", &[("keys_creator", 10)], async |store| {
            let list = store.keys_made_by(row_27("key"), KeyId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    // There are few replays, and so no index by endpoint.
    filled
        .expect("list_replays of an endpoint", &[("replays_pkey", 400)], async |store| {
            let filter = ReplayFilter { endpoint_ids: Some(endpoint).into(), ..Default::default() };
            let list = store.list_replays(SHARD, &us, &filter, ReplayId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("list_replays of a state", &[("replays_pkey", 400)], async |store| {
            let states = vec![ReplayState::Cancelled, ReplayState::Running];
            let filter = ReplayFilter { states: states.into(), ..Default::default() };
            let list = store.list_replays(SHARD, &us, &filter, ReplayId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").rows.len(), LIMIT);
        })
        .await;
    filled
        .expect("running_replays", &[("replays_running", 10)], async |store| {
            let list = store.running_replays(SHARD, None, ReplayId::MIN, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;

    filled
        .expect("list_channels", &[("channels_pkey", 10)], async |store| {
            let list = store.list_channels(SHARD, &us, ChannelId::MAX, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("shard_channels", &[("channels_id", 10)], async |store| {
            let list = store.shard_channels(SHARD, ChannelId::MIN, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    filled
        .expect("list_notifications", &[("notifications_pkey", 10)], async |store| {
            let list = store
                .list_notifications(
                    SHARD,
                    &us,
                    &NotificationFilter::default(),
                    NotificationId::MAX,
                    LIMIT,
                )
                .await;
            assert_eq!(list.expect("reads").rows.len(), LIMIT);
        })
        .await;
    // Its last row is looked up first.
    filled
        .expect(
            "list_notifications of a channel",
            &[("notifications_channel", 20)],
            async |store| {
                let channel_ids = Some(channel).into();
                let filter = NotificationFilter { channel_ids, ..Default::default() };
                let before = NotificationId::MAX;
                let list = store.list_notifications(SHARD, &us, &filter, before, LIMIT).await;
                assert_eq!(list.expect("reads").rows.len(), LIMIT);
            },
        )
        .await;
    filled
        .expect("list_notifications of a state", &[("notifications_pkey", 2_000)], async |store| {
            let filter = NotificationFilter {
                states: Some(NotificationState::Withdrawn).into(),
                ..Default::default()
            };
            let before = NotificationId::MAX;
            let list = store.list_notifications(SHARD, &us, &filter, before, LIMIT).await;
            assert_eq!(list.expect("reads").rows.len(), 0);
        })
        .await;
    filled
        .expect("waiting_notifications", &[("notifications_due", 10)], async |store| {
            let first: ChannelId = format!("chn_{:0>26}", 7).parse().expect("an id");
            let list = store.waiting_notifications(SHARD, first, LIMIT).await;
            assert_eq!(list.expect("reads").len(), LIMIT);
        })
        .await;
    // All that wait.
    filled
        .expect("waiting_channels", &[("notifications_due", 2_000)], async |store| {
            let channels = store.waiting_channels(SHARD).await;
            assert_eq!(channels.expect("reads").len(), 20);
        })
        .await;
    filled
        .expect("last_causes", &[("notifications_cause", 20)], async |store| {
            let causes = store.last_causes(SHARD, Position(19_980)).await;
            assert_eq!(causes.expect("reads").len(), 20);
        })
        .await;
    filled
        .expect("mail_sent", &[("notifications_mail", 11)], async |store| {
            let sent = store.mail_sent(SHARD, &us, micros(19_800)).await;
            sent.expect("reads");
        })
        .await;
    filled
        .expect("open_incidents", &[("incidents_open", 40)], async |store| {
            let open = store.open_incidents(SHARD).await;
            assert_eq!(open.expect("reads").len(), 40);
        })
        .await;
}

async fn what_is_counted_is_read_from_an_index(filled: &mut Filled) {
    let us = us();
    // An append counts these rows while it holds the shard.
    for (counted, count, expected) in [
        (Counted::Endpoints, 100, [("endpoints_pkey", 100)]),
        (Counted::Channels, 100, [("channels_pkey", 100)]),
        (Counted::RunningReplays, 10, [("replays_running", 200)]),
        (Counted::RunningReplaysOf(row("ep", 7)), 10, [("replays_running", 10)]),
    ] {
        let wanted = &[(us.clone(), counted)];
        filled
            .expect(&format!("{counted:?}"), &expected, async |store| {
                for CountSelection { rows, .. } in count_selections(wanted) {
                    assert_eq!(store.count(SHARD, &rows).await.expect("reads"), count);
                }
            })
            .await;
    }
    filled
        .expect("count_waiting", &[("deliveries_due", 2_000)], async |store| {
            assert_eq!(store.count_waiting(SHARD).await.expect("reads"), 2_000);
        })
        .await;
    let expected = [("events_pkey", 500), ("attempts_pkey", 1_000)];
    filled
        .expect("count_events_and_attempts", &expected, async |store| {
            let count = store.count_events_and_attempts(SHARD, &us).await;
            assert_eq!(count.expect("reads"), 1_500);
        })
        .await;
}

async fn a_look_up_reads_the_rows_that_it_names(filled: &mut Filled) {
    let us = us();
    // Two unique indexes have an endpoint; the planner takes the smaller one.
    filled
        .expect("endpoint", &[("endpoints_id", 1)], async |store| {
            assert!(store.endpoint(SHARD, &us, row_27("ep")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("endpoints", &[("endpoints_id", 1)], async |store| {
            let ids = [row_27("ep"), EndpointId::MIN];
            assert_eq!(store.endpoints(SHARD, &us, &ids).await.expect("reads").len(), 1);
        })
        .await;
    filled
        .expect("event", &[("events_pkey", 1)], async |store| {
            assert!(store.event(SHARD, &us, row_27("evt")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("deliveries", &[("deliveries_pkey", 1)], async |store| {
            let deliveries = store.deliveries(SHARD, &us, &[row_27("dlv")]).await;
            assert_eq!(deliveries.expect("reads").len(), 1);
        })
        .await;
    filled
        .expect("attempt", &[("attempts_pkey", 1)], async |store| {
            assert!(store.attempt(SHARD, &us, row_27("att")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("replay", &[("replays_pkey", 1)], async |store| {
            assert!(store.replay(SHARD, &us, row_27("rpl")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("channel", &[("channels_pkey", 1)], async |store| {
            assert!(store.channel(SHARD, &us, row_27("chn")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("notification", &[("notifications_pkey", 1)], async |store| {
            let notification = store.notification(SHARD, &us, row_27("ntf")).await;
            assert!(notification.expect("reads").is_some());
        })
        .await;
    filled
        .expect("key", &[("keys_pkey", 1)], async |store| {
            assert!(store.key(row_27("key")).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("keys", &[("keys_pkey", 1)], async |store| {
            assert_eq!(store.keys(&[row_27("key")]).await.expect("reads").len(), 1);
        })
        .await;
    filled
        .expect("key_by_token", &[("keys_token", 1)], async |store| {
            let token = TokenDigest(Sha256::digest(27_i64.to_be_bytes()).into());
            assert!(store.key_by_token(token).await.expect("reads").is_some());
        })
        .await;
    filled
        .expect("key_uses", &[("key_uses_pkey", 1)], async |store| {
            assert_eq!(store.key_uses(&[row_27("key")]).await.expect("reads").len(), 1);
        })
        .await;
    filled
        .expect("bodies", &[("bodies_pkey", 1)], async |store| {
            let bodies = store.bodies(SHARD, &[BodyId::Event(row_27("evt"))]).await;
            assert_eq!(bodies.expect("reads").len(), 1);
        })
        .await;
}

async fn the_statistics_show_a_list_that_has_no_index_of_its_own(filled: &mut Filled) {
    let drop = sqlx::raw_sql("DROP INDEX deliveries_endpoint");
    drop.execute(&mut filled.connection).await.expect("drops");
    let read = filled.rows_read(list_deliveries_of_an_endpoint).await;
    assert!(read.values().sum::<i64>() > 1_000, "{read:?}");
}

async fn a_replay_scans_one_index_and_looks_the_rest_up(filled: &mut Filled) {
    let us = us();
    let endpoint: EndpointId = row_27("ep");
    for (scope, expected) in [
        (
            ReplayScope::Missed,
            [
                ("missed_events_pkey", 10),
                ("events_pkey", 10),
                ("records_pkey", 10),
                ("bodies_pkey", 10),
                ("deliveries_event", 20),
            ],
        ),
        (
            ReplayScope::Failed,
            [
                ("attempts_endpoint", 10),
                ("events_pkey", 10),
                ("records_pkey", 10),
                ("bodies_pkey", 10),
                ("deliveries_pkey", 10),
            ],
        ),
    ] {
        let selection = replay_selection(endpoint, scope);
        let candidates = async |store: &dyn Store| find(store, &us, &selection).await;
        filled.expect(&format!("{scope:?}"), &expected, candidates).await;
    }
    let selection = replay_selection(endpoint, ReplayScope::All);
    let expected =
        [("events_pkey", 20), ("records_pkey", 10), ("bodies_pkey", 10), ("deliveries_event", 20)];
    let candidates = async |store: &dyn Store| find(store, &us, &selection).await;
    filled.expect("All", &expected, candidates).await;
}

async fn find(store: &dyn Store, organization: &OrganizationId, selection: &ReplaySelection) {
    let after = ReplayCursor::start(selection.scope);
    let before = Position(i64::MAX);
    let page = store.replay_candidates(SHARD, organization, selection, before, after, LIMIT).await;
    assert_eq!(page.expect("reads").candidates.len(), LIMIT);
}

async fn sums_are_read_for_an_organizations_endpoints_only(filled: &mut Filled) {
    let us = us();
    let hours: Range<Timestamp> = micros(90 * 3_600_000_000)..micros(100 * 3_600_000_000);
    let expected = [("attempt_counts_pkey", 200), ("endpoints_pkey", 100)];
    filled
        .expect("attempt_sums", &expected, async |store| {
            let sums = store.attempt_sums(SHARD, &us, hours.clone()).await;
            assert_eq!(sums.expect("reads").len(), 10);
        })
        .await;
}
