//! Encodes and decodes facts about deliveries.

use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::DeliveryFact;

use super::error::DecodeError;
use super::values::{
    count, digest, duration, optional_timestamp, parsed, required, timestamp, trace, traceparent,
    tracestate, unsigned, wrong,
};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::{duration_to_proto, timestamp_to_proto};

impl From<&DeliveryFact> for Message {
    fn from(fact: &DeliveryFact) -> Self {
        match fact {
            DeliveryFact::TestRequested { event_id, event_type, endpoint_id, event_time, body } => {
                Message::TestRequested(pb::TestRequested {
                    event_id: event_id.to_string(),
                    endpoint_id: endpoint_id.to_string(),
                    event_time: Some(timestamp_to_proto(*event_time)),
                    body: Some((*body).into()),
                    event_type: match event_type {
                        EventType::Test => String::new(),
                        sample => sample.name().to_owned(),
                    },
                })
            }
            DeliveryFact::Replayed {
                replay_id,
                event_id,
                event_type,
                event_time,
                endpoint_id,
                trace,
            } => Message::DeliveryReplayed(pb::DeliveryReplayed {
                replay_id: replay_id.to_string(),
                event_id: event_id.to_string(),
                event_type: event_type.name().to_owned(),
                event_time: event_time.map(timestamp_to_proto),
                endpoint_id: endpoint_id.to_string(),
                traceparent: traceparent(trace.as_ref()),
                tracestate: tracestate(trace.as_ref()),
            }),
            DeliveryFact::Resumed { replay_id, endpoint_id } => {
                Message::DeliveryResumed(pb::DeliveryResumed {
                    replay_id: replay_id.to_string(),
                    endpoint_id: endpoint_id.to_string(),
                })
            }
            DeliveryFact::RetryRequested => Message::RetryRequested(pb::RetryRequested {}),
            DeliveryFact::CancelRequested => Message::CancelRequested(pb::CancelRequested {}),
            DeliveryFact::AttemptSucceeded(details) => {
                Message::AttemptSucceeded(pb::AttemptSucceeded { attempt: Some(details.into()) })
            }
            DeliveryFact::AttemptFailed {
                details,
                error,
                next_attempt_time,
                steady_due_time,
                state,
                endpoint_pause,
            } => Message::AttemptFailed(pb::AttemptFailed {
                attempt: Some(details.into()),
                error: error.clone(),
                next_attempt_time: next_attempt_time.map(timestamp_to_proto),
                steady_due_time: steady_due_time.map(timestamp_to_proto),
                delivery_state: pb::DeliveryState::from(*state).into(),
                endpoint_pause: endpoint_pause.map(duration_to_proto),
            }),
            DeliveryFact::Expired { endpoint_id, event_type, is_test, reason } => {
                Message::DeliveryExpired(pb::DeliveryExpired {
                    endpoint_id: endpoint_id.to_string(),
                    event_type: event_type.name().to_owned(),
                    reason: reason.clone(),
                    is_test: *is_test,
                })
            }
            DeliveryFact::Cancelled { reason } => {
                Message::DeliveryCancelled(pb::DeliveryCancelled { reason: reason.clone() })
            }
        }
    }
}

pub(super) fn decode(message: Message) -> Result<DeliveryFact, DecodeError> {
    Ok(match message {
        Message::TestRequested(requested) => DeliveryFact::TestRequested {
            event_id: parsed("event_id", &requested.event_id)?,
            event_type: match requested.event_type.as_str() {
                "" => EventType::Test,
                name => parsed("event_type", name)?,
            },
            endpoint_id: parsed("endpoint_id", &requested.endpoint_id)?,
            event_time: timestamp("event_time", requested.event_time)?,
            body: digest("body", requested.body)?,
        },
        Message::DeliveryReplayed(replayed) => DeliveryFact::Replayed {
            replay_id: parsed("replay_id", &replayed.replay_id)?,
            event_id: parsed("event_id", &replayed.event_id)?,
            event_type: parsed("event_type", &replayed.event_type)?,
            event_time: optional_timestamp("event_time", replayed.event_time)?,
            endpoint_id: parsed("endpoint_id", &replayed.endpoint_id)?,
            trace: trace(&replayed.traceparent, &replayed.tracestate)?,
        },
        Message::DeliveryResumed(resumed) => DeliveryFact::Resumed {
            replay_id: parsed("replay_id", &resumed.replay_id)?,
            endpoint_id: parsed("endpoint_id", &resumed.endpoint_id)?,
        },
        Message::RetryRequested(pb::RetryRequested {}) => DeliveryFact::RetryRequested,
        Message::CancelRequested(pb::CancelRequested {}) => DeliveryFact::CancelRequested,
        Message::AttemptSucceeded(succeeded) => {
            DeliveryFact::AttemptSucceeded(required("attempt", succeeded.attempt)?.try_into()?)
        }
        Message::AttemptFailed(failed) => DeliveryFact::AttemptFailed {
            state: state(failed.delivery_state())?,
            details: required("attempt", failed.attempt)?.try_into()?,
            error: failed.error,
            next_attempt_time: optional_timestamp("next_attempt_time", failed.next_attempt_time)?,
            steady_due_time: optional_timestamp("steady_due_time", failed.steady_due_time)?,
            endpoint_pause: failed
                .endpoint_pause
                .map(|pause| duration("endpoint_pause", Some(pause)))
                .transpose()?,
        },
        Message::DeliveryExpired(expired) => DeliveryFact::Expired {
            endpoint_id: parsed("endpoint_id", &expired.endpoint_id)?,
            event_type: parsed("event_type", &expired.event_type)?,
            is_test: expired.is_test,
            reason: expired.reason,
        },
        Message::DeliveryCancelled(cancelled) => {
            DeliveryFact::Cancelled { reason: cancelled.reason }
        }
        _ => return Err(DecodeError::WrongStream),
    })
}

impl From<&AttemptDetails> for pb::Attempt {
    fn from(details: &AttemptDetails) -> Self {
        pb::Attempt {
            attempt_id: details.id.to_string(),
            event_id: details.event_id.to_string(),
            event_type: details.event_type.name().to_owned(),
            endpoint_id: details.endpoint_id.to_string(),
            number: count(details.number),
            trigger: pb::AttemptTrigger::from(details.trigger).into(),
            start_time: Some(timestamp_to_proto(details.start_time)),
            duration: Some(duration_to_proto(details.duration)),
            status_code: details.status_code.map_or(0, i32::from),
            exchange: Some(details.exchange.into()),
            automatic_count: count(details.automatic_count),
            remark: details.remark.clone(),
        }
    }
}

impl TryFrom<pb::Attempt> for AttemptDetails {
    type Error = DecodeError;

    fn try_from(attempt: pb::Attempt) -> Result<Self, DecodeError> {
        let status_code = unsigned("status_code", attempt.status_code)?;
        Ok(AttemptDetails {
            id: parsed("attempt_id", &attempt.attempt_id)?,
            event_id: parsed("event_id", &attempt.event_id)?,
            event_type: parsed("event_type", &attempt.event_type)?,
            endpoint_id: parsed("endpoint_id", &attempt.endpoint_id)?,
            number: unsigned("number", attempt.number)?,
            automatic_count: unsigned("automatic_count", attempt.automatic_count)?,
            trigger: trigger(attempt.trigger())?,
            start_time: timestamp("start_time", attempt.start_time)?,
            duration: duration("duration", attempt.duration)?,
            status_code: (status_code != 0).then_some(status_code),
            exchange: digest("exchange", attempt.exchange)?,
            remark: attempt.remark,
        })
    }
}

impl From<Trigger> for pb::AttemptTrigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Automatic => pb::AttemptTrigger::Automatic,
            Trigger::Manual => pb::AttemptTrigger::Manual,
            Trigger::Test => pb::AttemptTrigger::Test,
        }
    }
}

fn trigger(trigger: pb::AttemptTrigger) -> Result<Trigger, DecodeError> {
    match trigger {
        pb::AttemptTrigger::Automatic => Ok(Trigger::Automatic),
        pb::AttemptTrigger::Manual => Ok(Trigger::Manual),
        pb::AttemptTrigger::Test => Ok(Trigger::Test),
        pb::AttemptTrigger::Unspecified => Err(wrong("trigger", "is none that is known")),
    }
}

impl From<DeliveryState> for pb::DeliveryState {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Scheduled => pb::DeliveryState::Scheduled,
            DeliveryState::Retrying => pb::DeliveryState::Retrying,
            DeliveryState::Delivered => pb::DeliveryState::Delivered,
            DeliveryState::Failed => pb::DeliveryState::Failed,
            DeliveryState::Cancelled => pb::DeliveryState::Cancelled,
        }
    }
}

fn state(state: pb::DeliveryState) -> Result<DeliveryState, DecodeError> {
    match state {
        pb::DeliveryState::Scheduled => Ok(DeliveryState::Scheduled),
        pb::DeliveryState::Retrying => Ok(DeliveryState::Retrying),
        pb::DeliveryState::Delivered => Ok(DeliveryState::Delivered),
        pb::DeliveryState::Failed => Ok(DeliveryState::Failed),
        pb::DeliveryState::Cancelled => Ok(DeliveryState::Cancelled),
        pb::DeliveryState::Unspecified => Err(wrong("delivery_state", "is none that is known")),
    }
}
