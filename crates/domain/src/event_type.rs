//! The event types that endpoints subscribe to, and the type of tests.

use std::fmt;
use std::str::FromStr;

use crate::document::as_text;

macro_rules! event_types {
    ($($variant:ident $name:literal $category:ident $description:literal;)*) => {
        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(#[doc = $description] $variant,)*
            /// A test that a user requested. It cannot be published or subscribed to.
            Test,
        }

        impl EventType {
            /// The types that can be published and subscribed to, category by category.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// The name on the wire, for example `policy.violation`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EventType::$variant => $name,)*
                    EventType::Test => "webhook.test",
                }
            }

            /// The category's name, for example `Policy`.
            pub const fn category(self) -> &'static str {
                match self {
                    $(EventType::$variant => stringify!($category),)*
                    EventType::Test => "Test",
                }
            }

            /// What happened, in one sentence.
            pub const fn description(self) -> &'static str {
                match self {
                    $(EventType::$variant => $description,)*
                    EventType::Test => "A test that was sent on request.",
                }
            }
        }
    };
}

event_types! {
    PolicyViolation "policy.violation" Policy "A request or an answer broke a policy.";
    PolicyBlock "policy.block" Policy "A policy blocked a request or an answer.";
    PolicyRedaction "policy.redaction" Policy "A policy redacted part of a request or an answer.";
    EscalationCreated "escalation.created" Escalation "A decision was handed to a person.";
    EscalationResolved "escalation.resolved" Escalation "A person decided an escalation.";
    EscalationExpired "escalation.expired" Escalation "An escalation ran out of time undecided.";
    ConfigUpdated "config.updated" Configuration "A configuration was changed.";
    ConfigDeployed "config.deployed" Configuration "A configuration was deployed to gateways.";
    ConfigSyncFailed "config.sync.failed" Configuration "A gateway could not take over a configuration.";
    ExportCompleted "export.completed" Export "An export is ready.";
    ExportFailed "export.failed" Export "An export failed.";
    GatewayConnected "gateway.connected" Gateway "A gateway connected.";
    GatewayDisconnected "gateway.disconnected" Gateway "A gateway's connection ended.";
    KeyRotated "key.rotated" System "A key was replaced.";
    KeyRevoked "key.revoked" System "A key was revoked.";
    UserInvited "user.invited" System "A user was invited.";
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not an event type's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an event type")]
pub struct UnknownEventType;

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(name: &str) -> Result<Self, UnknownEventType> {
        let with_test = EventType::ALL.iter().copied().chain([EventType::Test]);
        with_test.into_iter().find(|event_type| event_type.name() == name).ok_or(UnknownEventType)
    }
}

as_text!(EventType);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_types_of_a_category_stand_together() {
        let mut categories: Vec<_> = EventType::ALL.iter().map(|kind| kind.category()).collect();
        categories.dedup();
        let distinct: BTreeSet<_> = categories.iter().collect();
        assert_eq!(distinct.len(), categories.len(), "{categories:?}");
    }

    #[test]
    fn every_type_is_read_back_from_its_name() {
        for event_type in EventType::ALL.iter().copied().chain([EventType::Test]) {
            assert_eq!(event_type.name().parse(), Ok(event_type));
        }
        assert_eq!("policy.violated".parse::<EventType>(), Err(UnknownEventType));
    }
}
