//! Rows as the tables of either database hold them, and what they mean. The one place where
//! columns become values of the domain and back.

use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptMade, Outcome, Trigger};
use keeptrusts_webhooks_domain::channel::{ChannelKind, ChannelStatus};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointStatus, PreviousSecret};
use keeptrusts_webhooks_domain::event::{ContentDigest, Event, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::health::{Failing, StatusCause};
use keeptrusts_webhooks_domain::ids::{EndpointId, KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, SessionOrigin, TokenDigest};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, PayloadKind};
use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayBound, ReplayCounts, ReplayCursor, ReplayScope, ReplaySelection,
    ReplayState,
};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::trace::{TraceContext, TraceState};
use sqlx::FromRow;

use crate::operation::Record;
use crate::projection::{CountKey, Missed};
use crate::replay::{Candidate, CandidateDelivery, trace_of};
use crate::store::{AttemptSum, ShardState, SteadyTime, StoreError};

type Unreadable<T> = Result<T, StoreError>;

/// Values that columns hold as words.
pub(crate) trait Word: Copy + Sized + 'static {
    /// Each value with its word.
    const WORDS: &'static [(Self, &'static str)];

    fn matches(self, other: Self) -> bool;

    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(value, _)| self.matches(*value));
        // Every value is listed; the tests say so.
        found.map_or("", |(_, word)| word)
    }

    fn from_word(word: &str) -> Unreadable<Self> {
        let found = Self::WORDS.iter().find(|(_, candidate)| *candidate == word);
        found.map(|(value, _)| *value).ok_or_else(|| unreadable("word", word))
    }
}

macro_rules! words {
    ($type:ty { $($value:path => $word:literal,)* }) => {
        impl Word for $type {
            const WORDS: &'static [(Self, &'static str)] = &[$(($value, $word),)*];

            fn matches(self, other: Self) -> bool {
                self == other
            }
        }
    };
}

words!(EndpointStatus {
    EndpointStatus::Active => "active",
    EndpointStatus::Disabled => "disabled",
    EndpointStatus::Degraded => "degraded",
});
words!(StatusCause {
    StatusCause::Requested => "requested",
    StatusCause::Exhausted => "exhausted",
    StatusCause::Failing => "failing",
    StatusCause::Gone => "gone",
});
words!(DeliveryState {
    DeliveryState::Scheduled => "scheduled",
    DeliveryState::Retrying => "retrying",
    DeliveryState::Delivered => "delivered",
    DeliveryState::Failed => "failed",
    DeliveryState::Cancelled => "cancelled",
});
words!(Trigger {
    Trigger::Automatic => "automatic",
    Trigger::Manual => "manual",
    Trigger::Test => "test",
});
words!(Role {
    Role::Admin => "admin",
    Role::Publisher => "publisher",
    Role::Viewer => "viewer",
    Role::Platform => "platform",
});
words!(ReplayScope {
    ReplayScope::Missed => "missed",
    ReplayScope::Failed => "failed",
    ReplayScope::All => "all",
});
words!(ReplayState {
    ReplayState::Running => "running",
    ReplayState::Done => "done",
    ReplayState::Cancelled => "cancelled",
});
words!(Outcome {
    Outcome::Delivered => "delivered",
    Outcome::Retrying => "retrying",
    Outcome::Failed => "failed",
});

words!(ChannelKind {
    ChannelKind::Slack => "slack",
    ChannelKind::Teams => "teams",
    ChannelKind::PagerDuty => "pagerduty",
    ChannelKind::Webhook => "webhook",
    ChannelKind::Email => "email",
});
words!(ChannelStatus {
    ChannelStatus::Active => "active",
    ChannelStatus::Failing => "failing",
});
words!(NotificationType {
    NotificationType::DeliveryExhausted => "delivery_exhausted",
    NotificationType::EndpointDegraded => "endpoint_degraded",
    NotificationType::EndpointRecovered => "endpoint_recovered",
    NotificationType::EndpointDisabled => "endpoint_disabled",
    NotificationType::WeeklySummary => "weekly_summary",
    NotificationType::Test => "test",
    NotificationType::IncidentResolved => "incident_resolved",
});
words!(NotificationState {
    NotificationState::Waiting => "waiting",
    NotificationState::Sent => "sent",
    NotificationState::Failed => "failed",
    NotificationState::Withdrawn => "withdrawn",
});

/// A time as a column holds it: microseconds since 1970-01-01 UTC.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time from a column.
pub(crate) fn time(micros: i64) -> Unreadable<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| unreadable("time", micros))
}

pub(crate) fn optional_time(micros: Option<i64>) -> Unreadable<Option<Timestamp>> {
    micros.map(time).transpose()
}

/// A duration as a column holds it: microseconds.
pub(crate) fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Event types as a column holds them.
pub(crate) fn event_types_text(event_types: &[EventType]) -> String {
    event_types.iter().map(|event_type| event_type.name()).collect::<Vec<_>>().join(",")
}

pub(crate) fn parse<T: std::str::FromStr>(what: &'static str, text: &str) -> Unreadable<T> {
    text.parse().map_err(|_| unreadable(what, text))
}

pub(crate) fn number<T: TryFrom<i64>>(what: &'static str, value: impl Into<i64>) -> Unreadable<T> {
    let value = value.into();
    T::try_from(value).map_err(|_| unreadable(what, value))
}

fn sha256(bytes: Vec<u8>) -> Unreadable<[u8; 32]> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| unreadable("SHA-256 length", length))
}

pub(crate) fn unreadable(what: &str, value: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(format!("{what} {value}"))
}

#[derive(FromRow)]
pub(crate) struct RecordRow {
    pub(crate) position: i64,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) organization_id: String,
    pub(crate) data: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) recorded_at: i64,
    pub(crate) operation_id: String,
}

impl TryFrom<RecordRow> for Record {
    type Error = StoreError;

    fn try_from(row: RecordRow) -> Unreadable<Record> {
        let stream: Stream = parse("stream", &row.stream)?;
        let undecodable = |error| unreadable(&format!("record {}:", row.position), error);
        Ok(Record {
            position: Position(row.position),
            stream,
            version: Version(row.version),
            organization_id: organization_or_all(&row.organization_id)?,
            fact: log_codec::decode(stream, &row.data).map_err(undecodable)?,
            metadata: log_codec::Metadata::decode(&row.metadata).map_err(undecodable)?,
            recorded_at: time(row.recorded_at)?,
            operation_id: parse("operation", &row.operation_id)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct ShardStateRow {
    pub(crate) last_position: i64,
    pub(crate) checkpoint: i64,
    pub(crate) epoch: i64,
    pub(crate) steady_time: Option<i64>,
    /// By the database's clock, in microseconds.
    pub(crate) steady_time_age: Option<i64>,
}

impl TryFrom<ShardStateRow> for ShardState {
    type Error = StoreError;

    fn try_from(row: ShardStateRow) -> Unreadable<ShardState> {
        let age = u64::try_from(row.steady_time_age.unwrap_or(0)).unwrap_or(0);
        let steady = optional_time(row.steady_time)?;
        Ok(ShardState {
            last_position: Position(row.last_position),
            checkpoint: Position(row.checkpoint),
            epoch: Epoch(row.epoch),
            steady: steady.map(|time| SteadyTime { time, age: Duration::from_micros(age) }),
        })
    }
}

#[derive(FromRow)]
pub(crate) struct EndpointRow {
    pub(crate) organization_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) event_types: String,
    pub(crate) secret_key_id: String,
    pub(crate) secret_nonce: Vec<u8>,
    pub(crate) secret_ciphertext: Vec<u8>,
    pub(crate) previous_secret_key_id: Option<String>,
    pub(crate) previous_secret_nonce: Option<Vec<u8>>,
    pub(crate) previous_secret_ciphertext: Option<Vec<u8>>,
    pub(crate) previous_secret_expire_time: Option<i64>,
    pub(crate) status: String,
    pub(crate) status_reason: String,
    pub(crate) status_cause: Option<String>,
    pub(crate) status_delivery_id: Option<String>,
    pub(crate) status_time: i64,
    pub(crate) config_version: i64,
    pub(crate) version: i64,
    pub(crate) create_time: i64,
    pub(crate) update_time: i64,
    pub(crate) delete_time: Option<i64>,
    pub(crate) payload_format: String,
    pub(crate) payload_template: Option<String>,
    pub(crate) routing_key_key_id: Option<String>,
    pub(crate) routing_key_nonce: Option<Vec<u8>>,
    pub(crate) routing_key_ciphertext: Option<Vec<u8>>,
}

pub(crate) fn sealed(
    key_id: String,
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
) -> Unreadable<SealedSecret> {
    let length = nonce.len();
    let nonce = nonce.try_into().map_err(|_| unreadable("nonce length", length))?;
    Ok(SealedSecret { key_id, nonce, ciphertext })
}

fn payload_format(
    kind: PayloadKind,
    template: Option<String>,
    routing_key: Option<SealedSecret>,
) -> Unreadable<PayloadFormat> {
    let lacking = || unreadable("payload format", format!("{kind} without what belongs to it"));
    Ok(match kind {
        PayloadKind::Keeptrusts => PayloadFormat::Keeptrusts,
        PayloadKind::Slack => PayloadFormat::Slack,
        PayloadKind::Teams => PayloadFormat::Teams,
        PayloadKind::CloudEvents => PayloadFormat::CloudEvents,
        PayloadKind::PagerDuty => {
            PayloadFormat::PagerDuty { routing_key: routing_key.ok_or_else(lacking)? }
        }
        PayloadKind::Custom => PayloadFormat::Custom { template: template.ok_or_else(lacking)? },
    })
}

impl TryFrom<EndpointRow> for Endpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Unreadable<Endpoint> {
        let previous_secret = match (
            row.previous_secret_key_id,
            row.previous_secret_nonce,
            row.previous_secret_ciphertext,
            row.previous_secret_expire_time,
        ) {
            (Some(key_id), Some(nonce), Some(ciphertext), Some(expire_time)) => {
                let secret = sealed(key_id, nonce, ciphertext)?;
                Some(PreviousSecret { secret, expire_time: time(expire_time)? })
            }
            _ => None,
        };
        let routing_key =
            match (row.routing_key_key_id, row.routing_key_nonce, row.routing_key_ciphertext) {
                (Some(key_id), Some(nonce), Some(ciphertext)) => {
                    Some(sealed(key_id, nonce, ciphertext)?)
                }
                _ => None,
            };
        let kind = parse("payload format", &row.payload_format)?;
        let payload_format = payload_format(kind, row.payload_template, routing_key)?;
        let event_types = row.event_types.split(',').map(|name| parse("event type", name));
        Ok(Endpoint {
            id: parse("endpoint", &row.endpoint_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            name: row.name,
            url: row.url,
            description: row.description,
            event_types: event_types.collect::<Unreadable<_>>()?,
            secret: sealed(row.secret_key_id, row.secret_nonce, row.secret_ciphertext)?,
            previous_secret,
            payload_format,
            status: Word::from_word(&row.status)?,
            status_reason: row.status_reason,
            status_cause: row.status_cause.map(|word| Word::from_word(&word)).transpose()?,
            status_delivery: row.status_delivery_id.map(|id| parse("delivery", &id)).transpose()?,
            status_time: time(row.status_time)?,
            config_version: Version(row.config_version),
            version: Version(row.version),
            create_time: time(row.create_time)?,
            update_time: time(row.update_time)?,
            delete_time: optional_time(row.delete_time)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct EventRow {
    pub(crate) organization_id: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) event_time: i64,
    pub(crate) create_time: i64,
    pub(crate) body_sha256: Vec<u8>,
    pub(crate) body_size: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) request_sha256: Option<Vec<u8>>,
    pub(crate) trace_id: Option<String>,
    pub(crate) publisher: String,
    pub(crate) position: i64,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Unreadable<Event> {
        let key = row.idempotency_key.map(IdempotencyKey::optional).transpose();
        let key = key.map_err(|violation| unreadable("idempotency key", violation))?.flatten();
        let idempotency = match (key, row.request_sha256) {
            (Some(key), Some(digest)) => Some(Idempotency { key, request_sha256: sha256(digest)? }),
            _ => None,
        };
        Ok(Event {
            id: parse("event", &row.event_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            event_type: parse("event type", &row.event_type)?,
            event_time: time(row.event_time)?,
            create_time: time(row.create_time)?,
            body: ContentDigest {
                sha256: sha256(row.body_sha256)?,
                size: number("body size", row.body_size)?,
            },
            idempotency,
            trace_id: row.trace_id.map(|id| parse("trace id", &id)).transpose()?,
            publisher: row.publisher,
            position: Position(row.position),
        })
    }
}

#[derive(FromRow)]
pub(crate) struct DeliveryRow {
    pub(crate) organization_id: String,
    pub(crate) delivery_id: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) event_time: Option<i64>,
    pub(crate) endpoint_id: String,
    pub(crate) state: String,
    pub(crate) attempt_count: i32,
    pub(crate) automatic_count: i32,
    pub(crate) next_attempt_time: Option<i64>,
    pub(crate) steady_due_time: Option<i64>,
    pub(crate) retry_request_time: Option<i64>,
    pub(crate) retry_traceparent: Option<String>,
    pub(crate) replay_traceparent: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
    pub(crate) create_time: i64,
    /// The end reason: the column has the name of the first one that it had to hold.
    pub(crate) cancel_reason: String,
    pub(crate) version: i64,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Unreadable<Delivery> {
        Ok(Delivery {
            id: parse("delivery", &row.delivery_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            event_id: parse("event", &row.event_id)?,
            event_type: parse("event type", &row.event_type)?,
            event_time: optional_time(row.event_time)?,
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            state: Word::from_word(&row.state)?,
            attempt_count: number("attempt count", row.attempt_count)?,
            automatic_count: number("attempt count", row.automatic_count)?,
            next_attempt_time: optional_time(row.next_attempt_time)?,
            steady_due_time: optional_time(row.steady_due_time)?,
            retry_request_time: optional_time(row.retry_request_time)?,
            retry_request_trace: trace(row.retry_traceparent, None)?.map(Box::new),
            replay_request_trace: trace(row.replay_traceparent, None)?.map(Box::new),
            trace: trace(row.traceparent, row.tracestate)?,
            create_time: time(row.create_time)?,
            end_reason: row.cancel_reason,
            version: Version(row.version),
        })
    }
}

fn trace(parent: Option<String>, state: Option<String>) -> Unreadable<Option<TraceContext>> {
    let Some(parent) = parent else { return Ok(None) };
    let state = state.map(|text| parse("tracestate", &text)).transpose()?;
    let trace: TraceContext = parse("traceparent", &parent)?;
    Ok(Some(trace.with_state(state)))
}

/// The `traceparent` of a column.
pub(crate) fn traceparent(trace: Option<&TraceContext>) -> Option<String> {
    trace.map(ToString::to_string)
}

/// The `tracestate` beside it.
pub(crate) fn tracestate(trace: &Option<TraceContext>) -> Option<&str> {
    trace.as_ref()?.state.as_ref().map(TraceState::as_str)
}

#[derive(FromRow)]
pub(crate) struct AttemptRow {
    pub(crate) organization_id: String,
    pub(crate) attempt_id: String,
    pub(crate) delivery_id: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) endpoint_id: String,
    pub(crate) number: i32,
    pub(crate) automatic_count: i32,
    pub(crate) trigger: String,
    pub(crate) start_time: i64,
    pub(crate) duration: i64,
    pub(crate) status_code: Option<i32>,
    pub(crate) exchange_sha256: Vec<u8>,
    pub(crate) exchange_size: i64,
    pub(crate) outcome: String,
    pub(crate) error: String,
    pub(crate) next_attempt_time: Option<i64>,
    pub(crate) remark: String,
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Unreadable<Attempt> {
        let made = AttemptMade {
            id: parse("attempt", &row.attempt_id)?,
            event_id: parse("event", &row.event_id)?,
            event_type: parse("event type", &row.event_type)?,
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            number: number("attempt number", row.number)?,
            automatic_count: number("attempt count", row.automatic_count)?,
            trigger: Word::from_word(&row.trigger)?,
            start_time: time(row.start_time)?,
            duration: Duration::from_micros(number("duration", row.duration)?),
            status_code: row.status_code.map(|code| number("status code", code)).transpose()?,
            exchange: ContentDigest {
                sha256: sha256(row.exchange_sha256)?,
                size: number("exchange size", row.exchange_size)?,
            },
            remark: row.remark,
        };
        Ok(Attempt {
            organization_id: parse("organization", &row.organization_id)?,
            delivery_id: parse("delivery", &row.delivery_id)?,
            made,
            outcome: Word::from_word(&row.outcome)?,
            error: row.error,
            next_attempt_time: optional_time(row.next_attempt_time)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct MissedRow {
    pub(crate) organization_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) event_id: String,
    pub(crate) position: i64,
}

impl TryFrom<MissedRow> for Missed {
    type Error = StoreError;

    fn try_from(row: MissedRow) -> Unreadable<Missed> {
        Ok(Missed {
            organization_id: parse("organization", &row.organization_id)?,
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            event_id: parse("event", &row.event_id)?,
            position: Position(row.position),
        })
    }
}

#[derive(FromRow)]
pub(crate) struct CountRow {
    pub(crate) endpoint_id: String,
    pub(crate) hour: i64,
    pub(crate) outcome: String,
    pub(crate) duration_bucket: i32,
    pub(crate) count: i64,
}

impl TryFrom<CountRow> for (CountKey, u64) {
    type Error = StoreError;

    fn try_from(row: CountRow) -> Unreadable<(CountKey, u64)> {
        let key = CountKey {
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            hour: time(row.hour)?,
            outcome: Word::from_word(&row.outcome)?,
            duration_bucket: number("duration bucket", row.duration_bucket)?,
        };
        Ok((key, number("count", row.count)?))
    }
}

#[derive(FromRow)]
pub(crate) struct FailingRow {
    pub(crate) endpoint_id: String,
    pub(crate) since: i64,
    pub(crate) delivery_id: String,
}

impl TryFrom<FailingRow> for (EndpointId, Failing) {
    type Error = StoreError;

    fn try_from(row: FailingRow) -> Unreadable<(EndpointId, Failing)> {
        let failing =
            Failing { since: time(row.since)?, delivery_id: parse("delivery", &row.delivery_id)? };
        Ok((parse("endpoint", &row.endpoint_id)?, failing))
    }
}

#[derive(FromRow)]
pub(crate) struct PauseRow {
    pub(crate) endpoint_id: String,
    pub(crate) start_time: i64,
    pub(crate) end_time: i64,
    pub(crate) delivery_id: String,
    pub(crate) status_code: i32,
}

impl TryFrom<PauseRow> for (EndpointId, Pause) {
    type Error = StoreError;

    fn try_from(row: PauseRow) -> Unreadable<(EndpointId, Pause)> {
        let pause = Pause {
            start_time: time(row.start_time)?,
            end_time: time(row.end_time)?,
            delivery_id: parse("delivery", &row.delivery_id)?,
            status_code: number("status code", row.status_code)?,
        };
        Ok((parse("endpoint", &row.endpoint_id)?, pause))
    }
}

#[derive(FromRow)]
pub(crate) struct SumRow {
    pub(crate) endpoint_id: String,
    pub(crate) outcome: String,
    pub(crate) duration_bucket: i32,
    pub(crate) count: i64,
}

impl TryFrom<SumRow> for AttemptSum {
    type Error = StoreError;

    fn try_from(row: SumRow) -> Unreadable<AttemptSum> {
        Ok(AttemptSum {
            endpoint_id: parse("endpoint", &row.endpoint_id)?,
            outcome: Word::from_word(&row.outcome)?,
            duration_bucket: number("duration bucket", row.duration_bucket)?,
            count: number("count", row.count)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct KeyRow {
    pub(crate) key_id: String,
    pub(crate) organization_id: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) token_sha256: Vec<u8>,
    pub(crate) is_session: bool,
    pub(crate) parent_key_id: Option<String>,
    pub(crate) creator: String,
    pub(crate) create_time: i64,
    pub(crate) expire_time: Option<i64>,
    pub(crate) revoke_time: Option<i64>,
    pub(crate) version: i64,
}

impl TryFrom<KeyRow> for Key {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Unreadable<Key> {
        let parent = row.parent_key_id.map(|id| parse("key", &id)).transpose()?;
        Ok(Key {
            id: parse("key", &row.key_id)?,
            reach: organization_or_all(&row.organization_id)?.into(),
            name: row.name,
            role: Word::from_word(&row.role)?,
            token: TokenDigest(sha256(row.token_sha256)?),
            session: row.is_session.then_some(SessionOrigin { parent }),
            creator: row.creator,
            create_time: time(row.create_time)?,
            expire_time: optional_time(row.expire_time)?,
            revoke_time: optional_time(row.revoke_time)?,
            version: Version(row.version),
        })
    }
}

#[derive(FromRow)]
pub(crate) struct KeyUseRow {
    pub(crate) key_id: String,
    pub(crate) last_use_time: i64,
}

impl TryFrom<KeyUseRow> for (KeyId, Timestamp) {
    type Error = StoreError;

    fn try_from(row: KeyUseRow) -> Unreadable<(KeyId, Timestamp)> {
        Ok((parse("key", &row.key_id)?, time(row.last_use_time)?))
    }
}

/// What a replay has looked at. The columns after `event_id` are only filled if it is wanted.
#[derive(FromRow)]
pub(crate) struct CandidateRow {
    pub(crate) cursor: String,
    pub(crate) wanted: bool,
    pub(crate) event_id: String,
    pub(crate) event_type: Option<String>,
    pub(crate) event_time: Option<i64>,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) delivery_id: Option<String>,
    pub(crate) delivery_state: Option<String>,
    pub(crate) delivery_version: Option<i64>,
    pub(crate) kept: bool,
}

impl CandidateRow {
    pub(crate) fn cursor(&self) -> Unreadable<ReplayCursor> {
        parse("cursor", &self.cursor)
    }
}

impl TryFrom<CandidateRow> for Candidate {
    type Error = StoreError;

    fn try_from(row: CandidateRow) -> Unreadable<Candidate> {
        let delivery = match (&row.delivery_id, &row.delivery_state, row.delivery_version) {
            (Some(id), Some(state), Some(version)) => Some(CandidateDelivery {
                id: parse("delivery", id)?,
                state: Word::from_word(state)?,
                version: Version(version),
            }),
            _ => None,
        };
        Ok(Candidate {
            cursor: row.cursor()?,
            event_id: parse("event", &row.event_id)?,
            event_type: parse("event type", row.event_type.as_deref().unwrap_or_default())?,
            event_time: optional_time(row.event_time)?,
            trace: trace_of(row.metadata.as_deref())?,
            delivery,
            is_kept: row.kept,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct ReplayRow {
    pub(crate) organization_id: String,
    pub(crate) replay_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) scope: String,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    pub(crate) start_event_id: Option<String>,
    pub(crate) start_position: Option<i64>,
    pub(crate) end_event_id: Option<String>,
    pub(crate) end_position: Option<i64>,
    pub(crate) event_types: String,
    pub(crate) include_delivered: bool,
    pub(crate) deliveries_per_second: i32,
    pub(crate) matched_count: i64,
    pub(crate) may_match_more: bool,
    pub(crate) state: String,
    pub(crate) scheduled_count: i64,
    pub(crate) resumed_count: i64,
    pub(crate) skipped_count: i64,
    pub(crate) expired_count: i64,
    pub(crate) cursor: String,
    pub(crate) position: i64,
    pub(crate) creator: String,
    pub(crate) create_time: i64,
    pub(crate) finish_time: Option<i64>,
    pub(crate) end_reason: String,
    pub(crate) version: i64,
}

fn bound(event_id: Option<String>, position: Option<i64>) -> Unreadable<Option<ReplayBound>> {
    let (Some(event_id), Some(position)) = (event_id, position) else { return Ok(None) };
    Ok(Some(ReplayBound { event_id: parse("event", &event_id)?, position: Position(position) }))
}

impl TryFrom<ReplayRow> for Replay {
    type Error = StoreError;

    fn try_from(row: ReplayRow) -> Unreadable<Replay> {
        let names = row.event_types.split(',').filter(|name| !name.is_empty());
        Ok(Replay {
            id: parse("replay", &row.replay_id)?,
            organization_id: parse("organization", &row.organization_id)?,
            request: NewReplay {
                selection: ReplaySelection {
                    endpoint_id: parse("endpoint", &row.endpoint_id)?,
                    scope: Word::from_word(&row.scope)?,
                    start_time: optional_time(row.start_time)?,
                    end_time: optional_time(row.end_time)?,
                    start_event: bound(row.start_event_id, row.start_position)?,
                    end_event: bound(row.end_event_id, row.end_position)?,
                    event_types: names
                        .map(|name| parse("event type", name))
                        .collect::<Unreadable<_>>()?,
                    include_delivered: row.include_delivered,
                },
                deliveries_per_second: number("rate", row.deliveries_per_second)?,
                matched_count: number("count", row.matched_count)?,
                may_match_more: row.may_match_more,
            },
            state: Word::from_word(&row.state)?,
            counts: ReplayCounts {
                scheduled: number("count", row.scheduled_count)?,
                resumed: number("count", row.resumed_count)?,
                skipped: number("count", row.skipped_count)?,
                expired: number("count", row.expired_count)?,
            },
            cursor: parse("cursor", &row.cursor)?,
            position: Position(row.position),
            creator: row.creator,
            create_time: time(row.create_time)?,
            finish_time: optional_time(row.finish_time)?,
            end_reason: row.end_reason,
            version: Version(row.version),
        })
    }
}

fn organization_or_all(text: &str) -> Unreadable<OrganizationId> {
    OrganizationId::or_all(text).map_err(|_| unreadable("organization", text))
}

/// Reads rows, or fails with the first that cannot be read.
pub(crate) fn read_all<Row, Value>(rows: Vec<Row>) -> Unreadable<Vec<Value>>
where
    Value: TryFrom<Row, Error = StoreError>,
{
    rows.into_iter().map(Value::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_word_of_its_own() {
        fn read_back<T: Word + PartialEq + std::fmt::Debug>(count: usize) {
            assert_eq!(T::WORDS.len(), count);
            for (value, word) in T::WORDS {
                assert_eq!(T::from_word(word).expect("a word"), *value);
                assert_eq!(value.word(), *word);
            }
        }
        read_back::<EndpointStatus>(3);
        read_back::<StatusCause>(4);
        read_back::<DeliveryState>(5);
        read_back::<Trigger>(3);
        read_back::<Outcome>(3);
        read_back::<Role>(4);
        read_back::<ReplayScope>(3);
        read_back::<ReplayState>(3);
        read_back::<ChannelKind>(5);
        read_back::<ChannelStatus>(2);
        read_back::<NotificationType>(7);
        read_back::<NotificationState>(4);
    }
}
