//! The audit trail: which facts belong into it, and what they tell.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use crate::channel::{ChannelConfig, ChannelFact, ChannelPatch};
use crate::config::FieldChange;
use crate::endpoint_config::EndpointPatch;
use crate::event_type::EventType;
use crate::fact::{DeliveryFact, EndpointFact, Fact, OperatorFact};
use crate::ids::{ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, ReplayId};
use crate::key::{KeyFact, NewKey};
use crate::log::Stream;
use crate::notification::{NotificationFact, NotificationType};
use crate::payload_format::PayloadFormat;
use crate::replay::{NewReplay, ReplayFact};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// What was done, as the audit trail names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $variant,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &'static [AuditAction] = &[$(AuditAction::$variant,)*];

            /// The action's name, for tables and addresses; it never changes.
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
    /// Its configuration was changed.
    EndpointUpdated "endpoint.updated";
    /// It was enabled.
    EndpointEnabled "endpoint.enabled";
    /// It was disabled.
    EndpointDisabled "endpoint.disabled";
    /// It was deleted.
    EndpointDeleted "endpoint.deleted";
    /// One of its deliveries ran out of attempts.
    EndpointDegraded "endpoint.degraded";
    /// One of its deliveries succeeded again.
    EndpointRecovered "endpoint.recovered";
    /// Its secret was replaced.
    SecretRotated "secret.rotated";
    /// Its secret was shown.
    SecretRevealed "secret.revealed";
    /// A test was sent to it.
    TestSent "test.sent";
    /// One more attempt of a delivery was asked for.
    RetryRequested "retry.requested";
    /// A delivery's end was asked for.
    CancelRequested "cancel.requested";
    /// A key was made.
    KeyCreated "key.created";
    /// A key was revoked.
    KeyRevoked "key.revoked";
    /// Somebody signed in.
    SessionCreated "session.created";
    /// Somebody signed out, or was.
    SessionEnded "session.ended";
    /// A replay was asked for.
    ReplayRequested "replay.requested";
    /// A replay's end was asked for.
    ReplayCancelled "replay.cancelled";
    /// An operator erased the organization.
    OrganizationErased "organization.erased";
    /// An operator replaced the master key.
    MasterKeyRotated "master_key.rotated";
    /// A notification channel was created.
    ChannelCreated "channel.created";
    /// Its configuration was changed.
    ChannelUpdated "channel.updated";
    /// It was deleted.
    ChannelDeleted "channel.deleted";
    /// A test was sent to it.
    ChannelTested "channel.tested";
}

/// What one change of an endpoint is filed under that has replaced its secret and something else.
const UPDATED_WITH_SECRET: &str = "endpoint.updated,secret.rotated";

impl AuditAction {
    /// What the entries of the action are filed under, for a filter.
    pub fn labels(self) -> Vec<&'static str> {
        let both = match self {
            AuditAction::EndpointUpdated | AuditAction::SecretRotated => Some(UPDATED_WITH_SECRET),
            _ => None,
        };
        [self.name()].into_iter().chain(both).collect()
    }
}

/// What a fact is filed under in the trail, if it belongs there: its action's name, or, if it is
/// of two actions, what both are looked for by.
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

/// What a fact did, if it belongs into the audit trail: what people did, and what their
/// endpoints' status became. What publishers and the delivery of events cause does not.
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

/// What something was done to, as far as the record itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditTarget {
    /// The endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// The delivery that it was done to, or that it has to do with.
    pub delivery_id: Option<DeliveryId>,
    /// Its event.
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
    /// What a record's fact was done to.
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

/// What a fact changed, field by field.
pub fn changes_of(fact: &Fact) -> Vec<FieldChange> {
    let set =
        |field, after: &str| FieldChange { field, before: None, after: Some(after.to_owned()) };
    match fact {
        Fact::Endpoint(fact) => match fact {
            EndpointFact::Created { config, secret: _ } => {
                endpoint_changes(&config.clone().into(), &EndpointPatch::default(), true)
            }
            EndpointFact::Updated { patch, secret, before } => {
                endpoint_changes(patch, before, secret.is_some())
            }
            EndpointFact::SecretRotated { previous_expire_time, .. } => {
                let overlap = previous_expire_time
                    .map(|time| set("previous_secret_expire_time", &time.to_string()));
                [FieldChange::of_secret("secret")].into_iter().chain(overlap).collect()
            }
            EndpointFact::Enabled | EndpointFact::Recovered { .. } => vec![set("status", "active")],
            EndpointFact::Disabled { reason, .. } => status("disabled", reason),
            EndpointFact::Degraded { reason, .. } => status("degraded", reason),
            EndpointFact::Deleted | EndpointFact::SecretRevealed => Vec::new(),
        },
        Fact::Key(KeyFact::Created(new)) => {
            let mut changes = vec![set("name", &new.name), set("role", new.role.name())];
            changes.extend(new.expire_time.map(|time| set("expire_time", &time.to_string())));
            changes
        }
        Fact::Replay(ReplayFact::Requested(new)) => replay_requested(new),
        Fact::Channel(ChannelFact::Created(config)) => channel_created(config),
        Fact::Channel(ChannelFact::Updated { patch, before }) => channel_changes(patch, before),
        Fact::Operator(OperatorFact::MasterKeyRotated { previous, current }) => vec![FieldChange {
            field: "master_key_id",
            before: Some(previous.clone()),
            after: Some(current.clone()),
        }],
        _ => Vec::new(),
    }
}

fn replay_requested(new: &NewReplay) -> Vec<FieldChange> {
    let selection = &new.selection;
    let mut changes = Vec::new();
    let mut set = |field, after: String| {
        changes.push(FieldChange { field, before: None, after: Some(after) });
    };
    set("scope", selection.scope.name().to_owned());
    if let Some(time) = selection.start_time {
        set("start_time", time.to_string());
    }
    if let Some(time) = selection.end_time {
        set("end_time", time.to_string());
    }
    if let Some(bound) = selection.start_event {
        set("start_event_id", bound.event_id.to_string());
    }
    if let Some(bound) = selection.end_event {
        set("end_event_id", bound.event_id.to_string());
    }
    if !selection.event_types.is_empty() {
        set("event_types", names(&selection.event_types));
    }
    if selection.include_delivered {
        set("include_delivered", "true".to_owned());
    }
    set("deliveries_per_second", new.deliveries_per_second.to_string());
    let more = if new.may_match_more { " or more" } else { "" };
    set("matched_count", format!("{}{more}", new.matched_count));
    changes
}

fn status(status: &str, reason: &str) -> Vec<FieldChange> {
    let set =
        |field, after: &str| FieldChange { field, before: None, after: Some(after.to_owned()) };
    let reason = (!reason.is_empty()).then(|| set("status_reason", reason));
    [set("status", status)].into_iter().chain(reason).collect()
}

/// The secret is told before the payload format, which has a secret of its own.
fn endpoint_changes(
    patch: &EndpointPatch,
    before: &EndpointPatch<PayloadFormat<()>>,
    has_secret: bool,
) -> Vec<FieldChange> {
    let payload_format = patch.payload_format.clone();
    let mut changes = patch.clone().with_payload_format(None).changes(before);
    changes.extend(has_secret.then(|| FieldChange::of_secret("secret")));
    changes.extend(EndpointPatch { payload_format, ..EndpointPatch::default() }.changes(before));
    changes
}

fn channel_created(config: &ChannelConfig) -> Vec<FieldChange> {
    let mut changes = channel_changes(&config.clone().into(), &ChannelPatch::default());
    let kind = Some(config.destination.kind.name().to_owned());
    changes.insert(1, FieldChange { field: "kind", before: None, after: kind });
    changes
}

fn channel_changes(patch: &ChannelPatch, before: &ChannelPatch) -> Vec<FieldChange> {
    let mut changes = patch.changes(before);
    if patch.destination.as_ref().is_some_and(|destination| destination.secret.is_some()) {
        changes.push(FieldChange::of_secret("secret"));
    }
    changes
}

fn names(event_types: &[EventType]) -> String {
    event_types.iter().map(|event_type| event_type.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelKind, Destination};
    use crate::endpoint_config::EndpointConfig;
    use crate::secret::SealedSecret;

    #[test]
    fn a_change_tells_before_and_after_and_never_a_secret() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let url = |url: &str| Some(url.to_owned());
        let fact = Fact::Endpoint(EndpointFact::Updated {
            patch: EndpointPatch { url: url("https://new.example/"), ..EndpointPatch::default() },
            secret: Some(sealed),
            before: EndpointPatch { url: url("https://old.example/"), ..EndpointPatch::default() },
        });
        let url = FieldChange {
            field: "url",
            before: Some("https://old.example/".to_owned()),
            after: Some("https://new.example/".to_owned()),
        };
        let secret = FieldChange { field: "secret", before: None, after: None };
        assert_eq!(changes_of(&fact), [url, secret]);
        assert_eq!(action_of(&fact), Some(AuditAction::EndpointUpdated));
        // It is found as what it is shown as, and as the other thing that it was.
        let label = action_label(&fact).expect("it is in the trail");
        let found: Vec<_> =
            AuditAction::ALL.iter().filter(|action| action.labels().contains(&label)).collect();
        assert_eq!(found, [&AuditAction::EndpointUpdated, &AuditAction::SecretRotated]);
    }

    #[test]
    fn a_secret_that_is_replaced_by_an_update_is_found_among_the_rotated_ones() {
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
    fn a_payload_format_is_told_without_its_routing_key() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let changed = |before: PayloadFormat<()>, after: PayloadFormat| {
            changes_of(&Fact::Endpoint(EndpointFact::Updated {
                patch: EndpointPatch { payload_format: Some(after), ..EndpointPatch::default() },
                secret: None,
                before: EndpointPatch { payload_format: Some(before), ..EndpointPatch::default() },
            }))
        };
        let change = |field, before: Option<&str>, after: Option<&str>| FieldChange {
            field,
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let custom = PayloadFormat::Custom { template: "{}".to_owned() };
        let pager = PayloadFormat::PagerDuty { routing_key: sealed };
        assert_eq!(
            changed(custom, pager.clone()),
            [
                change("payload_format", Some("custom"), Some("pagerduty")),
                change("payload_template", Some("{}"), None),
                change("routing_key", None, None),
            ]
        );
        let another_key = changed(PayloadFormat::PagerDuty { routing_key: () }, pager);
        assert_eq!(another_key, [change("routing_key", None, None)]);
    }

    fn told(changes: &[FieldChange]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        let told = changes
            .iter()
            .map(|change| (change.field, change.before.as_deref(), change.after.as_deref()));
        told.collect()
    }

    #[test]
    fn a_new_endpoint_tells_what_is_set_and_the_secret_before_the_format() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let config = EndpointConfig {
            name: "siem".to_owned(),
            url: "https://siem.example/".to_owned(),
            event_types: vec![EventType::PolicyBlock, EventType::KeyRotated],
            payload_format: PayloadFormat::Custom { template: "{}".to_owned() },
            ..EndpointConfig::default()
        };
        let plain = EndpointConfig { payload_format: PayloadFormat::Keeptrusts, ..config.clone() };
        let created =
            |config, secret| changes_of(&Fact::Endpoint(EndpointFact::Created { config, secret }));
        let custom = created(config, sealed.clone());
        let expected = [
            ("name", None, Some("siem")),
            ("url", None, Some("https://siem.example/")),
            ("event_types", None, Some("policy.block, key.rotated")),
            ("secret", None, None),
            ("payload_format", Some("keeptrusts"), Some("custom")),
            ("payload_template", None, Some("{}")),
        ];
        assert_eq!(told(&custom), expected);
        assert_eq!(told(&created(plain, sealed)), expected[..4]);
    }

    #[test]
    fn a_new_channel_tells_its_kind_and_its_secret_last() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let destination = Destination {
            kind: ChannelKind::Webhook,
            address: "https://hooks.example/".to_owned(),
            secret: Some(sealed),
        };
        let created = changes_of(&Fact::Channel(ChannelFact::Created(ChannelConfig {
            name: "on call".to_owned(),
            destination,
            subscriptions: vec![NotificationType::EndpointDegraded],
            endpoint_ids: Vec::new(),
        })));
        let expected = [
            ("name", None, Some("on call")),
            ("kind", None, Some("webhook")),
            ("address", None, Some("https://hooks.example/")),
            ("subscriptions", None, Some("endpoint_degraded")),
            ("secret", None, None),
        ];
        assert_eq!(told(&created), expected);
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
    fn names_are_told_apart() {
        let mut names: Vec<_> = AuditAction::ALL.iter().map(|action| action.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AuditAction::ALL.len());
    }
}
