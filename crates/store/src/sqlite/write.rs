//! What a transaction writes: one set-based statement for each table that changes.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::audit::file_of;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::SqliteConnection;

use super::errors::failed;
use super::notifications::{CHANNELS, NOTIFICATIONS, bind_channel, bind_notification};
use super::set_statement::{SetStatement, Values};
use super::{health, incidents, number, pauses, replays};
use crate::operation::{NewBody, Record};
use crate::projection::{Changes, CountKey, Missed};
use crate::rows::{Word, duration_micros, event_types_text, micros, traceparent, tracestate};
use crate::store::StoreError;

static RECORDS: SetStatement = SetStatement::new(
    12,
    "INSERT INTO records
         (shard, position, stream, version, kind, organization_id, data, metadata,
          recorded_at, operation_id, audit_action, actor)
     VALUES {rows}",
);

static BODIES: SetStatement =
    SetStatement::new(4, "INSERT INTO bodies (shard, id, content, expire_time) VALUES {rows}");

static ENDPOINTS: SetStatement = SetStatement::new(
    29,
    "INSERT OR REPLACE INTO endpoints
         (shard, organization_id, endpoint_id, name, url, description, event_types,
          secret_key_id, secret_nonce, secret_ciphertext,
          previous_secret_key_id, previous_secret_nonce, previous_secret_ciphertext,
          previous_secret_expire_time,
          status, status_reason, status_cause, status_delivery_id, status_time, config_version,
          version, create_time, update_time, delete_time, payload_format, payload_template,
          routing_key_key_id, routing_key_nonce, routing_key_ciphertext)
     VALUES {rows}",
);

static EVENTS: SetStatement = SetStatement::new(
    13,
    "INSERT INTO events
         (shard, organization_id, event_id, event_type, event_time, create_time,
          body_sha256, body_size, idempotency_key, request_sha256, trace_id, publisher,
          position)
     VALUES {rows}",
);

static NEW_DELIVERIES: SetStatement = SetStatement::new(
    21,
    "INSERT INTO deliveries
         (shard, organization_id, delivery_id, event_id, event_type, endpoint_id, state,
          attempt_count, automatic_count, next_attempt_time, steady_due_time,
          retry_request_time, due_time, traceparent, create_time, cancel_reason, version,
          event_time, tracestate, retry_traceparent, replay_traceparent)
     VALUES {rows}",
);

// Every row exists, so every one conflicts. An UPDATE … FROM (VALUES …) is no faster: what it
// saves in parameters it spends on the join.
static CHANGED_DELIVERIES: SetStatement = SetStatement::new(
    21,
    "INSERT INTO deliveries
         (shard, organization_id, delivery_id, event_id, event_type, endpoint_id, state,
          attempt_count, automatic_count, next_attempt_time, steady_due_time,
          retry_request_time, due_time, traceparent, create_time, cancel_reason, version,
          event_time, tracestate, retry_traceparent, replay_traceparent)
     VALUES {rows}
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
         version = excluded.version",
);

static ATTEMPTS: SetStatement = SetStatement::new(
    19,
    "INSERT INTO attempts
         (shard, organization_id, attempt_id, delivery_id, event_id, event_type, endpoint_id,
          number, automatic_count, trigger, start_time, duration, status_code,
          exchange_sha256, exchange_size, outcome, error, next_attempt_time, remark)
     VALUES {rows}",
);

static MISSED_EVENTS: SetStatement = SetStatement::new(
    5,
    "INSERT INTO missed_events (shard, endpoint_id, position, organization_id, event_id)
     VALUES {rows}",
);

static ATTEMPT_COUNTS: SetStatement = SetStatement::new(
    6,
    "INSERT INTO attempt_counts (shard, endpoint_id, hour, outcome, duration_bucket, count)
     VALUES {rows}
     ON CONFLICT (shard, endpoint_id, hour, outcome, duration_bucket) DO UPDATE SET
         count = count + excluded.count",
);

static KEYS: SetStatement = SetStatement::new(
    13,
    "INSERT OR REPLACE INTO keys
         (shard, key_id, organization_id, name, role, token_sha256, is_session, parent_key_id,
          creator, create_time, expire_time, revoke_time, version)
     VALUES {rows}",
);

pub(super) async fn records(
    connection: &mut SqliteConnection,
    shard: Shard,
    records: &[Record],
) -> Result<(), StoreError> {
    let bind = |values: &mut Values, record: &Record| bind_record(values, shard, record);
    RECORDS.execute(connection, records.iter(), bind).await.map_err(failed)
}

pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    bodies: &[&NewBody],
) -> Result<(), StoreError> {
    let bind = |values: &mut Values, body: &&NewBody| {
        values.push(number(shard));
        values.push(body.id.to_string());
        values.push(&body.content[..]);
        values.push(micros(body.expire_time));
    };
    BODIES.execute(connection, bodies.iter(), bind).await.map_err(failed)
}

/// Writes what the fold says that the tables lack.
pub(super) async fn changes(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), StoreError> {
    write_changes(connection, shard, changes).await.map_err(failed)
}

async fn write_changes(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let bind = |values: &mut Values, row: &Endpoint| bind_endpoint(values, shard, row);
    ENDPOINTS.execute(connection, changes.endpoints.values(), bind).await?;
    let bind = |values: &mut Values, row: &Event| bind_event(values, shard, row);
    EVENTS.execute(connection, changes.events.iter(), bind).await?;
    let bind = |values: &mut Values, row: &Delivery| bind_delivery(values, shard, row);
    NEW_DELIVERIES.execute(connection, changes.new_deliveries.values(), bind).await?;
    CHANGED_DELIVERIES.execute(connection, changes.changed_deliveries.values(), bind).await?;
    let bind = |values: &mut Values, row: &Attempt| bind_attempt(values, shard, row);
    ATTEMPTS.execute(connection, changes.attempts.iter(), bind).await?;
    let bind = |values: &mut Values, row: &Missed| bind_missed(values, shard, row);
    MISSED_EVENTS.execute(connection, changes.missed.iter(), bind).await?;
    let bind = |values: &mut Values, row: (&CountKey, &u64)| bind_count(values, shard, row);
    ATTEMPT_COUNTS.execute(connection, changes.attempt_counts.iter(), bind).await?;
    health::write(connection, shard, changes).await?;
    pauses::write(connection, shard, changes).await?;
    let bind = |values: &mut Values, row: &Key| bind_key(values, shard, row);
    KEYS.execute(connection, changes.keys.values(), bind).await?;
    replays::write(connection, shard, changes.replays.values()).await?;
    let bind = |values: &mut Values, row: &Channel| bind_channel(values, shard, row);
    CHANNELS.execute(connection, changes.channels.values(), bind).await?;
    let bind = |values: &mut Values, row: &Notification| bind_notification(values, shard, row);
    NOTIFICATIONS.execute(connection, changes.notifications.values(), bind).await?;
    incidents::write(connection, shard, changes).await
}

fn bind_record(values: &mut Values, shard: Shard, record: &Record) {
    values.push(number(shard));
    values.push(record.position.0);
    values.push(record.stream.to_string());
    values.push(record.version.0);
    values.push(log_codec::kind(&record.fact));
    values.push(record.organization_id.as_str());
    values.push(log_codec::encode(&record.fact));
    values.push(record.metadata.encode());
    values.push(micros(record.recorded_at));
    values.push(record.operation_id.to_string());
    let file = file_of(&record.fact);
    values.push(file);
    values.push(file.map(|_| record.metadata.actor.as_str()));
}

fn bind_endpoint(values: &mut Values, shard: Shard, row: &Endpoint) {
    let previous = row.previous_secret.as_ref();
    values.push(number(shard));
    values.push(row.organization_id.as_str());
    values.push(row.id.to_string());
    values.push(row.name.as_str());
    values.push(row.url.as_str());
    values.push(row.description.as_str());
    values.push(event_types_text(&row.event_types));
    values.push(row.secret.key_id.as_str());
    values.push(&row.secret.nonce[..]);
    values.push(&row.secret.ciphertext[..]);
    values.push(previous.map(|previous| previous.secret.key_id.as_str()));
    values.push(previous.map(|previous| &previous.secret.nonce[..]));
    values.push(previous.map(|previous| &previous.secret.ciphertext[..]));
    values.push(previous.map(|previous| micros(previous.expire_time)));
    values.push(row.status.word());
    values.push(row.status_reason.as_str());
    values.push(row.status_cause.map(Word::word));
    values.push(row.status_delivery.map(|id| id.to_string()));
    values.push(micros(row.status_time));
    values.push(row.config_version.0);
    values.push(row.version.0);
    values.push(micros(row.create_time));
    values.push(micros(row.update_time));
    values.push(row.delete_time.map(micros));
    let routing_key = row.payload_format.routing_key();
    values.push(row.payload_format.kind().name());
    values.push(row.payload_format.template());
    values.push(routing_key.map(|key| key.key_id.as_str()));
    values.push(routing_key.map(|key| &key.nonce[..]));
    values.push(routing_key.map(|key| &key.ciphertext[..]));
}

fn bind_event(values: &mut Values, shard: Shard, row: &Event) {
    let idempotency = row.idempotency.as_ref();
    values.push(number(shard));
    values.push(row.organization_id.as_str());
    values.push(row.id.to_string());
    values.push(row.event_type.name());
    values.push(micros(row.event_time));
    values.push(micros(row.create_time));
    values.push(&row.body.sha256[..]);
    values.push(i64::from(row.body.size));
    values.push(idempotency.map(|idempotency| idempotency.key.as_str()));
    values.push(idempotency.map(|idempotency| &idempotency.request_sha256[..]));
    values.push(row.trace_id.map(|trace_id| trace_id.to_string()));
    values.push(row.publisher.as_str());
    values.push(row.position.0);
}

fn bind_delivery(values: &mut Values, shard: Shard, row: &Delivery) {
    values.push(number(shard));
    values.push(row.organization_id.as_str());
    values.push(row.id.to_string());
    values.push(row.event_id.to_string());
    values.push(row.event_type.name());
    values.push(row.endpoint_id.to_string());
    values.push(row.state.word());
    values.push(i64::from(row.attempt_count));
    values.push(i64::from(row.automatic_count));
    values.push(row.next_attempt_time.map(micros));
    values.push(row.steady_due_time.map(micros));
    values.push(row.retry_request_time.map(micros));
    values.push(row.due_time().map(micros));
    values.push(traceparent(row.trace.as_ref()));
    values.push(micros(row.create_time));
    values.push(row.end_reason.as_str());
    values.push(row.version.0);
    values.push(row.event_time.map(micros));
    values.push(tracestate(&row.trace));
    values.push(traceparent(row.retry_request_trace.as_deref()));
    values.push(traceparent(row.replay_request_trace.as_deref()));
}

fn bind_attempt(values: &mut Values, shard: Shard, row: &Attempt) {
    let made = &row.made;
    values.push(number(shard));
    values.push(row.organization_id.as_str());
    values.push(made.id.to_string());
    values.push(row.delivery_id.to_string());
    values.push(made.event_id.to_string());
    values.push(made.event_type.name());
    values.push(made.endpoint_id.to_string());
    values.push(i64::from(made.number));
    values.push(i64::from(made.automatic_count));
    values.push(made.trigger.word());
    values.push(micros(made.start_time));
    values.push(duration_micros(made.duration));
    values.push(made.status_code.map(i64::from));
    values.push(&made.exchange.sha256[..]);
    values.push(i64::from(made.exchange.size));
    values.push(row.outcome.word());
    values.push(row.error.as_str());
    values.push(row.next_attempt_time.map(micros));
    values.push(made.remark.as_str());
}

fn bind_key(values: &mut Values, shard: Shard, row: &Key) {
    values.push(number(shard));
    values.push(row.id.to_string());
    values.push(row.reach.to_string());
    values.push(row.name.as_str());
    values.push(row.role.word());
    values.push(&row.token.0[..]);
    values.push(row.session.is_some());
    values.push(row.session.and_then(|session| session.parent).map(|id| id.to_string()));
    values.push(row.creator.as_str());
    values.push(micros(row.create_time));
    values.push(row.expire_time.map(micros));
    values.push(row.revoke_time.map(micros));
    values.push(row.version.0);
}

fn bind_missed(values: &mut Values, shard: Shard, row: &Missed) {
    values.push(number(shard));
    values.push(row.endpoint_id.to_string());
    values.push(row.position.0);
    values.push(row.organization_id.as_str());
    values.push(row.event_id.to_string());
}

fn bind_count(values: &mut Values, shard: Shard, (key, count): (&CountKey, &u64)) {
    values.push(number(shard));
    values.push(key.endpoint_id.to_string());
    values.push(micros(key.hour));
    values.push(key.outcome.word());
    values.push(i64::from(key.duration_bucket));
    values.push(*count as i64);
}
