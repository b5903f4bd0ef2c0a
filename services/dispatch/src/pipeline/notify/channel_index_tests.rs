use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::channel::{
    ChannelConfig, ChannelFact, ChannelKind, ChannelPatch, Destination,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, OperationId};
use keeptrusts_webhooks_domain::log::{Stream, Version};
use ulid::Ulid;

use super::super::relevance::withdrawn_because;
use super::*;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn organization() -> OrganizationId {
    "acme".parse().expect("valid")
}

fn channel(number: u128, subscriptions: &[NotificationType]) -> Channel {
    channel_of(ChannelKind::Email, number, subscriptions)
}

fn pager(number: u128, subscriptions: &[NotificationType]) -> Channel {
    channel_of(ChannelKind::PagerDuty, number, subscriptions)
}

fn channel_of(kind: ChannelKind, number: u128, subscriptions: &[NotificationType]) -> Channel {
    let config = ChannelConfig {
        display_name: "on call".to_owned(),
        destination: Destination { kind, address: "a@example.com".to_owned(), secret: None },
        subscriptions: subscriptions.to_vec(),
        endpoint_ids: Vec::new(),
    };
    Channel::created(ChannelId::new(Ulid(number)), organization(), config, time(0))
}

fn cause(notification_type: NotificationType, position: i64) -> NotificationCause {
    NotificationCause {
        organization_id: organization(),
        notification_type: Some(notification_type),
        ends_trouble: false,
        endpoint_id: EndpointId::MIN,
        delivery_id: Some(DeliveryId::new(Ulid(position as u128))),
        reason: "answered 500".to_owned(),
        position: Position(position),
        time: time(position),
    }
}

/// Decides at a time, and records the decisions.
fn go_on(
    channel_index: &mut ChannelIndex,
    causes: &[NotificationCause],
    now: i64,
) -> Vec<Decision> {
    let mut next = now as u128 * 1_000;
    let decisions = channel_index.decide(
        causes,
        time(now),
        |_| false,
        || {
            next += 1;
            NotificationId::new(Ulid(next))
        },
    );
    let until = causes.last().expect("some").position;
    channel_index.recorded(&organization(), &decisions, until, time(now));
    decisions
}

fn row(decision: &Decision) -> Notification {
    let NotificationFact::Raised(new) = &decision.fact else { panic!("{decision:?}") };
    let (id, new) = (decision.notification_id, (**new).clone());
    Notification::raised(id, organization(), new, Position(1), time(0))
}

/// The trouble is over, which channels with a subscription are notified of.
fn end(notification_type: Option<NotificationType>, position: i64) -> NotificationCause {
    let reason = "the endpoint was enabled".to_owned();
    NotificationCause {
        notification_type,
        ends_trouble: true,
        reason,
        ..cause(EXHAUSTED, position)
    }
}

/// The row of a decision that was recorded at a position.
fn row_at(decision: &Decision, position: i64) -> Notification {
    Notification { cause: Position(position), ..row(decision) }
}

fn raised_of(decision: &Decision) -> &NewNotification {
    let NotificationFact::Raised(new) = &decision.fact else { panic!("{decision:?}") };
    new
}

/// Why it is withdrawn, as far as incidents decide.
fn withdrawn(channel_index: &ChannelIndex, row: &Notification) -> Option<&'static str> {
    let incident = channel_index.incident(row.new.channel_id, EndpointId::MIN);
    withdrawn_because(row, incident, None)
}

const EXHAUSTED: NotificationType = NotificationType::DeliveryExhausted;
const DEGRADED: NotificationType = NotificationType::EndpointDegraded;

#[test]
fn deliveries_exhausted_together_are_one_record_for_each_channel() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(channel(1, &[EXHAUSTED, DEGRADED]));
    channel_index.put(channel(2, &[EXHAUSTED]));
    let many: Vec<_> =
        (1..=5).map(|position| cause(EXHAUSTED, position)).chain([cause(DEGRADED, 6)]).collect();
    let decisions = go_on(&mut channel_index, &many, 10);
    assert_eq!(decisions.len(), 3, "{decisions:?}");
    for decision in &decisions {
        let NotificationFact::Raised(new) = &decision.fact else { panic!("{decision:?}") };
        let expected = if new.notification_type == EXHAUSTED { (5, 1) } else { (1, 6) };
        assert_eq!((new.count, new.since), (expected.0, time(expected.1)));
        assert_eq!(new.due_time, time(10), "at once");
    }
    assert!(channel_index.is_decided(&many[5]) && !channel_index.is_decided(&cause(DEGRADED, 7)));
}

#[test]
fn later_ones_are_counted_and_sent_an_hour_after_the_last_message() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(channel(1, &[EXHAUSTED]));
    let first = go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10).remove(0);
    let second = go_on(&mut channel_index, &[cause(EXHAUSTED, 2)], 11).remove(0);
    assert_eq!(second.notification_id, first.notification_id, "it was not sent yet");
    assert!(matches!(second.fact, NotificationFact::Counted { count: 1, .. }));
    let mut sent = row(&first);
    sent.new.count = 2;
    assert_eq!(channel_index.remainder(&sent, time(20)), None, "both are in the message");
    channel_index.sent(&sent, time(20), None);
    let third = go_on(&mut channel_index, &[cause(EXHAUSTED, 3)], 30).remove(0);
    assert_eq!(row(&third).new.due_time, time(20 + 3_600));
    // After an hour and more without any, at once again.
    channel_index.sent(&row(&third), time(3_620), None);
    let fourth = go_on(&mut channel_index, &[cause(EXHAUSTED, 4)], 9_000).remove(0);
    assert_eq!(row(&fourth).new.due_time, time(9_000));
}

#[test]
fn deliveries_counted_too_late_for_a_message_are_in_the_next() {
    let mut channel_index = ChannelIndex::default();
    let of = channel(1, &[EXHAUSTED]);
    channel_index.put(of.clone());
    let first = go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10).remove(0);
    channel_index.note_read(of.id);
    let sent = row(&first);
    go_on(&mut channel_index, &[cause(EXHAUSTED, 2), cause(EXHAUSTED, 3)], 12);
    let (remainder, left_over_cause) =
        channel_index.remainder(&sent, time(20)).expect("two came too late");
    assert_eq!(left_over_cause, Position(3));
    assert_eq!((remainder.count, remainder.since), (2, time(12)));
    assert_eq!(remainder.due_time, time(20 + 3_600));
    let id = NotificationId::MAX;
    channel_index.sent(&sent, time(20), Some((id, remainder.count)));
    let counted = go_on(&mut channel_index, &[cause(EXHAUSTED, 4)], 30).remove(0);
    assert_eq!(counted.notification_id, id);
}

#[test]
fn the_next_owner_knows_waiting_and_sent_notifications() {
    let mut channel_index = ChannelIndex::default();
    let of = channel(1, &[EXHAUSTED]);
    channel_index.put(of.clone());
    let told = |sent_time: Option<_>| ExhaustionNotification {
        notification_id: NotificationId::MIN,
        channel_id: of.id,
        endpoint_id: EndpointId::MIN,
        sent_time,
        is_waiting: sent_time.is_none(),
        count: 3,
        cause: Position(7),
        opens_incident: false,
    };
    channel_index.restore(
        vec![told(Some(time(100)))],
        vec![(organization(), Position(7))],
        Vec::new(),
    );
    assert!(
        channel_index.is_decided(&cause(EXHAUSTED, 7))
            && !channel_index.is_decided(&cause(EXHAUSTED, 8))
    );
    let next =
        channel_index.decide(&[cause(EXHAUSTED, 8)], time(200), |_| false, || NotificationId::MAX);
    assert_eq!(row(&next[0]).new.due_time, time(100 + 3_600));
    channel_index.restore(vec![told(None)], Vec::new(), Vec::new());
    let next =
        channel_index.decide(&[cause(EXHAUSTED, 8)], time(200), |_| false, || NotificationId::MAX);
    assert_eq!(next[0].notification_id, NotificationId::MIN, "it is counted");
}

#[test]
fn groups_that_no_longer_matter_are_dropped() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(channel(1, &[EXHAUSTED]));
    for number in 0..5_000_i64 {
        let endpoint_id = EndpointId::new(Ulid(number as u128));
        let cause = NotificationCause { endpoint_id, ..cause(EXHAUSTED, number + 1) };
        let now = number * 60;
        let raised = go_on(&mut channel_index, &[cause], now).remove(0);
        channel_index.sent(&row(&raised), time(now), None);
    }
    assert!(channel_index.groups.len() < 2_000, "{} groups", channel_index.groups.len());
}

#[test]
fn an_open_incident_is_closed_whatever_its_channel_subscribes_to() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(pager(1, &[EXHAUSTED]));
    channel_index.put(pager(2, &[NotificationType::EndpointRecovered]));
    channel_index.put(channel(3, &[EXHAUSTED]));
    let trouble = go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10);
    assert_eq!(trouble.len(), 2);
    let trigger = row_at(&trouble[0], 1);
    assert_eq!(trigger.new.incident, Some(IncidentAction::Open));
    assert_eq!(row(&trouble[1]).new.incident, None, "mail is told, and that is all");
    assert_eq!(withdrawn(&channel_index, &trigger), None);

    let ends = go_on(&mut channel_index, &[end(None, 5)], 20);
    assert_eq!(ends.len(), 1, "the one that was told of trouble: {ends:?}");
    let new = raised_of(&ends[0]);
    assert_eq!(new.notification_type, NotificationType::IncidentResolved);
    assert_eq!((&new.incident, new.due_time), (&Some(IncidentAction::Close), time(20)));
    assert_eq!(withdrawn(&channel_index, &trigger), Some("it was over before it could be told"));
    let resolve = row_at(&ends[0], 5);
    assert_eq!(withdrawn(&channel_index, &resolve), None);
    channel_index.sent(&resolve, time(21), None);
    assert_eq!(withdrawn(&channel_index, &resolve), Some("the service has no incident open"));
    assert_eq!(go_on(&mut channel_index, &[end(None, 6)], 30), [], "there is nothing to close");
}

#[test]
fn a_channel_that_subscribes_to_recoveries_gets_one_notification_of_the_end() {
    let recovered = NotificationType::EndpointRecovered;
    let mut channel_index = ChannelIndex::default();
    channel_index.put(pager(1, &[DEGRADED, recovered]));
    assert_eq!(go_on(&mut channel_index, &[end(Some(recovered), 1)], 5), [], "nothing was opened");
    go_on(&mut channel_index, &[cause(DEGRADED, 2)], 10);
    let ends = go_on(&mut channel_index, &[end(Some(recovered), 3)], 20);
    let told: Vec<_> = ends.iter().map(|end| raised_of(end).notification_type).collect();
    assert_eq!(told, [recovered]);
}

#[test]
fn an_unsent_resolution_is_withdrawn_when_there_is_new_trouble() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(pager(1, &[EXHAUSTED]));
    go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10);
    let resolve = row_at(&go_on(&mut channel_index, &[end(None, 2)], 20)[0], 2);
    let again = go_on(&mut channel_index, &[cause(EXHAUSTED, 3)], 30).remove(0);
    assert_eq!(raised_of(&again).due_time, time(30), "another incident is told at once");
    assert_eq!(withdrawn(&channel_index, &resolve), Some("there is new trouble"));
    assert_eq!(withdrawn(&channel_index, &row_at(&again, 3)), None);
    // It was under way when the new trouble came: the incident that it closed is open again.
    channel_index.sent(&resolve, time(31), None);
    let last = row_at(&go_on(&mut channel_index, &[end(None, 4)], 40)[0], 4);
    assert_eq!(withdrawn(&channel_index, &last), None);
}

#[test]
fn delayed_notifications_about_a_recovered_endpoint_are_withdrawn() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(pager(1, &[EXHAUSTED]));
    let first = go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10).remove(0);
    channel_index.sent(&row_at(&first, 1), time(11), None);
    let held_back = go_on(&mut channel_index, &[cause(EXHAUSTED, 2)], 20).remove(0);
    assert_eq!(raised_of(&held_back).due_time, time(11 + 3_600));
    let resolve = row_at(&go_on(&mut channel_index, &[end(None, 3)], 30)[0], 3);
    channel_index.sent(&resolve, time(31), None);
    assert!(withdrawn(&channel_index, &row_at(&held_back, 2)).is_some());
}

#[test]
fn the_last_attempts_at_an_endpoint_stopped_by_hand_open_no_incident() {
    let mut channel_index = ChannelIndex::default();
    channel_index.put(pager(1, &[EXHAUSTED]));
    channel_index.put(channel(2, &[EXHAUSTED]));
    let decide =
        channel_index.decide(&[cause(EXHAUSTED, 1)], time(10), |_| true, || NotificationId::MAX);
    let told: Vec<_> = decide.iter().map(|decision| decision.channel_id).collect();
    assert_eq!(told, [ChannelId::new(Ulid(2))]);
}

#[test]
fn a_channel_with_a_new_destination_closes_its_incidents_at_the_old_one() {
    for is_deleted in [false, true] {
        let mut channel_index = ChannelIndex::default();
        let of = pager(1, &[EXHAUSTED]);
        channel_index.put(of.clone());
        go_on(&mut channel_index, &[cause(EXHAUSTED, 1)], 10);
        let before = of.config.destination.clone();
        let elsewhere =
            Destination { address: "https://new.example/".to_owned(), ..before.clone() };
        let patch = ChannelPatch { destination: Some(elsewhere), ..ChannelPatch::default() };
        let fact = match is_deleted {
            true => ChannelFact::Deleted,
            false => ChannelFact::Updated { patch, before: ChannelPatch::default() },
        };
        let record = Record {
            position: Position(2),
            stream: Stream::Channel(of.id),
            version: Version(2),
            organization_id: organization(),
            fact: Fact::Channel(fact),
            metadata: Metadata::default(),
            recorded_at: time(15),
            operation_id: OperationId::MIN,
        };
        let leave = |channel_index: &mut ChannelIndex| {
            channel_index.close_incidents(of.id, &record, time(15), || NotificationId::MAX)
        };
        let left = leave(&mut channel_index);
        assert_eq!(left.len(), 1);
        let at = IncidentAction::CloseAt(Box::new(before));
        assert_eq!(raised_of(&left[0]).incident, Some(at));
        channel_index.recorded(&organization(), &left, Position(2), time(15));
        channel_index.apply(of.id, &record).expect("it follows");
        assert_eq!(leave(&mut channel_index), [], "once");
        assert_eq!(
            go_on(&mut channel_index, &[end(None, 3)], 20),
            [],
            "nothing is open where it leads"
        );
    }
}

#[test]
fn the_next_owner_knows_which_incidents_are_open() {
    let of = pager(1, &[EXHAUSTED]);
    let known = |incident| EndpointIncident {
        organization_id: organization(),
        channel_id: of.id,
        endpoint_id: EndpointId::MIN,
        incident,
    };
    let told = |cause| ExhaustionNotification {
        notification_id: NotificationId::MIN,
        channel_id: of.id,
        endpoint_id: EndpointId::MIN,
        sent_time: Some(time(100)),
        is_waiting: false,
        count: 1,
        cause: Position(cause),
        opens_incident: true,
    };
    let next = |told: ExhaustionNotification, incidents: Vec<_>| {
        let mut channel_index = ChannelIndex::default();
        channel_index.put(of.clone());
        channel_index.restore(vec![told], vec![(organization(), Position(7))], incidents);
        let again = go_on(&mut channel_index, &[cause(EXHAUSTED, 8)], 200).remove(0);
        let closes = go_on(&mut channel_index, &[end(None, 9)], 300).len();
        (raised_of(&again).due_time, closes)
    };
    let open = Incident::opened(Position(5));
    assert_eq!(next(told(5), vec![known(open)]), (time(100 + 3_600), 1), "of the same incident");
    assert_eq!(next(told(5), Vec::new()), (time(200), 1), "that one was over");
    let closing = Incident { closing: Position(6), ..open };
    assert_eq!(next(told(5), vec![known(closing)]), (time(200), 1), "its end is on its way");
}
