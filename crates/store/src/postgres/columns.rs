//! The columns that the shared rows are read from.
//!
//! Named one by one: a prepared `SELECT *` fails as soon as another process, of a newer version,
//! adds a column.

use sqlx::AssertSqlSafe;

pub(super) const RECORD: &str =
    "position, stream, version, organization_id, data, metadata, recorded_at, operation_id";

pub(super) const ENDPOINT: &str = "
    organization_id, endpoint_id, name, url, description, event_types,
    secret_key_id, secret_nonce, secret_ciphertext,
    previous_secret_key_id, previous_secret_nonce, previous_secret_ciphertext,
    previous_secret_expire_time, status, status_reason, status_cause, status_delivery_id,
    status_time, config_version, version, create_time, update_time, delete_time, payload_format,
    payload_template, routing_key_key_id, routing_key_nonce, routing_key_ciphertext";

pub(super) const EVENT: &str = "
    organization_id, event_id, event_type, event_time, create_time, body_sha256, body_size,
    idempotency_key, request_sha256, trace_id, publisher, position";

pub(super) const KEY: &str = "
    key_id, organization_id, name, role, token_sha256, is_session, parent_key_id, creator,
    create_time, expire_time, revoke_time, version";

pub(super) const REPLAY: &str = "
    organization_id, replay_id, endpoint_id, scope, start_time, end_time, start_event_id,
    start_position, end_event_id, end_position, event_types, include_delivered,
    deliveries_per_second, matched_count, may_match_more, state, scheduled_count, resumed_count, skipped_count,
    expired_count, cursor, position, creator, create_time, finish_time, end_reason, version";

pub(super) const DELIVERY: &str = "
    organization_id, delivery_id, event_id, event_type, event_time, endpoint_id, state,
    attempt_count, automatic_count, next_attempt_time, steady_due_time, retry_request_time,
    retry_traceparent, replay_traceparent, traceparent, tracestate, create_time, cancel_reason,
    version";

pub(super) const ATTEMPT: &str = "
    organization_id, attempt_id, delivery_id, event_id, event_type, endpoint_id, number,
    automatic_count, trigger, start_time, duration, status_code, exchange_sha256, exchange_size,
    outcome, error, next_attempt_time, remark";

pub(super) const CHANNEL: &str = "
    organization_id, channel_id, name, kind, address, secret_key_id, secret_nonce,
    secret_ciphertext, subscriptions, endpoint_ids, status, status_reason, status_time,
    config_version, version, create_time, update_time, delete_time";

pub(super) const NOTIFICATION: &str = "
    organization_id, notification_id, channel_id, type, endpoint_id, delivery_id, count,
    since_time, reason, first_due_time, summary, state, due_time, attempt_count,
    attempt_start_time, attempt_duration, status_code, error, cause, create_time, end_time,
    version, incident, attempt_recipients";

/// The statement that selects these columns from what follows. Both are written in the source,
/// so nothing can be injected.
pub(super) fn select(columns: &'static str, rest: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SELECT {columns} {rest}"))
}
