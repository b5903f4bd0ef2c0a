//! Which fields a fact changed, and from what to what, for the audit trail.

use crate::channel::{ChannelConfig, ChannelFact, ChannelPatch};
use crate::config::FieldChange;
use crate::endpoint_config::EndpointPatch;
use crate::event_type::EventType;
use crate::fact::{EndpointFact, Fact, OperatorFact};
use crate::key::KeyFact;
use crate::payload_format::PayloadFormat;
use crate::replay::{NewReplay, ReplayFact};

/// The fields that a fact changed. Secrets are named, without their values.
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
            EndpointFact::Enabled | EndpointFact::Recovered { .. } => vec![set("state", "active")],
            EndpointFact::Disabled { reason, .. } => state("disabled", reason),
            EndpointFact::Degraded { reason, .. } => state("degraded", reason),
            EndpointFact::Deleted | EndpointFact::SecretRevealed => Vec::new(),
        },
        Fact::Key(KeyFact::Created(new)) => {
            let mut changes =
                vec![set("display_name", &new.display_name), set("role", new.role.name())];
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

fn state(state: &str, reason: &str) -> Vec<FieldChange> {
    let set =
        |field, after: &str| FieldChange { field, before: None, after: Some(after.to_owned()) };
    let reason = (!reason.is_empty()).then(|| set("state_reason", reason));
    [set("state", state)].into_iter().chain(reason).collect()
}

/// The secret comes before the payload format, which may have a secret of its own (a routing key).
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
    use crate::notification::NotificationType;
    use crate::secret::SealedSecret;

    #[test]
    fn an_update_shows_each_field_before_and_after_and_no_secret() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let url = |url: &str| Some(url.to_owned());
        let fact = Fact::Endpoint(EndpointFact::Updated {
            patch: EndpointPatch { url: url("https://new.example/"), ..EndpointPatch::default() },
            secret: Some(sealed),
            before: EndpointPatch { url: url("https://old.example/"), ..EndpointPatch::default() },
        });
        let expected = [
            ("url", Some("https://old.example/"), Some("https://new.example/")),
            ("secret", None, None),
        ];
        assert_eq!(triples(&changes_of(&fact)), expected);
    }

    #[test]
    fn a_payload_format_is_shown_without_its_routing_key() {
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

    /// Field, before and after.
    fn triples(changes: &[FieldChange]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        changes
            .iter()
            .map(|change| (change.field, change.before.as_deref(), change.after.as_deref()))
            .collect()
    }

    #[test]
    fn a_new_endpoint_shows_its_set_fields_and_the_secret_before_the_format() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let config = EndpointConfig {
            display_name: "siem".to_owned(),
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
            ("display_name", None, Some("siem")),
            ("url", None, Some("https://siem.example/")),
            ("event_types", None, Some("policy.block, key.rotated")),
            ("secret", None, None),
            ("payload_format", Some("keeptrusts"), Some("custom")),
            ("payload_template", None, Some("{}")),
        ];
        assert_eq!(triples(&custom), expected);
        assert_eq!(triples(&created(plain, sealed)), expected[..4]);
    }

    #[test]
    fn a_new_channel_shows_its_kind_and_its_secret_last() {
        let sealed = SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] };
        let destination = Destination {
            kind: ChannelKind::Webhook,
            address: "https://hooks.example/".to_owned(),
            secret: Some(sealed),
        };
        let created = changes_of(&Fact::Channel(ChannelFact::Created(ChannelConfig {
            display_name: "on call".to_owned(),
            destination,
            subscriptions: vec![NotificationType::EndpointDegraded],
            endpoint_ids: Vec::new(),
        })));
        let expected = [
            ("display_name", None, Some("on call")),
            ("kind", None, Some("webhook")),
            ("address", None, Some("https://hooks.example/")),
            ("subscriptions", None, Some("endpoint_degraded")),
            ("secret", None, None),
        ];
        assert_eq!(triples(&created), expected);
    }
}
