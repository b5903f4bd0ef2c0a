//! Which fields of a resource a fact changed, for the audit trail.
//!
//! Changes are the differences between two messages of the API, so that fields and values are called
//! what the API calls them. They are computed when the trail is read: of old records too.

use std::sync::LazyLock;

use keeptrusts_webhooks_domain::channel::{ChannelFact, ChannelPatch};
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact, OperatorFact};
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey};
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;
use keeptrusts_webhooks_domain::replay::{NewReplay, ReplayCounts, ReplayFact};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

use super::endpoint::endpoint_configuration;
use super::notification::channel_configuration;
use super::replay::replay_preview;
use crate::time::timestamp_to_proto;
use crate::v1::channel::Destination;
use crate::{API_DESCRIPTORS, SECRET_FIELDS, v1};

const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// Stands in a message for a secret that was given. It is not shown.
const GIVEN: &str = "given";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(API_DESCRIPTORS).expect("the build has written the descriptors")
});

/// The fields that a fact changed. Secrets are named, without their values.
pub fn audit_changes(fact: &Fact) -> Vec<v1::AuditChange> {
    match fact {
        Fact::Endpoint(fact) => {
            let (before, after) = endpoint(fact);
            differences("Endpoint", &before, &after)
        }
        Fact::Channel(ChannelFact::Created(config)) => {
            let after = channel(config.clone().into());
            differences("Channel", &v1::Channel::default(), &after)
        }
        Fact::Channel(ChannelFact::Updated { patch, before }) => {
            differences("Channel", &channel(before.clone()), &channel(patch.clone()))
        }
        Fact::Key(KeyFact::Created(new)) => differences("Key", &v1::Key::default(), &key(new)),
        Fact::Replay(ReplayFact::Requested(new)) => {
            differences("Replay", &v1::Replay::default(), &replay(new))
        }
        Fact::Operator(OperatorFact::MasterKeyRotated { previous, current }) => {
            vec![v1::AuditChange {
                field: "master_key_id".to_owned(),
                before: previous.clone(),
                after: current.clone(),
            }]
        }
        _ => Vec::new(),
    }
}

/// The endpoint before and after the fact, with the fields that the fact is about. The fact does not
/// say what the state was before it.
fn endpoint(fact: &EndpointFact) -> (v1::Endpoint, v1::Endpoint) {
    let none = v1::Endpoint::default();
    match fact {
        EndpointFact::Created { config, secret: _ } => {
            (none, configured(config.clone().into(), true))
        }
        EndpointFact::Updated { patch, secret, before } => {
            (endpoint_configuration(before.clone()), configured(patch.clone(), secret.is_some()))
        }
        EndpointFact::SecretRotated { previous_expire_time, secret: _ } => {
            let previous_secret_expire_time = previous_expire_time.map(timestamp_to_proto);
            let secret = GIVEN.to_owned();
            (none.clone(), v1::Endpoint { previous_secret_expire_time, secret, ..none })
        }
        EndpointFact::Enabled | EndpointFact::Recovered { .. } => {
            (none, in_state(v1::endpoint::State::Active, ""))
        }
        EndpointFact::Disabled { reason, .. } => {
            (none, in_state(v1::endpoint::State::Disabled, reason))
        }
        EndpointFact::Degraded { reason, .. } => {
            (none, in_state(v1::endpoint::State::Degraded, reason))
        }
        EndpointFact::Deleted | EndpointFact::SecretRevealed => (none.clone(), none),
    }
}

/// A routing key counts as changed, because sealed keys cannot be compared.
fn configured(patch: EndpointPatch, has_secret: bool) -> v1::Endpoint {
    let given = |is_given: bool| if is_given { GIVEN.to_owned() } else { String::new() };
    let routing_key = patch.payload_format.as_ref().and_then(PayloadFormat::routing_key);
    v1::Endpoint {
        secret: given(has_secret),
        routing_key: given(routing_key.is_some()),
        ..endpoint_configuration(patch)
    }
}

fn in_state(state: v1::endpoint::State, reason: &str) -> v1::Endpoint {
    v1::Endpoint { state: state.into(), state_reason: reason.to_owned(), ..v1::Endpoint::default() }
}

fn channel(patch: ChannelPatch) -> v1::Channel {
    let has_secret = patch.destination.as_ref().is_some_and(|one| one.secret.is_some());
    let mut channel = channel_configuration(patch);
    if has_secret {
        let secret = match &mut channel.destination {
            Some(Destination::Slack(slack)) => Some(&mut slack.url),
            Some(Destination::Teams(teams)) => Some(&mut teams.url),
            Some(Destination::Pagerduty(pagerduty)) => Some(&mut pagerduty.routing_key),
            Some(Destination::Webhook(webhook)) => Some(&mut webhook.secret),
            Some(Destination::Email(_)) | None => None,
        };
        if let Some(secret) = secret {
            GIVEN.clone_into(secret);
        }
    }
    channel
}

fn key(new: &NewKey) -> v1::Key {
    v1::Key {
        display_name: new.display_name.clone(),
        role: v1::Role::from(new.role).into(),
        expiration: new
            .expire_time
            .map(|time| v1::key::Expiration::ExpireTime(timestamp_to_proto(time))),
        ..v1::Key::default()
    }
}

fn replay(new: &NewReplay) -> v1::Replay {
    // The entry has the endpoint.
    let endpoint_id = String::new();
    v1::Replay { endpoint_id, ..replay_preview(new, &ReplayCounts::default()) }
}

/// The differences of two messages of one type, in the order of the fields' numbers.
fn differences<M: Message>(name: &str, before: &M, after: &M) -> Vec<v1::AuditChange> {
    let mut changes = Vec::new();
    let descriptor = POOL.get_message_by_name(&format!("{PACKAGE}.{name}"));
    if let Some(descriptor) = descriptor {
        let (before, after) = (json(&descriptor, before), json(&descriptor, after));
        add_differences("", &descriptor, &before, &after, &mut changes);
    }
    changes
}

/// The message in protobuf's JSON mapping, with the API's names and without empty fields.
fn json<M: Message>(descriptor: &MessageDescriptor, message: &M) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let message = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice());
    let json = message.ok().and_then(|message| {
        message.serialize_with_options(serde_json::value::Serializer, &options).ok()
    });
    json.unwrap_or_default()
}

fn add_differences(
    parent: &str,
    descriptor: &MessageDescriptor,
    before: &Value,
    after: &Value,
    changes: &mut Vec<v1::AuditChange>,
) {
    for field in descriptor.fields() {
        let (before, after) = (&before[field.name()], &after[field.name()]);
        let path = format!("{parent}{}", field.name());
        if before == after {
            continue;
        }
        match part(&field) {
            Some(part) => add_differences(&format!("{path}."), &part, before, after, changes),
            None if SECRET_FIELDS.contains(&field.full_name()) => {
                changes.push(v1::AuditChange { field: path, ..v1::AuditChange::default() });
            }
            None => {
                let (before, after) = (text(before), text(after));
                changes.push(v1::AuditChange { field: path, before, after });
            }
        }
    }
}

/// The message of a field that is shown field by field: one of ours.
fn part(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let message = field.kind().as_message().cloned();
    message.filter(|message| !field.is_list() && message.package_name() == PACKAGE)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keeptrusts_webhooks_domain::Timestamp;
    use keeptrusts_webhooks_domain::access::Role;
    use keeptrusts_webhooks_domain::channel::{ChannelConfig, ChannelKind, Destination};
    use keeptrusts_webhooks_domain::endpoint::DisableCause;
    use keeptrusts_webhooks_domain::endpoint_config::EndpointConfig;
    use keeptrusts_webhooks_domain::event_type::EventType;
    use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
    use keeptrusts_webhooks_domain::key::TokenDigest;
    use keeptrusts_webhooks_domain::log::Position;
    use keeptrusts_webhooks_domain::notification::NotificationType;
    use keeptrusts_webhooks_domain::payload_format::PayloadKind;
    use keeptrusts_webhooks_domain::replay::{ReplayBound, ReplayScope, ReplaySelection};
    use keeptrusts_webhooks_domain::secret::SealedSecret;
    use serde_json::json;

    use super::*;

    fn sealed() -> SealedSecret {
        SealedSecret { key_id: "k".into(), nonce: [0; 12], ciphertext: vec![1] }
    }

    /// An endpoint with a value in every field, which in `b` are others than in `a`.
    fn endpoint_config(kind: PayloadKind, which: &str) -> EndpointConfig {
        let template = Some(format!("{{\"{which}\": 1}}"));
        EndpointConfig {
            display_name: format!("siem {which}"),
            url: format!("https://{which}.example/"),
            description: format!("the {which}"),
            event_types: match which {
                "a" => vec![EventType::PolicyBlock, EventType::KeyRotated],
                _ => vec![EventType::PolicyViolation],
            },
            payload_format: PayloadFormat::new(kind, template, Some(sealed())).expect("complete"),
        }
    }

    fn channel_config(kind: ChannelKind, which: &str) -> ChannelConfig {
        let address = match kind {
            ChannelKind::PagerDuty if which == "b" => {
                "https://events.eu.pagerduty.com/v2/enqueue".to_owned()
            }
            ChannelKind::Email => format!("{which}@example.com,c@example.com"),
            _ => format!("https://{which}.example"),
        };
        let secret = (kind != ChannelKind::Email).then(sealed);
        ChannelConfig {
            display_name: format!("on call {which}"),
            destination: Destination { kind, address, secret },
            subscriptions: match which {
                "a" => vec![NotificationType::EndpointDegraded, NotificationType::WeeklySummary],
                _ => vec![NotificationType::DeliveryExhausted],
            },
            endpoint_ids: if which == "a" { vec![EndpointId::MIN] } else { Vec::new() },
        }
    }

    fn endpoint_updated(old: &EndpointConfig, new: EndpointConfig) -> Fact {
        let patch = old.difference(new.into());
        let before = old.before(&patch);
        Fact::Endpoint(EndpointFact::Updated { patch, secret: Some(sealed()), before })
    }

    fn new_replay() -> NewReplay {
        let bound = ReplayBound { event_id: EventId::MIN, position: Position(1) };
        let selection = ReplaySelection {
            endpoint_id: EndpointId::MIN,
            scope: ReplayScope::All,
            start_time: Some(Timestamp::UNIX_EPOCH),
            end_time: Some(Timestamp::MAX),
            start_event: Some(bound),
            end_event: Some(bound),
            event_types: vec![EventType::PolicyBlock],
            include_delivered: true,
        };
        NewReplay { selection, deliveries_per_second: 100, matched_count: 7, may_match_more: true }
    }

    /// Every kind of fact that has changes, with every field set.
    fn facts() -> Vec<(&'static str, Fact)> {
        let mut facts = Vec::new();
        for kind in PayloadKind::ALL.iter().copied() {
            let (a, b) = (endpoint_config(kind, "a"), endpoint_config(kind, "b"));
            facts.push(("Endpoint", endpoint_updated(&a, b)));
            let custom = endpoint_config(PayloadKind::Custom, "b");
            facts.push(("Endpoint", endpoint_updated(&a, custom)));
            let created = EndpointFact::Created { config: a, secret: sealed() };
            facts.push(("Endpoint", Fact::Endpoint(created)));
        }
        let delivery_id = DeliveryId::MIN;
        let reason = || "because".to_owned();
        for fact in [
            EndpointFact::SecretRotated {
                secret: sealed(),
                previous_expire_time: Some(Timestamp::UNIX_EPOCH),
            },
            EndpointFact::Enabled,
            EndpointFact::Disabled { reason: reason(), cause: DisableCause::Requested },
            EndpointFact::Degraded { delivery_id, reason: reason() },
            EndpointFact::Recovered { delivery_id },
        ] {
            facts.push(("Endpoint", Fact::Endpoint(fact)));
        }
        for kind in ChannelKind::ALL.iter().copied() {
            let (a, b) = (channel_config(kind, "a"), channel_config(kind, "b"));
            let patch = a.difference(b.into());
            let before = a.before(&patch);
            facts.push(("Channel", Fact::Channel(ChannelFact::Updated { patch, before })));
            facts.push(("Channel", Fact::Channel(ChannelFact::Created(a))));
        }
        for role in Role::ALL.iter().copied() {
            facts.push((
                "Key",
                Fact::Key(KeyFact::Created(NewKey {
                    display_name: "ci".to_owned(),
                    role,
                    token: TokenDigest([0; 32]),
                    expire_time: Some(Timestamp::UNIX_EPOCH),
                    session: None,
                })),
            ));
        }
        facts.push(("Replay", Fact::Replay(ReplayFact::Requested(new_replay()))));
        facts
    }

    /// The value as it stands in the API's JSON: a text may be an enum's name or a time.
    fn accepted(field: &FieldDescriptor, value: &str) -> bool {
        let text = Value::from(value);
        let whole = serde_json::from_str(value).unwrap_or(text.clone());
        [text, whole].into_iter().any(|value| {
            let message = json!({ field.name(): value });
            DynamicMessage::deserialize(field.parent_message().clone(), message).is_ok()
        })
    }

    #[test]
    fn every_change_is_of_a_field_of_the_resource_with_values_that_the_api_accepts() {
        let mut changed = BTreeSet::new();
        for (name, fact) in facts() {
            let changes = audit_changes(&fact);
            assert_ne!(changes, [], "{fact:?}");
            for v1::AuditChange { field: path, before, after } in changes {
                let mut message = POOL.get_message_by_name(&format!("{PACKAGE}.{name}"));
                let mut found = None;
                for step in path.split('.') {
                    found = message.and_then(|message| message.get_field_by_name(step));
                    message = found.as_ref().and_then(part);
                }
                let field = found.unwrap_or_else(|| panic!("{name} has no {path}"));
                for value in [&before, &after] {
                    assert!(accepted(&field, value) || value.is_empty(), "{path}: {value}");
                    assert_ne!(value, GIVEN, "{path}");
                }
                changed.insert(format!("{name}.{path}"));
            }
        }
        // What people set is in the trail, whatever is added to the API.
        for name in ["Endpoint", "Channel", "Key", "Replay"] {
            let message = POOL.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("known");
            for path in settable(&message, "") {
                // Only in a request; the entry has the endpoint.
                let elsewhere = ["Key.ttl", "Replay.endpoint_id"];
                let path = format!("{name}.{path}");
                assert!(changed.contains(&path) || elsewhere.contains(&&*path), "{path}");
            }
        }
    }

    /// The paths of the fields that a request can set.
    fn settable(message: &MessageDescriptor, parent: &str) -> Vec<String> {
        let behavior = POOL.get_extension_by_name("google.api.field_behavior").expect("known");
        let is_set = |field: &FieldDescriptor| {
            let options = field.options();
            let behaviors = options.get_extension(&behavior);
            // google.api.FieldBehavior: OUTPUT_ONLY is 3, IDENTIFIER 8.
            let is_read = behaviors.as_list().is_some_and(|list| {
                list.iter().any(|one| matches!(one.as_enum_number(), Some(3 | 8)))
            });
            !is_read && field.name() != "etag"
        };
        let fields = message.fields().filter(is_set);
        let paths = fields.flat_map(|field| match part(&field) {
            Some(part) => settable(&part, &format!("{parent}{}.", field.name())),
            None => vec![format!("{parent}{}", field.name())],
        });
        paths.collect()
    }

    /// Field, before and after.
    fn triples(changes: &[v1::AuditChange]) -> Vec<(&str, &str, &str)> {
        changes.iter().map(|one| (&*one.field, &*one.before, &*one.after)).collect()
    }

    #[test]
    fn an_update_shows_each_field_before_and_after_and_no_secret() {
        let old = endpoint_config(PayloadKind::Custom, "a");
        let new = EndpointConfig {
            payload_format: endpoint_config(PayloadKind::PagerDuty, "a").payload_format,
            event_types: vec![EventType::KeyRotated],
            ..old.clone()
        };
        let changes = audit_changes(&endpoint_updated(&old, new.clone()));
        let expected = [
            ("event_types", r#"["policy.block","key.rotated"]"#, r#"["key.rotated"]"#),
            ("payload_format", "PAYLOAD_FORMAT_CUSTOM", "PAYLOAD_FORMAT_PAGERDUTY"),
            ("payload_template", r#"{"a": 1}"#, ""),
            ("has_routing_key", "", "true"),
            ("secret", "", ""),
            ("routing_key", "", ""),
        ];
        assert_eq!(triples(&changes), expected);
        let patch = EndpointPatch {
            payload_format: Some(new.payload_format.clone()),
            ..EndpointPatch::default()
        };
        let before = new.before(&patch);
        let fact = EndpointFact::Updated { patch, secret: None, before };
        let another_key = audit_changes(&Fact::Endpoint(fact));
        assert_eq!(triples(&another_key), [("routing_key", "", "")]);
    }

    #[test]
    fn a_record_from_before_the_log_had_previous_values_shows_the_new_ones() {
        let patch = EndpointPatch {
            url: Some("https://b.example/".to_owned()),
            ..EndpointPatch::default()
        };
        let before = EndpointPatch::default();
        let fact = Fact::Endpoint(EndpointFact::Updated { patch, secret: None, before });
        assert_eq!(triples(&audit_changes(&fact)), [("url", "", "https://b.example/")]);
    }

    #[test]
    fn a_destination_is_shown_by_the_paths_of_its_kind_and_its_secret_is_named() {
        let created = |kind, address: &str| {
            let mut config = channel_config(kind, "b");
            config.destination.address = address.to_owned();
            audit_changes(&Fact::Channel(ChannelFact::Created(config)))
        };
        let slack = created(ChannelKind::Slack, "https://hooks.slack.com");
        let expected = [
            ("display_name", "", "on call b"),
            ("slack.url", "", ""),
            ("slack.address", "", "https://hooks.slack.com"),
            ("subscriptions", "", r#"["NOTIFICATION_TYPE_DELIVERY_EXHAUSTED"]"#),
        ];
        assert_eq!(triples(&slack), expected);
        let pagerduty =
            created(ChannelKind::PagerDuty, "https://events.eu.pagerduty.com/v2/enqueue");
        let expected =
            [("pagerduty.routing_key", "", ""), ("pagerduty.region", "", "PAGER_DUTY_REGION_EU")];
        assert_eq!(triples(&pagerduty)[1..3], expected);
        let email = created(ChannelKind::Email, "a@example.com,b@example.com");
        let recipients = r#"["a@example.com","b@example.com"]"#;
        assert_eq!(triples(&email)[1], ("email.recipients", "", recipients));
    }

    #[test]
    fn a_replay_shows_what_was_chosen_and_counted() {
        let changes = audit_changes(&Fact::Replay(ReplayFact::Requested(new_replay())));
        let changes = triples(&changes);
        assert_eq!(changes[0], ("scope", "", "SCOPE_ALL"));
        assert_eq!(changes[1], ("start_time", "", "1970-01-01T00:00:00Z"));
        let last = [("matched_count", "", "7"), ("may_match_more", "", "true")];
        assert_eq!(changes[changes.len() - 2..], last);
    }
}
