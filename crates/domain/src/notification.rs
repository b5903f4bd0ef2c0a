//! Notifications: the messages to channels about an organization's endpoints.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::document::{Document, micros};
use crate::health::HealthSummary;
use crate::ids::{ChannelId, DeliveryId, EndpointId, NotificationId, OrganizationId};
use crate::incident::{Incident, IncidentAction};
use crate::log::{Position, Version};
use crate::named_enum::named_enum;

pub use crate::notification_type::NotificationType;

/// How long exhausted deliveries of an endpoint are collected into one message, at most.
pub const GROUPING_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The longest wait of a notification for its first or its next attempt.
pub const MAX_RETRY_WAIT: Duration = RETRY_WAITS[RETRY_WAITS.len() - 1];

/// The waits before a notification is sent again: 1 min, 5 min, 30 min, 2 h, 6 h. Shorter in all than
/// those of deliveries, because a notification that is half a day late helps nobody.
const RETRY_WAITS: [Duration; 5] = {
    const MINUTE: u64 = 60;
    [
        Duration::from_secs(MINUTE),
        Duration::from_secs(5 * MINUTE),
        Duration::from_secs(30 * MINUTE),
        Duration::from_secs(120 * MINUTE),
        Duration::from_secs(360 * MINUTE),
    ]
};

/// The attempts to close an incident: for a week, every 6 hours in the end. Nothing else closes it.
const CLOSING_ATTEMPTS: u32 = RETRY_WAITS.len() as u32 + 4 * 7;

named_enum! {
    /// The progress of a notification.
    pub enum NotificationState {
        /// It has not been sent yet, or will be sent again.
        Waiting = "waiting",
        /// The channel's service accepted it.
        Sent = "sent",
        /// The last attempt failed, and there is no other.
        Failed = "failed",
        /// It was not sent, because its problem was over before, or sending was not allowed.
        Withdrawn = "withdrawn",
    }
}

/// A notification to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNotification {
    /// The channel to send it to.
    pub channel_id: ChannelId,
    /// What it is about.
    pub notification_type: NotificationType,
    /// The endpoint that it is about. None for tests and summaries.
    pub endpoint_id: Option<EndpointId>,
    /// The last delivery that it is about.
    pub delivery_id: Option<DeliveryId>,
    /// How many times this happened, for example how many deliveries ran out of attempts.
    pub count: u32,
    /// When it happened first. For a summary: when its week began.
    #[serde(serialize_with = "micros")]
    pub since: Timestamp,
    /// What went wrong, for people to read; may be empty.
    pub reason: String,
    /// When it is due for the first time.
    #[serde(serialize_with = "micros")]
    pub due_time: Timestamp,
    /// The figures, if it is a summary.
    pub summary: Option<HealthSummary>,
    /// What it does with the incident of the endpoint. None: the channel's service keeps no incidents.
    pub incident: Option<IncidentAction>,
}

/// One attempt to send a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationAttempt {
    /// 1, 2, 3, … within the notification.
    pub number: u32,
    /// When the attempt began.
    #[serde(serialize_with = "micros")]
    pub start_time: Timestamp,
    /// How long the attempt took.
    #[serde(serialize_with = "micros")]
    pub duration: Duration,
    /// The HTTP status or the SMTP reply code of the answer. None: there was no answer.
    pub status_code: Option<u16>,
    /// The recipients that the mail server was given. 0 if it is not mail, or no mail was sent.
    pub recipients: u32,
}

/// Something that happened to a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationFact {
    /// Something happened that the channel is subscribed to.
    Raised(Box<NewNotification>),
    /// The same happened again while the notification waited.
    Counted {
        /// How many times more.
        count: u32,
        /// The last delivery among them.
        delivery_id: Option<DeliveryId>,
    },
    /// The channel's service accepted the message.
    Sent {
        /// The attempt.
        attempt: NotificationAttempt,
        /// The count that the message contained.
        count: u32,
    },
    /// An attempt to send it failed.
    Failed {
        /// The attempt.
        attempt: NotificationAttempt,
        /// What went wrong, for people to read. Never contains a secret.
        error: String,
        /// When the next attempt is due. None: there is no other.
        next_attempt_time: Option<Timestamp>,
    },
    /// It is not sent: its problem is over, or sending is not allowed now.
    Withdrawn {
        /// Why, for people to read.
        reason: String,
    },
}

/// A notification as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// The notification's id.
    pub id: NotificationId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// What is sent, to which channel, and when it is due for the first time.
    pub new: NewNotification,
    /// Its state.
    pub state: NotificationState,
    /// When the next attempt is due. None: there is no other.
    #[serde(serialize_with = "micros")]
    pub due_time: Option<Timestamp>,
    /// The last attempt.
    pub last_attempt: Option<NotificationAttempt>,
    /// What went wrong with the last attempt, or why it was withdrawn. Empty otherwise.
    pub error: String,
    /// The position, in the same shard, of the last record that it is about. 0: none.
    pub cause: Position,
    /// When it was recorded.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When it was sent, failed for good or was withdrawn.
    #[serde(serialize_with = "micros")]
    pub end_time: Option<Timestamp>,
    /// The number of records in its stream.
    pub version: Version,
}

impl Document for Notification {
    const VERSION: u16 = 1;
    const HIDDEN_FIELDS: &'static [&'static str] = &[];
}

impl Notification {
    /// The notification after its Raised fact, which followed from the record at `cause`.
    pub fn raised(
        id: NotificationId,
        organization_id: OrganizationId,
        new: NewNotification,
        cause: Position,
        recorded_at: Timestamp,
    ) -> Notification {
        Notification {
            id,
            organization_id,
            due_time: Some(new.due_time),
            new,
            state: NotificationState::Waiting,
            last_attempt: None,
            error: String::new(),
            cause,
            create_time: recorded_at,
            end_time: None,
            version: Version(1),
        }
    }

    /// The notification after one more fact, which followed from the record at `cause`
    /// ([`Position::START`] if from none).
    pub fn apply(&mut self, fact: &NotificationFact, cause: Position, recorded_at: Timestamp) {
        self.version = self.version.next();
        self.cause = self.cause.max(cause);
        match fact {
            NotificationFact::Raised(_) => {}
            NotificationFact::Counted { count, delivery_id } => {
                self.new.count = self.new.count.saturating_add(*count);
                self.new.delivery_id = delivery_id.or(self.new.delivery_id);
            }
            NotificationFact::Sent { attempt, count } => {
                self.state = NotificationState::Sent;
                self.new.count = *count;
                self.due_time = None;
                self.last_attempt = Some(attempt.clone());
                self.error.clear();
                self.end_time = Some(recorded_at);
            }
            NotificationFact::Failed { attempt, error, next_attempt_time } => {
                self.due_time = *next_attempt_time;
                self.last_attempt = Some(attempt.clone());
                self.error.clone_from(error);
                if next_attempt_time.is_none() {
                    self.state = NotificationState::Failed;
                    self.end_time = Some(recorded_at);
                }
            }
            NotificationFact::Withdrawn { reason } => {
                self.state = NotificationState::Withdrawn;
                self.due_time = None;
                self.error.clone_from(reason);
                self.end_time = Some(recorded_at);
            }
        }
    }

    /// The number of attempts so far.
    pub fn attempt_count(&self) -> u32 {
        self.last_attempt.as_ref().map_or(0, |attempt| attempt.number)
    }

    /// When the attempt after attempt `number` is due, which ended at `end_time`. None: there is no
    /// other, because it is a test or has had all its attempts.
    pub fn next_attempt_time(&self, number: u32, end_time: Timestamp) -> Option<Timestamp> {
        if self.new.notification_type == NotificationType::Test {
            return None;
        }
        let step = (number as usize).checked_sub(1)?;
        let closes =
            matches!(self.new.incident, Some(IncidentAction::Close | IncidentAction::CloseAt(_)));
        let last = RETRY_WAITS.last().filter(|_| closes && number < CLOSING_ATTEMPTS);
        let wait = RETRY_WAITS.get(step).or(last)?;
        end_time.checked_add(*wait).ok()
    }

    /// What a fact that followed from the record at `cause` says about the incident of the endpoint.
    /// `self` is the notification after the fact.
    pub fn incident_after(&self, fact: &NotificationFact, cause: Position) -> Option<Incident> {
        match (fact, self.new.incident.as_ref()?) {
            (NotificationFact::Raised(_), IncidentAction::Open)
            | (NotificationFact::Counted { .. }, IncidentAction::Open) => {
                Some(Incident::opened(cause))
            }
            (NotificationFact::Raised(_), IncidentAction::Close) => Some(Incident::closing(cause)),
            // From now on only this notification can close it.
            (NotificationFact::Raised(_), IncidentAction::CloseAt(_)) => {
                Some(Incident { closing: cause, ..Incident::closed(cause) })
            }
            (NotificationFact::Sent { .. }, IncidentAction::Close) => {
                Some(Incident::closed(self.cause))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn notification(notification_type: NotificationType) -> Notification {
        let begin = time("2026-04-23T10:00:00Z");
        let new = NewNotification {
            channel_id: ChannelId::MIN,
            notification_type,
            endpoint_id: None,
            delivery_id: None,
            count: 1,
            since: begin,
            reason: String::new(),
            due_time: begin,
            summary: None,
            incident: None,
        };
        let organization = "acme".parse().expect("valid");
        Notification::raised(NotificationId::MIN, organization, new, Position(7), begin)
    }

    fn attempt(number: u32) -> NotificationAttempt {
        NotificationAttempt {
            number,
            start_time: time("2026-04-23T10:00:00Z"),
            duration: Duration::from_millis(3),
            status_code: None,
            recipients: 0,
        }
    }

    #[test]
    fn a_notification_is_tried_six_times_and_a_test_once() {
        let end = time("2026-04-23T10:00:00Z");
        let raised = notification(NotificationType::EndpointDegraded);
        let waits: Vec<_> = (1..=6)
            .map(|number| {
                let next = raised.next_attempt_time(number, end)?;
                Some(next.duration_since(end).as_secs())
            })
            .collect();
        assert_eq!(waits, [Some(60), Some(300), Some(1_800), Some(7_200), Some(21_600), None]);
        let test = notification(NotificationType::Test);
        assert_eq!(test.next_attempt_time(1, end), None);
    }

    #[test]
    fn the_closing_of_an_incident_is_tried_for_a_week() {
        let end = time("2026-04-23T10:00:00Z");
        let mut closing = notification(NotificationType::IncidentResolved);
        closing.new.incident = Some(IncidentAction::Close);
        let mut last = end;
        let mut attempts = 1;
        while let Some(next) = closing.next_attempt_time(attempts, last) {
            (last, attempts) = (next, attempts + 1);
        }
        let days = last.duration_since(end).as_hours() / 24;
        assert_eq!((attempts, days), (CLOSING_ATTEMPTS, 7));
    }

    #[test]
    fn repetitions_count_while_the_notification_waits_and_not_after_it_is_sent() {
        let mut row = notification(NotificationType::DeliveryExhausted);
        let later = time("2026-04-23T10:05:00Z");
        let counted = NotificationFact::Counted { count: 4, delivery_id: Some(DeliveryId::MIN) };
        row.apply(&counted, Position(9), later);
        assert_eq!((row.new.count, row.cause, row.version), (5, Position(9), Version(2)));
        let failed = NotificationFact::Failed {
            attempt: attempt(1),
            error: "away".to_owned(),
            next_attempt_time: Some(later),
        };
        row.apply(&failed, Position::START, later);
        assert_eq!((row.state, row.due_time), (NotificationState::Waiting, Some(later)));
        assert_eq!((row.error.as_str(), row.attempt_count()), ("away", 1));
        // Two of the five came too late for the message.
        row.apply(
            &NotificationFact::Sent { attempt: attempt(2), count: 3 },
            Position::START,
            later,
        );
        assert_eq!((row.state, row.due_time, row.new.count), (NotificationState::Sent, None, 3));
        assert_eq!((row.error.as_str(), row.end_time), ("", Some(later)));
    }
}
