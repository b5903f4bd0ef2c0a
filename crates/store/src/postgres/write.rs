//! Writing what a plan or a fold says: one statement for each table, whatever the number of
//! rows, and none for a table that nothing is written to.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::audit::file_of;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{AssertSqlSafe, PgConnection};

use super::keys::upsert_keys;
use super::notifications::{upsert_channels, upsert_notifications};
use super::replays;
use super::write_endpoints::upsert_endpoints;
use super::{health, incidents, pauses};
use crate::operation::{NewBody, Record};
use crate::projection::{Changes, CountKey, Missed};
use crate::rows::{Word, duration_micros, micros, traceparent, tracestate};

/// One column of many rows, as UNNEST takes it.
pub(super) fn column<'a, Row, Value>(
    rows: &'a [Row],
    value: impl FnMut(&'a Row) -> Value,
) -> Vec<Value> {
    rows.iter().map(value).collect()
}

/// Appends records to the log.
pub(super) async fn insert_records(
    connection: &mut PgConnection,
    shard: Shard,
    records: &[Record],
) -> Result<(), sqlx::Error> {
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO records (shard, position, stream, version, kind, organization_id, data,
                              metadata, recorded_at, operation_id, audit_action, actor)
         SELECT $1, new.*
         FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[],
                     $8::bytea[], $9::bigint[], $10::text[], $11::text[], $12::text[]) AS new",
    )
    .bind(i32::from(shard.0))
    .bind(column(records, |record| record.position.0))
    .bind(column(records, |record| record.stream.to_string()))
    .bind(column(records, |record| record.version.0))
    .bind(column(records, |record| log_codec::kind(&record.fact)))
    .bind(column(records, |record| record.organization_id.as_str()))
    .bind(column(records, |record| log_codec::encode(&record.fact)))
    .bind(column(records, |record| record.metadata.encode()))
    .bind(column(records, |record| micros(record.recorded_at)))
    .bind(column(records, |record| record.operation_id.to_string()))
    .bind(column(records, |record| file_of(&record.fact)))
    .bind(column(records, |record| file_of(&record.fact).map(|_| record.metadata.actor.as_str())))
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds content that expires.
pub(super) async fn insert_bodies(
    connection: &mut PgConnection,
    shard: Shard,
    bodies: &[&NewBody],
) -> Result<(), sqlx::Error> {
    if bodies.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO bodies (shard, id, content, expire_time)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::bytea[], $4::bigint[]) AS new",
    )
    .bind(i32::from(shard.0))
    .bind(column(bodies, |body| body.id.to_string()))
    .bind(column(bodies, |body| body.content.as_ref()))
    .bind(column(bodies, |body| micros(body.expire_time)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Brings the projections up to date.
pub(super) async fn write_changes(
    connection: &mut PgConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let endpoints: Vec<_> = changes.endpoints.values().collect();
    let new_deliveries: Vec<_> = changes.new_deliveries.values().collect();
    let changed_deliveries: Vec<_> = changes.changed_deliveries.values().collect();
    let attempt_counts: Vec<_> = changes.attempt_counts.iter().collect();
    let keys: Vec<_> = changes.keys.values().collect();
    let replays: Vec<_> = changes.replays.values().collect();
    let channels: Vec<_> = changes.channels.values().collect();
    let notifications: Vec<_> = changes.notifications.values().collect();
    upsert_endpoints(connection, shard, &endpoints).await?;
    insert_events(connection, shard, &changes.events).await?;
    insert_deliveries(connection, shard, &new_deliveries, "").await?;
    insert_deliveries(connection, shard, &changed_deliveries, REPLACE_DELIVERIES).await?;
    insert_attempts(connection, shard, &changes.attempts).await?;
    insert_missed(connection, shard, &changes.missed).await?;
    add_attempt_counts(connection, shard, &attempt_counts).await?;
    health::write(connection, shard, &changes.health.iter().collect::<Vec<_>>()).await?;
    pauses::write(connection, shard, changes).await?;
    upsert_keys(connection, shard, &keys).await?;
    replays::upsert(connection, shard, &replays).await?;
    upsert_channels(connection, shard, &channels).await?;
    upsert_notifications(connection, shard, &notifications).await?;
    incidents::write(connection, shard, &changes.incidents.iter().collect::<Vec<_>>()).await
}

async fn insert_events(
    connection: &mut PgConnection,
    shard: Shard,
    events: &[Event],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO events (shard, organization_id, event_id, event_type, event_time,
                             create_time, body_sha256, body_size, idempotency_key,
                             request_sha256, trace_id, publisher, position)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[],
                     $8::bigint[], $9::text[], $10::bytea[], $11::text[], $12::text[],
                     $13::bigint[]) AS new",
    )
    .bind(i32::from(shard.0))
    .bind(column(events, |event| event.organization_id.as_str()))
    .bind(column(events, |event| event.id.to_string()))
    .bind(column(events, |event| event.event_type.name()))
    .bind(column(events, |event| micros(event.event_time)))
    .bind(column(events, |event| micros(event.create_time)))
    .bind(column(events, |event| event.body.sha256))
    .bind(column(events, |event| i64::from(event.body.size)))
    .bind(column(events, |event| event.idempotency.as_ref().map(|used| used.key.as_str())))
    .bind(column(events, |event| event.idempotency.as_ref().map(|used| used.request_sha256)))
    .bind(column(events, |event| event.trace_id.map(|id| id.to_string())))
    .bind(column(events, |event| event.publisher.as_str()))
    .bind(column(events, |event| event.position.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces the rows of deliveries that exist, in what of them can change.
///
/// An UPDATE would do the same, but leaves the planner a choice: see [`super::load`].
const REPLACE_DELIVERIES: &str = "
    ON CONFLICT (shard, organization_id, delivery_id) DO UPDATE SET
        state = excluded.state,
        attempt_count = excluded.attempt_count,
        automatic_count = excluded.automatic_count,
        next_attempt_time = excluded.next_attempt_time,
        steady_due_time = excluded.steady_due_time,
        retry_request_time = excluded.retry_request_time,
        due_time = excluded.due_time,
        retry_traceparent = excluded.retry_traceparent,
        replay_traceparent = excluded.replay_traceparent,
        cancel_reason = excluded.cancel_reason,
        version = excluded.version";

async fn insert_deliveries(
    connection: &mut PgConnection,
    shard: Shard,
    deliveries: &[&Delivery],
    on_conflict: &'static str,
) -> Result<(), sqlx::Error> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let insert = "
        INSERT INTO deliveries (shard, organization_id, delivery_id, event_id, event_type,
                                endpoint_id, state, attempt_count, automatic_count,
                                next_attempt_time, steady_due_time, retry_request_time, due_time,
                                traceparent, create_time, cancel_reason, version, event_time,
                                tracestate, retry_traceparent, replay_traceparent)
        SELECT $1, new.*
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                    $8::int[], $9::int[], $10::bigint[], $11::bigint[], $12::bigint[],
                    $13::bigint[], $14::text[], $15::bigint[], $16::text[], $17::bigint[],
                    $18::bigint[], $19::text[], $20::text[], $21::text[]) AS new";
    sqlx::query(AssertSqlSafe(format!("{insert}{on_conflict}")))
        .bind(i32::from(shard.0))
        .bind(column(deliveries, |delivery| delivery.organization_id.as_str()))
        .bind(column(deliveries, |delivery| delivery.id.to_string()))
        .bind(column(deliveries, |delivery| delivery.event_id.to_string()))
        .bind(column(deliveries, |delivery| delivery.event_type.name()))
        .bind(column(deliveries, |delivery| delivery.endpoint_id.to_string()))
        .bind(column(deliveries, |delivery| delivery.state.word()))
        .bind(column(deliveries, |delivery| int(delivery.attempt_count)))
        .bind(column(deliveries, |delivery| int(delivery.automatic_count)))
        .bind(column(deliveries, |delivery| delivery.next_attempt_time.map(micros)))
        .bind(column(deliveries, |delivery| delivery.steady_due_time.map(micros)))
        .bind(column(deliveries, |delivery| delivery.retry_request_time.map(micros)))
        .bind(column(deliveries, |delivery| delivery.due_time().map(micros)))
        .bind(column(deliveries, |delivery| traceparent(delivery.trace.as_ref())))
        .bind(column(deliveries, |delivery| micros(delivery.create_time)))
        .bind(column(deliveries, |delivery| delivery.end_reason.as_str()))
        .bind(column(deliveries, |delivery| delivery.version.0))
        .bind(column(deliveries, |delivery| delivery.event_time.map(micros)))
        .bind(column(deliveries, |delivery| tracestate(&delivery.trace)))
        .bind(column(deliveries, |delivery| traceparent(delivery.retry_request_trace.as_deref())))
        .bind(column(deliveries, |delivery| traceparent(delivery.replay_request_trace.as_deref())))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_attempts(
    connection: &mut PgConnection,
    shard: Shard,
    attempts: &[Attempt],
) -> Result<(), sqlx::Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (shard, organization_id, attempt_id, delivery_id, event_id,
                               event_type, endpoint_id, number, automatic_count, trigger,
                               start_time, duration, status_code, exchange_sha256,
                               exchange_size, outcome, error, next_attempt_time, remark)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::int[], $9::int[], $10::text[], $11::bigint[], $12::bigint[],
                     $13::int[], $14::bytea[], $15::bigint[], $16::text[], $17::text[],
                     $18::bigint[], $19::text[]) AS new",
    )
    .bind(i32::from(shard.0))
    .bind(column(attempts, |attempt| attempt.organization_id.as_str()))
    .bind(column(attempts, |attempt| attempt.made.id.to_string()))
    .bind(column(attempts, |attempt| attempt.delivery_id.to_string()))
    .bind(column(attempts, |attempt| attempt.made.event_id.to_string()))
    .bind(column(attempts, |attempt| attempt.made.event_type.name()))
    .bind(column(attempts, |attempt| attempt.made.endpoint_id.to_string()))
    .bind(column(attempts, |attempt| int(attempt.made.number)))
    .bind(column(attempts, |attempt| int(attempt.made.automatic_count)))
    .bind(column(attempts, |attempt| attempt.made.trigger.word()))
    .bind(column(attempts, |attempt| micros(attempt.made.start_time)))
    .bind(column(attempts, |attempt| duration_micros(attempt.made.duration)))
    .bind(column(attempts, |attempt| attempt.made.status_code.map(i32::from)))
    .bind(column(attempts, |attempt| attempt.made.exchange.sha256))
    .bind(column(attempts, |attempt| i64::from(attempt.made.exchange.size)))
    .bind(column(attempts, |attempt| attempt.outcome.word()))
    .bind(column(attempts, |attempt| attempt.error.as_str()))
    .bind(column(attempts, |attempt| attempt.next_attempt_time.map(micros)))
    .bind(column(attempts, |attempt| attempt.made.remark.as_str()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_missed(
    connection: &mut PgConnection,
    shard: Shard,
    missed: &[Missed],
) -> Result<(), sqlx::Error> {
    if missed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO missed_events (shard, endpoint_id, position, organization_id, event_id)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) AS new",
    )
    .bind(i32::from(shard.0))
    .bind(column(missed, |missed| missed.endpoint_id.to_string()))
    .bind(column(missed, |missed| missed.position.0))
    .bind(column(missed, |missed| missed.organization_id.as_str()))
    .bind(column(missed, |missed| missed.event_id.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_attempt_counts(
    connection: &mut PgConnection,
    shard: Shard,
    counts: &[(&CountKey, &u64)],
) -> Result<(), sqlx::Error> {
    if counts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempt_counts (shard, endpoint_id, hour, outcome, duration_bucket, count)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::int[], $6::bigint[]) AS new
         ON CONFLICT (shard, endpoint_id, hour, outcome, duration_bucket)
         DO UPDATE SET count = attempt_counts.count + excluded.count",
    )
    .bind(i32::from(shard.0))
    .bind(column(counts, |(key, _)| key.endpoint_id.to_string()))
    .bind(column(counts, |(key, _)| micros(key.hour)))
    .bind(column(counts, |(key, _)| key.outcome.word()))
    .bind(column(counts, |(key, _)| i32::from(key.duration_bucket)))
    // No table counts beyond 63 bits.
    .bind(column(counts, |(_, count)| **count as i64))
    .execute(connection)
    .await?;
    Ok(())
}

/// A small count as a column holds it.
pub(super) fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
