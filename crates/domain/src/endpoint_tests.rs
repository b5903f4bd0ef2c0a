use super::*;
use crate::endpoint_config::check_event_types;
use crate::payload_format::{PayloadFormat, PayloadKind};

fn now() -> Timestamp {
    "2026-04-23T10:30:00Z".parse().expect("a timestamp")
}

fn sealed(text: &str) -> SealedSecret {
    SealedSecret { key_id: "k".to_owned(), nonce: [0; 12], ciphertext: text.as_bytes().to_vec() }
}

fn endpoint() -> Endpoint {
    let config = EndpointConfig {
        display_name: "siem".to_owned(),
        url: "https://siem.example/".to_owned(),
        event_types: vec![EventType::PolicyBlock],
        ..EndpointConfig::default()
    };
    let organization = "default".parse().expect("valid");
    Endpoint::created(EndpointId::MIN, organization, config, sealed("first"), now())
}

fn update(patch: EndpointPatch<PayloadPatch>) -> EndpointCommand {
    EndpointCommand::Update { patch, secret: None }
}

fn exhausted(delivery_id: DeliveryId) -> EndpointCommand {
    EndpointCommand::NoteExhausted { delivery_id, error: "the receiver answered 500".to_owned() }
}

/// Applies the fact that follows from a command, and returns it.
fn when(endpoint: &mut Endpoint, command: EndpointCommand) -> Option<EndpointFact> {
    let fact = endpoint.decide(command, None).expect("not refused");
    if let Some(fact) = &fact {
        endpoint.apply(fact, now());
    }
    fact
}

#[test]
fn disabling_and_enabling_are_facts_only_when_they_change_something() {
    let mut endpoint = endpoint();
    assert_eq!(when(&mut endpoint, EndpointCommand::Enable), None);
    let disable = || EndpointCommand::Disable { reason: "maintenance".to_owned() };
    assert!(when(&mut endpoint, disable()).is_some());
    assert_eq!(endpoint.state, EndpointState::Disabled);
    assert_eq!(endpoint.state_reason, "maintenance");
    assert_eq!(when(&mut endpoint, disable()), None);
    assert_eq!(when(&mut endpoint, EndpointCommand::Enable), Some(EndpointFact::Enabled));
    assert_eq!((endpoint.state, endpoint.state_reason.as_str()), (EndpointState::Active, ""));
}

#[test]
fn an_exhausted_delivery_degrades_and_the_next_success_recovers() {
    let mut endpoint = endpoint();
    let delivery_id = DeliveryId::MIN;
    assert_eq!(when(&mut endpoint, EndpointCommand::NoteSuccess { delivery_id }), None);
    assert!(when(&mut endpoint, exhausted(delivery_id)).is_some());
    assert_eq!(endpoint.state, EndpointState::Degraded);
    assert_eq!(when(&mut endpoint, exhausted(delivery_id)), None);
    assert!(when(&mut endpoint, EndpointCommand::NoteSuccess { delivery_id }).is_some());
    assert_eq!(endpoint.state, EndpointState::Active);
}

#[test]
fn health_does_not_touch_a_disabled_endpoint() {
    let mut endpoint = endpoint();
    when(&mut endpoint, EndpointCommand::Disable { reason: String::new() });
    let delivery_id = DeliveryId::MIN;
    assert_eq!(when(&mut endpoint, exhausted(delivery_id)), None);
    assert_eq!(when(&mut endpoint, EndpointCommand::NoteSuccess { delivery_id }), None);
}

#[test]
fn a_degraded_endpoint_says_which_delivery_failed_and_why() {
    let mut endpoint = endpoint();
    when(&mut endpoint, exhausted(DeliveryId::MIN));
    assert_eq!(
        endpoint.state_reason,
        format!(
            "delivery {} failed after its last retry: the receiver answered 500",
            DeliveryId::MIN
        )
    );
    let why = (endpoint.state_cause, endpoint.state_delivery);
    assert_eq!(why, (Some(StateCause::Exhausted), Some(DeliveryId::MIN)));
    when(&mut endpoint, EndpointCommand::NoteSuccess { delivery_id: DeliveryId::MAX });
    assert_eq!((endpoint.state_cause, endpoint.state_delivery), (None, None));
}

#[test]
fn a_delivery_without_a_body_degrades_an_active_endpoint_with_that_reason() {
    let mut endpoint = endpoint();
    let expired = |id| EndpointCommand::NoteExpired {
        delivery_id: id,
        reason: "the event's body is no longer kept".to_owned(),
    };
    assert!(when(&mut endpoint, expired(DeliveryId::MIN)).is_some());
    assert_eq!(endpoint.state, EndpointState::Degraded);
    let id = DeliveryId::MIN;
    let reason = format!("delivery {id} failed: the event's body is no longer kept");
    assert_eq!(endpoint.state_reason, reason);
    assert_eq!(when(&mut endpoint, expired(DeliveryId::MAX)), None, "the first delivery is named");
}

#[test]
fn failing_for_too_long_disables_a_degraded_endpoint_and_no_other() {
    let mut endpoint = endpoint();
    let failing =
        || EndpointCommand::NoteFailedTooLong { delivery_id: DeliveryId::MAX, since: now() };
    assert_eq!(when(&mut endpoint, failing()), None, "no delivery has failed for good");
    when(&mut endpoint, exhausted(DeliveryId::MIN));
    assert!(when(&mut endpoint, failing()).is_some());
    assert_eq!(endpoint.state, EndpointState::Disabled);
    assert!(
        endpoint.state_reason.starts_with("nothing but failures since 2026-04-23T10:30:00Z"),
        "{}",
        endpoint.state_reason
    );
    let why = (endpoint.state_cause, endpoint.state_delivery);
    assert_eq!(why, (Some(StateCause::FailedTooLong), Some(DeliveryId::MAX)));
    assert_eq!(when(&mut endpoint, failing()), None);
    assert_eq!(when(&mut endpoint, EndpointCommand::Enable), Some(EndpointFact::Enabled));
    assert_eq!((endpoint.state, endpoint.state_cause), (EndpointState::Active, None));
}

#[test]
fn gone_disables_at_once() {
    let mut endpoint = endpoint();
    let gone = EndpointCommand::NoteGone { delivery_id: DeliveryId::MIN };
    assert!(when(&mut endpoint, gone.clone()).is_some());
    assert_eq!(endpoint.state, EndpointState::Disabled);
    assert_eq!(endpoint.state_cause, Some(StateCause::Gone));
    assert_eq!(when(&mut endpoint, gone), None);
}

#[test]
fn the_etag_follows_the_configuration_and_not_the_health() {
    let mut endpoint = endpoint();
    let etag = endpoint.etag();
    when(&mut endpoint, exhausted(DeliveryId::MIN));
    assert_eq!(endpoint.etag(), etag);
    let rename =
        update(EndpointPatch { display_name: Some("new".to_owned()), ..Default::default() });
    when(&mut endpoint, rename.clone());
    assert_ne!(endpoint.etag(), etag);
    assert_eq!(endpoint.decide(rename, Some(&etag)), Err(EndpointRefusal::StaleEtag));
}

#[test]
fn an_update_that_changes_nothing_is_no_fact() {
    let mut endpoint = endpoint();
    let same = EndpointPatch { display_name: Some("siem".to_owned()), ..Default::default() };
    assert_eq!(when(&mut endpoint, update(same)), None);
}

#[test]
fn a_rotated_secret_keeps_its_predecessor_for_the_overlap() {
    let mut endpoint = endpoint();
    let rotate = |secret, previous_expire_time| EndpointCommand::RotateSecret {
        secret: sealed(secret),
        previous_expire_time,
    };
    when(&mut endpoint, rotate("second", Some(now())));
    let previous = endpoint.previous_secret.clone().expect("an overlap");
    assert_eq!((endpoint.secret.clone(), previous.secret), (sealed("second"), sealed("first")));
    when(&mut endpoint, rotate("third", None));
    assert_eq!((endpoint.secret, endpoint.previous_secret), (sealed("third"), None));
}

#[test]
fn nothing_can_be_done_to_a_deleted_endpoint() {
    let mut endpoint = endpoint();
    when(&mut endpoint, EndpointCommand::Delete);
    assert!(!endpoint.subscribes_to(EventType::PolicyBlock));
    assert_eq!(endpoint.decide(EndpointCommand::Enable, None), Err(EndpointRefusal::Deleted));
}

#[test]
fn subscriptions_are_sorted_and_without_repetitions() {
    let names = ["user.invited", "policy.block", "user.invited"].map(str::to_owned);
    let sorted = vec![EventType::PolicyBlock, EventType::UserInvited];
    assert_eq!(check_event_types("event_types", &names), Ok(sorted));
}

#[test]
fn every_wrong_subscription_is_named() {
    let names = ["policy.block", "policy.violated", "webhook.test"].map(str::to_owned);
    let violations = check_event_types("event_types", &names).expect_err("two are wrong");
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["event_types[1]", "event_types[2]"]);
    assert!(check_event_types("event_types", &[]).is_err());
}

/// What follows from an update of the URL and the format of an endpoint for PagerDuty.
fn moved(url: &str, payload: PayloadPatch) -> Result<Option<EndpointFact>, EndpointRefusal> {
    let mut alerts = endpoint();
    alerts.config.url = "https://events.example/v2".to_owned();
    alerts.config.payload_format = PayloadFormat::PagerDuty { routing_key: sealed("key") };
    // What is not sent now would be sent when it is enabled.
    alerts.state = EndpointState::Disabled;
    let patch = EndpointPatch {
        url: Some(url.to_owned()),
        payload_format: Some(payload),
        ..EndpointPatch::default()
    };
    alerts.decide(update(patch), None)
}

#[test]
fn a_routing_key_goes_to_no_server_but_its_own() {
    let kept = PayloadPatch::default;
    let refused = Err(EndpointRefusal::CredentialRequired(CredentialRequired));
    assert_eq!(moved("https://evil.example/v2", kept()), refused);
    let named = PayloadPatch { kind: Some(PayloadKind::PagerDuty), ..kept() };
    assert_eq!(moved("https://events.example:8443/v2", named), refused, "another port");
    let path = moved("https://events.example/v3", kept()).expect("the same server");
    assert!(path.is_some());
    let given = PayloadPatch { routing_key: Some(sealed("another")), ..kept() };
    assert!(moved("https://other.example/v2", given).expect("it is given anew").is_some());
    // The key stays behind, and must be given when the format is PagerDuty's again.
    let ours = PayloadPatch { kind: Some(PayloadKind::Keeptrusts), ..kept() };
    let fact = moved("https://other.example/v2", ours).expect("nothing is sent").expect("a change");
    let mut left = endpoint();
    left.config.payload_format = PayloadFormat::PagerDuty { routing_key: sealed("key") };
    left.apply(&fact, now());
    let back = PayloadPatch { kind: Some(PayloadKind::PagerDuty), ..kept() };
    let patch = EndpointPatch { payload_format: Some(back), ..EndpointPatch::default() };
    let back = left.decide(update(patch), None);
    assert!(matches!(back, Err(EndpointRefusal::Violations(_))), "{back:?}");
}

#[test]
fn an_update_keeps_the_previous_values_and_no_secret() {
    let mut endpoint = endpoint();
    endpoint.config.payload_format = PayloadFormat::PagerDuty { routing_key: sealed("key") };
    let payload = PayloadPatch { routing_key: Some(sealed("another")), ..PayloadPatch::default() };
    let patch = EndpointPatch {
        display_name: Some("siem".to_owned()),
        description: Some("notes".to_owned()),
        payload_format: Some(payload),
        ..EndpointPatch::default()
    };
    let fact = endpoint.decide(update(patch), None).expect("not refused");
    let Some(EndpointFact::Updated { patch, secret: None, before }) = fact else {
        panic!("{fact:?}")
    };
    let format = PayloadFormat::PagerDuty { routing_key: sealed("another") };
    let description = Some("notes".to_owned());
    let payload_format = Some(format);
    assert_eq!(patch, EndpointPatch { description, payload_format, ..EndpointPatch::default() });
    let description = Some(String::new());
    let payload_format = Some(PayloadFormat::PagerDuty { routing_key: () });
    assert_eq!(before, EndpointPatch { description, payload_format, ..EndpointPatch::default() });
}

#[test]
fn a_new_secret_alone_is_an_update_and_ends_an_overlap() {
    let mut endpoint = endpoint();
    let rotate = EndpointCommand::RotateSecret {
        secret: sealed("second"),
        previous_expire_time: Some(now()),
    };
    when(&mut endpoint, rotate);
    let third =
        EndpointCommand::Update { patch: EndpointPatch::default(), secret: Some(sealed("third")) };
    assert!(when(&mut endpoint, third).is_some());
    assert_eq!((endpoint.secret, endpoint.previous_secret), (sealed("third"), None));
}
