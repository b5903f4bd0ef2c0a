//! Values that columns hold as words.

use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{Outcome, Trigger};
use keeptrusts_webhooks_domain::channel::{ChannelKind, ChannelStatus};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointStatus;
use keeptrusts_webhooks_domain::health::StatusCause;
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};
use keeptrusts_webhooks_domain::replay::{ReplayScope, ReplayState};

use super::unreadable;
use crate::error::StoreError;

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

    fn from_word(word: &str) -> Result<Self, StoreError> {
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
