//! Encodes and decodes facts about notifications.

use keeptrusts_webhooks_domain::health::{AttemptTally, EndpointTally, HealthSummary};
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, NotificationAttempt, NotificationFact, NotificationType,
};

use super::error::DecodeError;
use super::values::{
    count, duration, optional_timestamp, parsed, required, timestamp, unsigned, wrong,
};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::{duration_to_proto, timestamp_to_proto};

impl From<&NotificationFact> for Message {
    fn from(fact: &NotificationFact) -> Self {
        match fact {
            NotificationFact::Raised(new) => Message::NotificationRaised(pb::NotificationRaised {
                channel_id: new.channel_id.to_string(),
                r#type: pb::NotificationType::from(new.notification_type).into(),
                endpoint_id: new.endpoint_id.map(|id| id.to_string()).unwrap_or_default(),
                delivery_id: new.delivery_id.map(|id| id.to_string()).unwrap_or_default(),
                count: new.count.into(),
                since: Some(timestamp_to_proto(new.since)),
                reason: new.reason.clone(),
                due_time: Some(timestamp_to_proto(new.due_time)),
                summary: new.summary.as_ref().map(Into::into),
                incident: new.incident.as_ref().map(Into::into),
            }),
            NotificationFact::Counted { count, delivery_id } => {
                Message::NotificationCounted(pb::NotificationCounted {
                    count: (*count).into(),
                    delivery_id: delivery_id.map(|id| id.to_string()).unwrap_or_default(),
                })
            }
            NotificationFact::Sent { attempt, count } => {
                Message::NotificationSent(pb::NotificationSent {
                    attempt: Some(attempt.into()),
                    count: (*count).into(),
                })
            }
            NotificationFact::Failed { attempt, error, next_attempt_time } => {
                Message::NotificationFailed(pb::NotificationFailed {
                    attempt: Some(attempt.into()),
                    error: error.clone(),
                    next_attempt_time: next_attempt_time.map(timestamp_to_proto),
                })
            }
            NotificationFact::Withdrawn { reason } => {
                Message::NotificationWithdrawn(pb::NotificationWithdrawn { reason: reason.clone() })
            }
        }
    }
}

pub(super) fn decode(message: Message) -> Result<NotificationFact, DecodeError> {
    Ok(match message {
        Message::NotificationRaised(raised) => {
            NotificationFact::Raised(Box::new(NewNotification {
                channel_id: parsed("channel_id", &raised.channel_id)?,
                notification_type: notification_type(raised.r#type)?,
                endpoint_id: optional_id("endpoint_id", &raised.endpoint_id)?,
                delivery_id: optional_id("delivery_id", &raised.delivery_id)?,
                count: unsigned("count", raised.count)?,
                since: timestamp("since", raised.since)?,
                reason: raised.reason,
                due_time: timestamp("due_time", raised.due_time)?,
                summary: raised.summary.map(TryInto::try_into).transpose()?,
                incident: raised.incident.map(TryInto::try_into).transpose()?,
            }))
        }
        Message::NotificationCounted(counted) => NotificationFact::Counted {
            count: unsigned("count", counted.count)?,
            delivery_id: optional_id("delivery_id", &counted.delivery_id)?,
        },
        Message::NotificationSent(sent) => NotificationFact::Sent {
            attempt: required("attempt", sent.attempt)?.try_into()?,
            count: unsigned("count", sent.count)?,
        },
        Message::NotificationFailed(failed) => NotificationFact::Failed {
            attempt: required("attempt", failed.attempt)?.try_into()?,
            error: failed.error,
            next_attempt_time: optional_timestamp("next_attempt_time", failed.next_attempt_time)?,
        },
        Message::NotificationWithdrawn(withdrawn) => {
            NotificationFact::Withdrawn { reason: withdrawn.reason }
        }
        _ => return Err(DecodeError::WrongStream),
    })
}

impl From<&IncidentAction> for pb::NotificationIncident {
    fn from(action: &IncidentAction) -> Self {
        let (action, at) = match action {
            IncidentAction::Open => (pb::IncidentAction::Open, None),
            IncidentAction::Close => (pb::IncidentAction::Close, None),
            IncidentAction::CloseAt(at) => (pb::IncidentAction::Close, Some((&**at).into())),
        };
        pb::NotificationIncident { action: action.into(), at }
    }
}

impl TryFrom<pb::NotificationIncident> for IncidentAction {
    type Error = DecodeError;

    fn try_from(message: pb::NotificationIncident) -> Result<Self, DecodeError> {
        match (message.action(), message.at) {
            (pb::IncidentAction::Open, _) => Ok(IncidentAction::Open),
            (pb::IncidentAction::Close, None) => Ok(IncidentAction::Close),
            (pb::IncidentAction::Close, Some(at)) => {
                Ok(IncidentAction::CloseAt(Box::new(at.try_into()?)))
            }
            (pb::IncidentAction::Unspecified, _) => {
                Err(wrong("action", "is not one that is known"))
            }
        }
    }
}

impl From<&HealthSummary> for pb::WeekSummary {
    fn from(summary: &HealthSummary) -> Self {
        let worst = summary.worst.iter().map(|endpoint| pb::EndpointWeek {
            endpoint_id: endpoint.endpoint_id.to_string(),
            tally: Some(endpoint.tally.into()),
            median_duration: endpoint.median_duration.map(duration_to_proto),
        });
        pb::WeekSummary {
            start_time: Some(timestamp_to_proto(summary.week.start)),
            end_time: Some(timestamp_to_proto(summary.week.end)),
            total: Some(summary.total.into()),
            endpoint_count: i64::try_from(summary.endpoint_count).unwrap_or(i64::MAX),
            worst: worst.collect(),
        }
    }
}

impl TryFrom<pb::WeekSummary> for HealthSummary {
    type Error = DecodeError;

    fn try_from(message: pb::WeekSummary) -> Result<Self, DecodeError> {
        let worst = message.worst.into_iter().map(|endpoint| {
            let median = endpoint.median_duration;
            Ok(EndpointTally {
                endpoint_id: parsed("endpoint_id", &endpoint.endpoint_id)?,
                tally: required("tally", endpoint.tally)?.try_into()?,
                median_duration: median
                    .map(|median| duration("median_duration", Some(median)))
                    .transpose()?,
            })
        });
        let start = timestamp("start_time", message.start_time)?;
        let end = timestamp("end_time", message.end_time)?;
        Ok(HealthSummary {
            week: start..end,
            total: required("total", message.total)?.try_into()?,
            endpoint_count: unsigned("endpoint_count", message.endpoint_count)?,
            worst: worst.collect::<Result<_, DecodeError>>()?,
        })
    }
}

impl From<AttemptTally> for pb::AttemptTally {
    fn from(tally: AttemptTally) -> Self {
        pb::AttemptTally {
            delivered: signed(tally.delivered),
            retrying: signed(tally.retrying),
            failed: signed(tally.failed),
        }
    }
}

impl TryFrom<pb::AttemptTally> for AttemptTally {
    type Error = DecodeError;

    fn try_from(message: pb::AttemptTally) -> Result<Self, DecodeError> {
        Ok(AttemptTally {
            delivered: unsigned("delivered", message.delivered)?,
            retrying: unsigned("retrying", message.retrying)?,
            failed: unsigned("failed", message.failed)?,
        })
    }
}

impl From<&NotificationAttempt> for pb::NotificationAttempt {
    fn from(attempt: &NotificationAttempt) -> Self {
        pb::NotificationAttempt {
            number: count(attempt.number),
            start_time: Some(timestamp_to_proto(attempt.start_time)),
            duration: Some(duration_to_proto(attempt.duration)),
            status_code: attempt.status_code.unwrap_or(0).into(),
            recipients: count(attempt.recipients),
        }
    }
}

impl TryFrom<pb::NotificationAttempt> for NotificationAttempt {
    type Error = DecodeError;

    fn try_from(message: pb::NotificationAttempt) -> Result<Self, DecodeError> {
        let status_code: u16 = unsigned("status_code", message.status_code)?;
        Ok(NotificationAttempt {
            number: unsigned("number", message.number)?,
            start_time: timestamp("start_time", message.start_time)?,
            duration: duration("duration", message.duration)?,
            status_code: (status_code != 0).then_some(status_code),
            recipients: unsigned("recipients", message.recipients)?,
        })
    }
}

impl From<NotificationType> for pb::NotificationType {
    fn from(kind: NotificationType) -> Self {
        match kind {
            NotificationType::DeliveryExhausted => pb::NotificationType::DeliveryExhausted,
            NotificationType::EndpointDegraded => pb::NotificationType::EndpointDegraded,
            NotificationType::EndpointRecovered => pb::NotificationType::EndpointRecovered,
            NotificationType::EndpointDisabled => pb::NotificationType::EndpointDisabled,
            NotificationType::WeeklySummary => pb::NotificationType::WeeklySummary,
            NotificationType::Test => pb::NotificationType::Test,
            NotificationType::IncidentResolved => pb::NotificationType::IncidentResolved,
        }
    }
}

pub(super) fn notification_type(number: i32) -> Result<NotificationType, DecodeError> {
    match pb::NotificationType::try_from(number) {
        Ok(pb::NotificationType::DeliveryExhausted) => Ok(NotificationType::DeliveryExhausted),
        Ok(pb::NotificationType::EndpointDegraded) => Ok(NotificationType::EndpointDegraded),
        Ok(pb::NotificationType::EndpointRecovered) => Ok(NotificationType::EndpointRecovered),
        Ok(pb::NotificationType::EndpointDisabled) => Ok(NotificationType::EndpointDisabled),
        Ok(pb::NotificationType::WeeklySummary) => Ok(NotificationType::WeeklySummary),
        Ok(pb::NotificationType::Test) => Ok(NotificationType::Test),
        Ok(pb::NotificationType::IncidentResolved) => Ok(NotificationType::IncidentResolved),
        Ok(pb::NotificationType::Unspecified) | Err(_) => {
            Err(wrong("type", "is not one that is known"))
        }
    }
}

/// The protobuf form of a count, which stays far below 2⁶³.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn optional_id<T>(field: &'static str, text: &str) -> Result<Option<T>, DecodeError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}
