//! The audit trail: which facts belong to it, which action each of them is, and what it was done to.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use crate::channel::ChannelFact;
use crate::fact::{DeliveryFact, EndpointFact, Fact, OperatorFact};
use crate::ids::{ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, ReplayId};
use crate::key::{KeyFact, NewKey};
use crate::log::Stream;
use crate::notification::{NotificationFact, NotificationType};
use crate::replay::ReplayFact;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// An action as the audit trail names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $variant,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &'static [AuditAction] = &[$(AuditAction::$variant,)*];

            /// The action's name in tables and URLs. It never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(AuditAction::$variant => $name,)*
                }
            }
        }
    };
}

actions! {
    /// An endpoint was created.
    EndpointCreated "endpoint.created";
    /// An endpoint's configuration was changed.
    EndpointUpdated "endpoint.updated";
    /// An endpoint was enabled.
    EndpointEnabled "endpoint.enabled";
    /// An endpoint was disabled.
    EndpointDisabled "endpoint.disabled";
    /// An endpoint was deleted.
    EndpointDeleted "endpoint.deleted";
    /// A delivery ran out of attempts, which degraded its endpoint.
    EndpointDegraded "endpoint.degraded";
    /// A delivery to a degraded endpoint succeeded.
    EndpointRecovered "endpoint.recovered";
    /// An endpoint's secret was replaced.
    SecretRotated "secret.rotated";
    /// An endpoint's secret was shown.
    SecretRevealed "secret.revealed";
    /// A test was sent to an endpoint.
    TestSent "test.sent";
    /// Another attempt of a delivery was requested.
    RetryRequested "retry.requested";
    /// The cancellation of a delivery was requested.
    CancelRequested "cancel.requested";
    /// A key was created.
    KeyCreated "key.created";
    /// A key was revoked.
    KeyRevoked "key.revoked";
    /// Somebody signed in.
    SessionCreated "session.created";
    /// A session was ended by its owner or by somebody else.
    SessionEnded "session.ended";
    /// A replay was requested.
    ReplayRequested "replay.requested";
    /// A replay was cancelled.
    ReplayCancelled "replay.cancelled";
    /// An operator erased the organization.
    OrganizationErased "organization.erased";
    /// An operator replaced the master key.
    MasterKeyRotated "master_key.rotated";
    /// A notification channel was created.
    ChannelCreated "channel.created";
    /// A notification channel's configuration was changed.
    ChannelUpdated "channel.updated";
    /// A notification channel was deleted.
    ChannelDeleted "channel.deleted";
    /// A test was sent to a notification channel.
    ChannelTested "channel.tested";
}

/// The label of an update of an endpoint that replaced its secret and changed something else.
const UPDATED_WITH_SECRET: &str = "endpoint.updated,secret.rotated";

impl AuditAction {
    /// The labels that entries of this action can have, for a filter; see [`action_label`].
    pub fn labels(self) -> Vec<&'static str> {
        let both = match self {
            AuditAction::EndpointUpdated | AuditAction::SecretRotated => Some(UPDATED_WITH_SECRET),
            _ => None,
        };
        [self.name()].into_iter().chain(both).collect()
    }
}

/// The label of a fact in the trail, None if it does not belong there. It is the name of the fact's
/// action, or one label for two actions, by which filters for either of them find the fact.
pub fn action_label(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Endpoint(EndpointFact::Updated { patch, secret: Some(_), .. })
            if !patch.is_empty() =>
        {
            Some(UPDATED_WITH_SECRET)
        }
        _ => action_of(fact).map(AuditAction::name),
    }
}

/// The action of a fact, None if the fact does not belong to the audit trail. What people do and
/// how the state of endpoints changes belongs there. What publishing and delivering causes does
/// not.
pub fn action_of(fact: &Fact) -> Option<AuditAction> {
    Some(match fact {
        Fact::Endpoint(fact) => match fact {
            EndpointFact::Created { .. } => AuditAction::EndpointCreated,
            EndpointFact::Updated { patch, secret: Some(_), .. } if patch.is_empty() => {
                AuditAction::SecretRotated
            }
            EndpointFact::Updated { .. } => AuditAction::EndpointUpdated,
            EndpointFact::SecretRotated { .. } => AuditAction::SecretRotated,
            EndpointFact::Enabled => AuditAction::EndpointEnabled,
            EndpointFact::Disabled { .. } => AuditAction::EndpointDisabled,
            EndpointFact::Degraded { .. } => AuditAction::EndpointDegraded,
            EndpointFact::Recovered { .. } => AuditAction::EndpointRecovered,
            EndpointFact::Deleted => AuditAction::EndpointDeleted,
            EndpointFact::SecretRevealed => AuditAction::SecretRevealed,
        },
        Fact::Delivery(fact) => match fact {
            DeliveryFact::TestRequested { .. } => AuditAction::TestSent,
            DeliveryFact::RetryRequested => AuditAction::RetryRequested,
            DeliveryFact::CancelRequested => AuditAction::CancelRequested,
            DeliveryFact::Replayed { .. }
            | DeliveryFact::Resumed { .. }
            | DeliveryFact::AttemptSucceeded(_)
            | DeliveryFact::AttemptFailed { .. }
            | DeliveryFact::Expired { .. }
            | DeliveryFact::Cancelled { .. } => return None,
        },
        Fact::Key(fact) => match fact {
            KeyFact::Created(NewKey { session: Some(_), .. }) => AuditAction::SessionCreated,
            KeyFact::Created(_) => AuditAction::KeyCreated,
            KeyFact::Revoked => AuditAction::KeyRevoked,
            KeyFact::SessionEnded => AuditAction::SessionEnded,
        },
        Fact::Replay(fact) => match fact {
            ReplayFact::Requested(_) => AuditAction::ReplayRequested,
            ReplayFact::Cancelled { .. } => AuditAction::ReplayCancelled,
            ReplayFact::Advanced(_) | ReplayFact::Ended { .. } => return None,
        },
        Fact::Channel(fact) => match fact {
            ChannelFact::Created(_) => AuditAction::ChannelCreated,
            ChannelFact::Updated { .. } => AuditAction::ChannelUpdated,
            ChannelFact::Deleted => AuditAction::ChannelDeleted,
            ChannelFact::Failing { .. } | ChannelFact::Recovered => return None,
        },
        Fact::Notification(NotificationFact::Raised(new))
            if new.notification_type == NotificationType::Test =>
        {
            AuditAction::ChannelTested
        }
        Fact::Notification(_) => return None,
        Fact::Operator(OperatorFact::OrganizationErased) => AuditAction::OrganizationErased,
        Fact::Operator(OperatorFact::MasterKeyRotated { .. }) => AuditAction::MasterKeyRotated,
        Fact::EventAccepted(_) | Fact::DeliveriesScheduled(_) => return None,
    })
}

/// What an action was done to, as far as the record itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditTarget {
    /// The endpoint: its own record, or the one that a test or a replay is for.
    pub endpoint_id: Option<EndpointId>,
    /// The delivery: its own record, or the one that changed an endpoint's state.
    pub delivery_id: Option<DeliveryId>,
    /// The event: its own record, or the one of a test.
    pub event_id: Option<EventId>,
    /// The key.
    pub key_id: Option<KeyId>,
    /// The replay.
    pub replay_id: Option<ReplayId>,
    /// The notification channel.
    pub channel_id: Option<ChannelId>,
    /// The notification.
    pub notification_id: Option<NotificationId>,
}

impl AuditTarget {
    /// The target of a record.
    pub fn of(stream: Stream, fact: &Fact) -> AuditTarget {
        let mut target = AuditTarget::default();
        match stream {
            Stream::Endpoint(id) => target.endpoint_id = Some(id),
            Stream::Event(id) => target.event_id = Some(id),
            Stream::Delivery(id) => target.delivery_id = Some(id),
            Stream::Key(id) => target.key_id = Some(id),
            Stream::Replay(id) => target.replay_id = Some(id),
            Stream::Channel(id) => target.channel_id = Some(id),
            Stream::Notification(id) => target.notification_id = Some(id),
            Stream::Operation(_) => {}
        }
        match fact {
            Fact::Endpoint(
                EndpointFact::Degraded { delivery_id, .. }
                | EndpointFact::Recovered { delivery_id },
            ) => target.delivery_id = Some(*delivery_id),
            Fact::Delivery(DeliveryFact::TestRequested { event_id, endpoint_id, .. }) => {
                target.event_id = Some(*event_id);
                target.endpoint_id = Some(*endpoint_id);
            }
            Fact::Replay(ReplayFact::Requested(new)) => {
                target.endpoint_id = Some(new.selection.endpoint_id);
            }
            Fact::Replay(ReplayFact::Cancelled { endpoint_id }) => {
                target.endpoint_id = Some(*endpoint_id);
            }
            Fact::Notification(NotificationFact::Raised(new)) => {
                target.channel_id = Some(new.channel_id);
            }
            _ => {}
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint_config::EndpointPatch;
    use crate::secret::SealedSecret;

    #[test]
    fn an_update_that_replaces_the_secret_too_is_found_as_both_actions() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let url = |url: &str| Some(url.to_owned());
        let fact = Fact::Endpoint(EndpointFact::Updated {
            patch: EndpointPatch { url: url("https://new.example/"), ..EndpointPatch::default() },
            secret: Some(sealed),
            before: EndpointPatch { url: url("https://old.example/"), ..EndpointPatch::default() },
        });
        assert_eq!(action_of(&fact), Some(AuditAction::EndpointUpdated));
        // It is shown as one action, and found as either.
        let label = action_label(&fact).expect("it is in the trail");
        let found: Vec<_> =
            AuditAction::ALL.iter().filter(|action| action.labels().contains(&label)).collect();
        assert_eq!(found, [&AuditAction::EndpointUpdated, &AuditAction::SecretRotated]);
    }

    #[test]
    fn an_update_that_only_replaces_the_secret_is_a_rotation() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let fact = Fact::Endpoint(EndpointFact::Updated {
            patch: EndpointPatch::default(),
            secret: Some(sealed),
            before: EndpointPatch::default(),
        });
        assert_eq!(action_of(&fact), Some(AuditAction::SecretRotated));
        assert_eq!(action_label(&fact), Some("secret.rotated"));
    }

    #[test]
    fn what_publishing_and_delivering_cause_is_not_in_the_trail() {
        let cancelled = DeliveryFact::Cancelled { reason: String::new() };
        assert_eq!(action_of(&Fact::Delivery(cancelled)), None);
        assert_eq!(
            action_of(&Fact::Delivery(DeliveryFact::RetryRequested)),
            Some(AuditAction::RetryRequested)
        );
    }

    #[test]
    fn no_two_actions_have_the_same_name() {
        let mut names: Vec<_> = AuditAction::ALL.iter().map(|action| action.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AuditAction::ALL.len());
    }
}
