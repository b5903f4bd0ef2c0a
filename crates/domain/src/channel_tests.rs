use super::*;
use crate::secret::SealedSecret;

fn time(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn sealed(byte: u8) -> SealedSecret {
    SealedSecret { key_id: "k".to_owned(), nonce: [0; 12], ciphertext: vec![byte] }
}

fn channel() -> Channel {
    let config = ChannelConfig {
        display_name: "on call".to_owned(),
        destination: Destination {
            kind: ChannelKind::Webhook,
            address: "https://hooks.example/".to_owned(),
            secret: Some(sealed(1)),
        },
        subscriptions: vec![NotificationType::EndpointDegraded],
        endpoint_ids: Vec::new(),
    };
    let organization = "acme".parse().expect("valid");
    Channel::created(ChannelId::MIN, organization, config, time("2026-04-23T10:00:00Z"))
}

fn after(channel: &Channel, command: ChannelCommand) -> Channel {
    let mut channel = channel.clone();
    let fact = channel.decide(command, None).expect("not refused").expect("something to do");
    channel.apply(&fact, time("2026-04-23T11:00:00Z"));
    channel
}

#[test]
fn a_failure_and_a_success_are_facts_only_when_they_change_the_status() {
    let channel = channel();
    let fail = |reason: &str| ChannelCommand::NoteFailure { reason: reason.to_owned() };
    assert_eq!(channel.decide(ChannelCommand::NoteSuccess, None), Ok(None));
    let failing = after(&channel, fail("no route"));
    assert_eq!((failing.state, failing.state_reason.as_str()), (ChannelState::Failing, "no route"));
    assert_eq!(failing.state_time, time("2026-04-23T11:00:00Z"));
    assert_eq!(failing.etag(), channel.etag(), "health is no configuration");
    assert_eq!(failing.decide(fail("again"), None), Ok(None));
    let recovered = after(&failing, ChannelCommand::NoteSuccess);
    assert_eq!((recovered.state, recovered.state_reason.as_str()), (ChannelState::Active, ""));
}

#[test]
fn a_channel_gets_the_types_that_it_subscribes_to_about_its_endpoints() {
    let mut channel = channel();
    let (degraded, exhausted) =
        (NotificationType::EndpointDegraded, NotificationType::DeliveryExhausted);
    assert!(channel.subscribes_to(degraded, Some(EndpointId::MIN)));
    assert!(!channel.subscribes_to(exhausted, Some(EndpointId::MIN)));
    channel.config.endpoint_ids = vec![EndpointId::MAX];
    assert!(!channel.subscribes_to(degraded, Some(EndpointId::MIN)));
    assert!(channel.subscribes_to(degraded, Some(EndpointId::MAX)));
    let deleted = after(&channel, ChannelCommand::Delete);
    assert!(!deleted.subscribes_to(degraded, Some(EndpointId::MAX)));
    assert_eq!(deleted.decide(ChannelCommand::Delete, None), Err(ChannelRefusal::Deleted));
}

#[test]
fn an_update_keeps_the_previous_values_and_no_secret() {
    let channel = channel();
    let patch = ChannelPatch {
        display_name: Some("on call".to_owned()),
        destination: Some(Destination {
            kind: ChannelKind::Webhook,
            address: "https://other.example/".to_owned(),
            secret: None,
        }),
        ..ChannelPatch::default()
    };
    let moved = after(&channel, ChannelCommand::Update(patch.clone())).config.destination;
    assert_eq!((moved.address.as_str(), moved.secret), ("https://other.example/", Some(sealed(1))));
    let fact = channel.decide(ChannelCommand::Update(patch), None).expect("not refused");
    let Some(ChannelFact::Updated { patch, before }) = fact else { panic!("{fact:?}") };
    assert_eq!(patch.display_name, None, "it did not change");
    let destination = patch.destination.expect("it changed");
    assert_eq!(destination.secret, None, "it is not given, so that it stays");
    let before = before.destination.expect("told");
    assert_eq!((before.address.as_str(), before.secret), ("https://hooks.example/", None));
}

#[test]
fn a_secret_that_is_sent_goes_to_no_server_that_it_was_not_given_for() {
    let moved = |kind, address: &str, secret| {
        let mut channel = channel();
        let current = "https://hooks.example/a".to_owned();
        channel.config.destination =
            Destination { kind, address: current, secret: Some(sealed(1)) };
        let destination = Some(Destination { kind, address: address.to_owned(), secret });
        let patch = ChannelPatch { destination, ..ChannelPatch::default() };
        channel.decide(ChannelCommand::Update(patch), None).map(|fact| fact.is_some())
    };
    for (kind, is_sent) in [
        (ChannelKind::Slack, true),
        (ChannelKind::Teams, true),
        (ChannelKind::PagerDuty, true),
        (ChannelKind::Webhook, false),
    ] {
        assert_eq!(moved(kind, "https://hooks.example/b", None), Ok(true), "the same server");
        assert_eq!(moved(kind, "https://evil.example/", Some(sealed(2))), Ok(true), "given anew");
        for other in ["https://evil.example/a", "https://hooks.example:8443/a"] {
            let expected = match is_sent {
                true => Err(ChannelRefusal::CredentialRequired(CredentialRequired)),
                false => Ok(true),
            };
            assert_eq!(moved(kind, other, None), expected, "{kind:?} to {other}");
        }
    }
}

#[test]
fn an_update_is_refused_with_another_etag_or_kind() {
    let channel = channel();
    let nothing = ChannelCommand::Update(ChannelPatch::default());
    assert_eq!(channel.decide(nothing.clone(), Some("\"7\"")), Err(ChannelRefusal::StaleEtag));
    assert_eq!(channel.decide(nothing, Some("\"1\"")), Ok(None));
    let mail =
        Destination { kind: ChannelKind::Email, address: "a@example.com".to_owned(), secret: None };
    let patch = ChannelPatch { destination: Some(mail), ..ChannelPatch::default() };
    let refused = channel.decide(ChannelCommand::Update(patch), None);
    let other_kind = ChannelRefusal::OtherKind {
        current: channel.config.destination.kind,
        given: ChannelKind::Email,
    };
    assert_eq!(refused, Err(other_kind));
}
