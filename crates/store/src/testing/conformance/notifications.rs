//! Notification channels, notifications and incidents.

use std::time::Duration;

use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelConfig, ChannelFact, ChannelKind, ChannelPatch, ChannelState, Destination,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::health::{AttemptTally, EndpointTally, HealthSummary, week_of};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId};
use keeptrusts_webhooks_domain::incident::{Incident, IncidentAction};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::mail_limits::MailAttempts;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationAttempt, NotificationFact, NotificationState,
    NotificationType,
};
use ulid::Ulid;

use super::Fixture;
use super::given::*;
use crate::log::operation::{ExpectedVersion, Operation, Refusal};
use crate::log::rows::EndpointIncident;
use crate::queries::NotificationFilter;
use crate::queries::notifications::ExhaustionNotification;

fn channel_id(number: u128) -> ChannelId {
    ChannelId::new(Ulid(number))
}

fn notification_id(number: u128) -> NotificationId {
    NotificationId::new(Ulid(number))
}

pub(super) fn create_channel(id: ChannelId, kind: ChannelKind) -> Operation {
    let config = ChannelConfig {
        display_name: format!("channel {id}"),
        destination: Destination {
            kind,
            address: "https://hooks.example/".to_owned(),
            secret: (kind != ChannelKind::Email).then(|| sealed("secret")),
        },
        subscriptions: vec![NotificationType::DeliveryExhausted, NotificationType::WeeklySummary],
        endpoint_ids: Vec::new(),
    };
    change_channel(id, ExpectedVersion::New, ChannelFact::Created(config))
}

pub(super) fn change_channel(
    id: ChannelId,
    expected: ExpectedVersion,
    fact: ChannelFact,
) -> Operation {
    operation(Stream::Channel(id), expected, Fact::Channel(fact))
}

fn new(channel: ChannelId, notification_type: NotificationType, due: &str) -> NewNotification {
    NewNotification {
        channel_id: channel,
        notification_type,
        endpoint_id: Some(EndpointId::new(Ulid(9))),
        delivery_id: None,
        count: 1,
        since: time("2026-04-23T10:00:00.000001Z"),
        reason: "answered 500".to_owned(),
        due_time: time(due),
        summary: None,
        incident: None,
    }
}

fn raise(id: NotificationId, new: NewNotification, cause: i64) -> Operation {
    let fact = NotificationFact::Raised(Box::new(new));
    let mut operation = note(id, ExpectedVersion::New, fact);
    operation.metadata.causation = (cause > 0).then_some(Position(cause));
    operation
}

fn note(id: NotificationId, expected: ExpectedVersion, fact: NotificationFact) -> Operation {
    operation(Stream::Notification(id), expected, Fact::Notification(fact))
}

fn attempt(number: u32, status_code: Option<u16>) -> NotificationAttempt {
    NotificationAttempt {
        number,
        start_time: time("2026-04-23T10:30:00.000003Z"),
        duration: Duration::from_micros(1_234_567),
        status_code,
        recipients: 0,
    }
}

fn sent(number: u32, count: u32) -> NotificationFact {
    NotificationFact::Sent { attempt: attempt(number, Some(200)), count }
}

async fn read(fixture: &Fixture, id: NotificationId) -> Notification {
    let found = fixture.store().notification(SHARD, &organization(), id).await.expect("reads");
    found.expect("it was raised")
}

fn ids(rows: &[Channel]) -> Vec<u128> {
    rows.iter().map(|row| row.id.ulid().0).collect()
}

pub(crate) async fn a_channel_is_what_its_records_say(fixture: Fixture) {
    for (number, kind) in (1..).zip(ChannelKind::ALL) {
        fixture.append(create_channel(channel_id(number), *kind)).await;
    }
    let id = channel_id(1);
    let limited = ChannelPatch {
        display_name: Some("\"quoted\" 'name'".to_owned()),
        destination: Some(Destination {
            kind: ChannelKind::Slack,
            address: "https://other.example/".to_owned(),
            secret: Some(sealed("other")),
        }),
        subscriptions: Some(vec![NotificationType::EndpointDisabled]),
        endpoint_ids: Some(vec![EndpointId::MIN, EndpointId::MAX]),
    };
    let steps = [
        ChannelFact::Updated { patch: limited.clone(), before: ChannelPatch::default() },
        ChannelFact::Failing { reason: "no route".to_owned() },
    ];
    let mut recorded_at = None;
    for step in steps {
        fixture.advance(Duration::from_millis(2)).await;
        recorded_at = Some(
            fixture.append(change_channel(id, ExpectedVersion::Any, step)).await[0].recorded_at,
        );
    }
    let store = fixture.store();
    let found = store.channel(SHARD, &organization(), id).await.expect("reads").expect("there");
    assert_eq!(Some(&found.config.display_name), limited.display_name.as_ref());
    assert_eq!(Some(&found.config.destination), limited.destination.as_ref());
    assert_eq!(found.config.subscriptions, [NotificationType::EndpointDisabled]);
    assert_eq!(found.config.endpoint_ids, [EndpointId::MIN, EndpointId::MAX]);
    assert_eq!((found.state, found.state_reason.as_str()), (ChannelState::Failing, "no route"));
    assert_eq!((found.config_version, found.version), (Version(2), Version(3)));
    assert_eq!((Some(found.state_time), Some(found.update_time)), (recorded_at, recorded_at));
    let other = store.channel(SHARD, &other_organization(), id).await.expect("reads");
    assert_eq!(other, None, "it is another organization's");
    let mail = store.channel(SHARD, &organization(), channel_id(5)).await.expect("reads");
    let mail = mail.expect("there").config.destination;
    assert_eq!((mail.kind, mail.secret), (ChannelKind::Email, None));
}

pub(crate) async fn channels_are_listed_without_deleted_ones(fixture: Fixture) {
    for number in 1..=5 {
        fixture.append(create_channel(channel_id(number), ChannelKind::Webhook)).await;
    }
    let others = create_channel(channel_id(6), ChannelKind::Webhook).of(other_organization());
    fixture.append(others).await;
    fixture.append(change_channel(channel_id(3), ExpectedVersion::Any, ChannelFact::Deleted)).await;
    let store = fixture.store();
    let list = async |before, limit| {
        let rows = store.list_channels(SHARD, &organization(), before, limit).await;
        ids(&rows.expect("reads"))
    };
    assert_eq!(list(ChannelId::MAX, 3).await, [5, 4, 2]);
    assert_eq!(list(channel_id(2), 3).await, [1]);
    let page = store.shard_channels(SHARD, ChannelId::MIN, 3).await.expect("reads");
    assert_eq!(ids(&page), [1, 2, 4]);
    let page = store.shard_channels(SHARD, channel_id(4), 3).await.expect("reads");
    assert_eq!(ids(&page), [5, 6], "of every organization");
    let refused = fixture
        .results(&[change_channel(channel_id(1), ExpectedVersion::Any, ChannelFact::Recovered)
            .of(other_organization())])
        .await;
    assert!(matches!(refused[0], Err(Refusal::NoSuchStream(_))), "{:?}", refused[0]);
}

pub(crate) async fn a_notification_is_what_its_records_say(fixture: Fixture) {
    let (id, channel) = (notification_id(1), channel_id(1));
    let mut raised = new(channel, NotificationType::WeeklySummary, "2026-04-23T10:30:00.000002Z");
    raised.summary = Some(HealthSummary {
        week: week_of(time("2026-04-20T00:00:00Z")),
        total: AttemptTally { delivered: 7, retrying: 3, failed: 1 },
        endpoint_count: 2,
        worst: vec![EndpointTally {
            endpoint_id: EndpointId::MAX,
            tally: AttemptTally { delivered: 2, retrying: 3, failed: 1 },
            median_duration: None,
        }],
    });
    let begun = fixture.append(raise(id, raised.clone(), 41)).await[0].recorded_at;
    let row = read(&fixture, id).await;
    let expected = Notification::raised(id, organization(), raised, Position(41), begun);
    assert_eq!(row, expected);
    let counted = NotificationFact::Counted { count: 4, delivery_id: Some(delivery_id()) };
    let mut counted = note(id, ExpectedVersion::Exactly(Version(1)), counted);
    counted.metadata.causation = Some(Position(43));
    let retry = time("2026-04-23T10:31:00.000004Z");
    let failed = NotificationFact::Failed {
        attempt: attempt(1, None),
        error: "connection refused".to_owned(),
        next_attempt_time: Some(retry),
    };
    fixture.append_all(&[counted, note(id, ExpectedVersion::Any, failed)]).await;
    let row = read(&fixture, id).await;
    assert_eq!((row.new.count, row.cause, row.due_time), (5, Position(43), Some(retry)));
    assert_eq!(row.last_attempt, Some(attempt(1, None)));
    assert_eq!((row.state, row.error.as_str()), (NotificationState::Waiting, "connection refused"));
    let ended = fixture.append(note(id, ExpectedVersion::Any, sent(2, 5))).await[0].recorded_at;
    let row = read(&fixture, id).await;
    assert_eq!(
        (row.state, row.due_time, row.end_time),
        (NotificationState::Sent, None, Some(ended))
    );
    assert_eq!((row.last_attempt, row.version), (Some(attempt(2, Some(200))), Version(4)));
}

pub(crate) async fn a_notification_that_expects_version_0_is_raised_once(fixture: Fixture) {
    let raise = || {
        let new = new(channel_id(1), NotificationType::WeeklySummary, "2026-04-23T10:30:00Z");
        let fact = NotificationFact::Raised(Box::new(new));
        note(notification_id(1), ExpectedVersion::Exactly(Version(0)), fact)
    };
    let results = fixture.results(&[raise(), raise()]).await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(Refusal::StaleVersion { .. })), "{:?}", results[1]);
    let again = fixture.results(&[raise()]).await;
    assert!(matches!(again[0], Err(Refusal::StaleVersion { .. })), "{:?}", again[0]);
}

pub(crate) async fn notifications_are_listed_newest_first_and_by_channel(fixture: Fixture) {
    for number in 1..=6_u128 {
        let channel = channel_id(number % 2);
        let new = new(channel, NotificationType::Test, "2026-04-23T10:30:00Z");
        fixture.append(raise(notification_id(number), new, 0)).await;
    }
    let others = new(channel_id(8), NotificationType::Test, "2026-04-23T10:30:00Z");
    fixture.append(raise(notification_id(7), others, 0).of(other_organization())).await;
    let store = fixture.store();
    fixture.append(note(notification_id(3), ExpectedVersion::Any, sent(1, 1))).await;
    fixture.append(note(notification_id(4), ExpectedVersion::Any, sent(1, 1))).await;
    let list = async |channels: &[ChannelId], states: &[NotificationState], before, limit| {
        let filter = NotificationFilter {
            channel_ids: channels.to_vec().into(),
            states: states.to_vec().into(),
        };
        let us = organization();
        let page = store.list_notifications(SHARD, &us, &filter, before, limit).await;
        page.expect("reads").rows.iter().map(|row| row.id.ulid().0).collect::<Vec<_>>()
    };
    let (end, odd, even) = (NotificationId::MAX, channel_id(1), channel_id(0));
    assert_eq!(list(&[], &[], end, 4).await, [6, 5, 4, 3]);
    assert_eq!(list(&[], &[], notification_id(3), 4).await, [2, 1]);
    assert_eq!(list(&[odd], &[], end, 2).await, [5, 3]);
    assert_eq!(list(&[odd], &[], notification_id(3), 2).await, [1]);
    assert_eq!(list(&[channel_id(9)], &[], end, 2).await, []);
    assert_eq!(list(&[channel_id(8)], &[], end, 2).await, [], "another organization's");
    assert_eq!(list(&[odd, even, odd], &[], end, 9).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(&[odd, channel_id(9)], &[], end, 9).await, [5, 3, 1]);
    let (waiting, sent) = (NotificationState::Waiting, NotificationState::Sent);
    assert_eq!(list(&[], &[sent], end, 9).await, [4, 3]);
    assert_eq!(list(&[], &[waiting, sent, waiting], end, 9).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(&[], &[NotificationState::Failed], end, 9).await, []);
    assert_eq!(list(&[odd], &[waiting], end, 9).await, [5, 1]);
    assert_eq!(list(&[odd, channel_id(9)], &[sent], end, 9).await, [3]);
}

pub(crate) async fn waiting_notifications_are_found_by_channel_in_the_order_of_their_due_times(
    fixture: Fixture,
) {
    let kind = NotificationType::EndpointDegraded;
    let (one, other) = (channel_id(1), channel_id(2));
    let raised = [
        raise(notification_id(1), new(one, kind, "2026-04-23T10:32:00Z"), 0),
        raise(notification_id(2), new(one, kind, "2026-04-23T10:31:00Z"), 0),
        raise(notification_id(3), new(one, kind, "2026-04-23T10:31:00Z"), 0),
        raise(notification_id(4), new(other, kind, "2026-04-23T10:33:00Z"), 0),
        raise(notification_id(5), new(channel_id(3), kind, "2026-04-23T10:33:00Z"), 0),
    ];
    fixture.append_all(&raised).await;
    fixture.append(note(notification_id(5), ExpectedVersion::Any, sent(1, 1))).await;
    let store = fixture.store();
    let waiting = async |channel, limit| {
        let rows = store.waiting_notifications(SHARD, channel, limit).await.expect("reads");
        rows.iter().map(|row| row.id.ulid().0).collect::<Vec<_>>()
    };
    assert_eq!(waiting(one, 9).await, [2, 3, 1]);
    assert_eq!(waiting(one, 2).await, [2, 3]);
    assert_eq!(waiting(channel_id(3), 2).await, []);
    let mut channels = store.waiting_channels(SHARD).await.expect("reads");
    channels.sort();
    let expected = [(one, time("2026-04-23T10:31:00Z")), (other, time("2026-04-23T10:33:00Z"))];
    assert_eq!(channels, expected);
}

pub(crate) async fn exhaustion_notifications_are_found_while_they_wait_and_for_a_while_after(
    fixture: Fixture,
) {
    let exhausted = NotificationType::DeliveryExhausted;
    let channel = channel_id(1);
    let due = "2026-04-23T10:31:00Z";
    let raised = [
        raise(notification_id(1), new(channel, exhausted, due), 11),
        raise(notification_id(2), new(channel, exhausted, due), 13),
        raise(notification_id(3), new(channel, exhausted, due), 12),
        raise(notification_id(4), new(channel, NotificationType::EndpointDegraded, due), 14),
        raise(notification_id(5), new(channel, NotificationType::Test, due), 0),
    ];
    fixture.append_all(&raised).await;
    let others = new(channel, exhausted, due);
    fixture.append(raise(notification_id(6), others, 10).of(other_organization())).await;
    fixture
        .append(note(notification_id(6), ExpectedVersion::Any, sent(1, 1)).of(other_organization()))
        .await;
    fixture.append(note(notification_id(1), ExpectedVersion::Any, sent(1, 1))).await;
    fixture.advance(Duration::from_millis(2)).await;
    let ended = fixture.append(note(notification_id(2), ExpectedVersion::Any, sent(1, 1))).await;
    let store = fixture.store();
    let mut told =
        store.exhaustion_notifications(SHARD, ended[0].recorded_at).await.expect("reads");
    told.sort_by_key(|told| told.notification_id);
    let of = |number, sent_time: Option<_>| ExhaustionNotification {
        notification_id: notification_id(number),
        channel_id: channel,
        endpoint_id: EndpointId::new(Ulid(9)),
        sent_time,
        is_waiting: sent_time.is_none(),
        count: 1,
        cause: Position(if number == 2 { 13 } else { 12 }),
        opens_incident: false,
    };
    assert_eq!(told, [of(2, Some(ended[0].recorded_at)), of(3, None)]);
    let causes = async |after| {
        let mut causes = store.last_causes(SHARD, Position(after)).await.expect("reads");
        causes.sort();
        causes
    };
    let (acme, globex) = ((organization(), Position(14)), (other_organization(), Position(10)));
    assert_eq!(causes(0).await, [acme.clone(), globex]);
    assert_eq!(causes(10).await, [acme]);
    assert_eq!(causes(14).await, []);
}

fn about_incident(channel: u128, action: IncidentAction) -> NewNotification {
    let kind = match action {
        IncidentAction::Open => NotificationType::DeliveryExhausted,
        IncidentAction::Close | IncidentAction::CloseAt(_) => NotificationType::IncidentResolved,
    };
    let incident = Some(action);
    NewNotification { incident, ..new(channel_id(channel), kind, "2026-04-23T10:31:00Z") }
}

pub(crate) async fn an_incident_is_open_until_its_service_was_notified_of_its_end(
    fixture: Fixture,
) {
    let store = fixture.store();
    let open = async || {
        let found = store.open_incidents(SHARD).await.expect("reads");
        let mut found: Vec<_> =
            found.into_iter().map(|known| (known.channel_id, known.incident)).collect();
        found.sort_by_key(|(channel, _)| *channel);
        found
    };
    let (opens, closes) = (|| IncidentAction::Open, || IncidentAction::Close);
    let incident = |opened, closing, closed| Incident {
        opened: Position(opened),
        closing: Position(closing),
        closed: Position(closed),
    };
    fixture.append(raise(notification_id(1), about_incident(1, opens()), 11)).await;
    let known = EndpointIncident {
        organization_id: organization(),
        channel_id: channel_id(1),
        endpoint_id: EndpointId::new(Ulid(9)),
        incident: incident(11, 0, 0),
    };
    assert_eq!(store.open_incidents(SHARD).await.expect("reads"), [known]);
    let counted = NotificationFact::Counted { count: 1, delivery_id: None };
    let mut counted = note(notification_id(1), ExpectedVersion::Any, counted);
    counted.metadata.causation = Some(Position(13));
    fixture.append(counted).await;
    fixture.append(raise(notification_id(2), about_incident(1, closes()), 14)).await;
    assert_eq!(open().await, [(channel_id(1), incident(13, 14, 0))], "it was not told yet");
    // A new failure, before the end of the old one was sent.
    fixture.append(raise(notification_id(3), about_incident(1, opens()), 15)).await;
    fixture.append(note(notification_id(2), ExpectedVersion::Any, sent(1, 1))).await;
    assert_eq!(open().await, [(channel_id(1), incident(15, 14, 14))]);
    fixture.append(raise(notification_id(4), about_incident(1, closes()), 16)).await;
    fixture.append(note(notification_id(4), ExpectedVersion::Any, sent(1, 1))).await;
    assert_eq!(open().await, []);

    // Whether an incident is closed at a previous service of the channel is decided by the notification.
    let destination = Destination {
        kind: ChannelKind::PagerDuty,
        address: "https://old.example/".to_owned(),
        secret: Some(sealed("old")),
    };
    let elsewhere = IncidentAction::CloseAt(Box::new(destination));
    fixture
        .append_all(&[
            raise(notification_id(5), about_incident(2, opens()), 17),
            raise(notification_id(6), about_incident(2, elsewhere.clone()), 18),
            raise(notification_id(7), about_incident(3, opens()), 19),
        ])
        .await;
    assert_eq!(read(&fixture, notification_id(6)).await.new.incident, Some(elsewhere));
    assert_eq!(open().await, [(channel_id(3), incident(19, 0, 0))]);
    let reason = "it is over".to_owned();
    let withdrawn = NotificationFact::Withdrawn { reason: reason.clone() };
    fixture.append(note(notification_id(7), ExpectedVersion::Any, withdrawn)).await;
    let row = read(&fixture, notification_id(7)).await;
    assert_eq!((row.state, row.due_time), (NotificationState::Withdrawn, None));
    assert_eq!(row.error, reason);
    // Folded in one batch, they are the same as in many.
    assert_eq!(store.check(SHARD, 9, &|_| ()).await.expect("checked"), []);
    let before = open().await;
    store.rebuild(SHARD, &|_| ()).await.expect("rebuilt");
    assert_eq!(open().await, before);
}

pub(crate) async fn sent_mail_is_counted_by_organization_for_a_while(fixture: Fixture) {
    let sent_to = |recipients, number| NotificationFact::Sent {
        attempt: NotificationAttempt { recipients, ..attempt(number, Some(250)) },
        count: 1,
    };
    for number in 1..=3 {
        let new = new(channel_id(1), NotificationType::Test, "2026-04-23T10:30:00Z");
        fixture.append(raise(notification_id(number), new, 0)).await;
    }
    let failed = NotificationFact::Failed {
        attempt: NotificationAttempt { recipients: 2, ..attempt(3, Some(451)) },
        error: "not now".to_owned(),
        next_attempt_time: None,
    };
    let ended = [
        note(notification_id(1), ExpectedVersion::Any, sent_to(7, 1)),
        note(notification_id(2), ExpectedVersion::Any, sent_to(0, 1)),
        note(notification_id(3), ExpectedVersion::Any, failed),
    ];
    fixture.append_all(&ended).await;
    let store = fixture.store();
    let begun = attempt(1, None).start_time;
    let sent = async |organization, since: &str| {
        let found = store.mail_sent(SHARD, &organization, time(since)).await.expect("reads");
        let mut found: Vec<_> = found;
        found.sort_by_key(|sent| sent.messages);
        found
    };
    let expected = [(1, 7), (3, 2)].map(|(messages, recipients)| MailAttempts {
        time: begun,
        messages,
        recipients,
    });
    assert_eq!(sent(organization(), "2026-04-23T10:30:00.000003Z").await, expected);
    assert_eq!(sent(organization(), "2026-04-23T10:30:00.000004Z").await, []);
    assert_eq!(sent(other_organization(), "2026-04-23T10:30:00Z").await, []);
    let row = read(&fixture, notification_id(1)).await;
    assert_eq!(row.last_attempt.map(|attempt| attempt.recipients), Some(7));
}

pub(crate) async fn channels_and_notifications_are_rebuilt_as_they_were(fixture: Fixture) {
    fixture.append(create_channel(channel_id(1), ChannelKind::PagerDuty)).await;
    fixture.append(create_channel(channel_id(2), ChannelKind::Email)).await;
    fixture.append(change_channel(channel_id(2), ExpectedVersion::Any, ChannelFact::Deleted)).await;
    let new = new(channel_id(1), NotificationType::DeliveryExhausted, "2026-04-23T10:31:00Z");
    fixture.append(raise(notification_id(1), new, 2)).await;
    fixture.append(note(notification_id(1), ExpectedVersion::Any, sent(1, 1))).await;
    let store = fixture.store();
    let all = async || {
        let channel = store.channel(SHARD, &organization(), channel_id(1)).await.expect("reads");
        let deleted = store.channel(SHARD, &organization(), channel_id(2)).await.expect("reads");
        (channel, deleted, read(&fixture, notification_id(1)).await)
    };
    let before = all().await;
    assert_eq!(store.check(SHARD, 9, &|_| ()).await.expect("checked"), []);
    store.rebuild(SHARD, &|_| ()).await.expect("rebuilt");
    assert_eq!(all().await, before);
}
