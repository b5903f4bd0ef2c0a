use keeptrusts_webhooks_domain::channel::{ChannelKind, Destination, NewChannel};
use keeptrusts_webhooks_domain::ids::DeliveryId;
use ulid::Ulid;

use super::*;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn organization() -> OrganizationId {
    "acme".parse().expect("valid")
}

fn channel(number: u128, subscriptions: &[NotificationType]) -> Channel {
    let config = NewChannel {
        name: "on call".to_owned(),
        destination: Destination {
            kind: ChannelKind::Email,
            address: "a@example.com".to_owned(),
            secret: None,
        },
        subscriptions: subscriptions.to_vec(),
        endpoint_ids: Vec::new(),
    };
    Channel::created(ChannelId::new(Ulid(number)), organization(), config, time(0))
}

fn happening(notification_type: NotificationType, position: i64) -> Happening {
    Happening {
        organization_id: organization(),
        notification_type,
        endpoint_id: EndpointId::MIN,
        delivery_id: Some(DeliveryId::new(Ulid(position as u128))),
        reason: "answered 500".to_owned(),
        position: Position(position),
        time: time(position),
    }
}

/// What is decided at a time, and recorded.
fn go_on(desk: &mut Desk, happenings: &[Happening], now: i64) -> Vec<Decision> {
    let mut next = now as u128 * 1_000;
    let decisions = desk.decide(happenings, time(now), || {
        next += 1;
        NotificationId::new(Ulid(next))
    });
    let until = happenings.last().expect("some").position;
    desk.recorded(&organization(), &decisions, until, time(now));
    decisions
}

fn row(decision: &Decision) -> Notification {
    let NotificationFact::Raised(new) = &decision.fact else { panic!("{decision:?}") };
    let (id, new) = (decision.notification_id, (**new).clone());
    Notification::raised(id, organization(), new, Position(1), time(0))
}

const EXHAUSTED: NotificationType = NotificationType::DeliveryExhausted;
const DEGRADED: NotificationType = NotificationType::EndpointDegraded;

#[test]
fn what_is_exhausted_at_once_is_one_record_for_each_channel() {
    let mut desk = Desk::default();
    desk.put(channel(1, &[EXHAUSTED, DEGRADED]));
    desk.put(channel(2, &[EXHAUSTED]));
    let many: Vec<_> = (1..=5)
        .map(|position| happening(EXHAUSTED, position))
        .chain([happening(DEGRADED, 6)])
        .collect();
    let decisions = go_on(&mut desk, &many, 10);
    assert_eq!(decisions.len(), 3, "{decisions:?}");
    for decision in &decisions {
        let NotificationFact::Raised(new) = &decision.fact else { panic!("{decision:?}") };
        let expected = if new.notification_type == EXHAUSTED { (5, 1) } else { (1, 6) };
        assert_eq!((new.count, new.since), (expected.0, time(expected.1)));
        assert_eq!(new.due_time, time(10), "at once");
    }
    assert!(desk.knows_of(&many[5]) && !desk.knows_of(&happening(DEGRADED, 7)));
}

#[test]
fn what_follows_is_counted_then_told_an_hour_after_the_last_message() {
    let mut desk = Desk::default();
    desk.put(channel(1, &[EXHAUSTED]));
    let first = go_on(&mut desk, &[happening(EXHAUSTED, 1)], 10).remove(0);
    let second = go_on(&mut desk, &[happening(EXHAUSTED, 2)], 11).remove(0);
    assert_eq!(second.notification_id, first.notification_id, "it was not sent yet");
    assert!(matches!(second.fact, NotificationFact::Counted { count: 1, .. }));
    let mut sent = row(&first);
    sent.new.count = 2;
    assert_eq!(desk.left_over(&sent, time(20)), None, "both are in the message");
    desk.sent(&sent, time(20), None);
    let third = go_on(&mut desk, &[happening(EXHAUSTED, 3)], 30).remove(0);
    assert_eq!(row(&third).new.due_time, time(20 + 3_600));
    // An hour and more of silence later, at once again.
    desk.sent(&row(&third), time(3_620), None);
    let fourth = go_on(&mut desk, &[happening(EXHAUSTED, 4)], 9_000).remove(0);
    assert_eq!(row(&fourth).new.due_time, time(9_000));
}

#[test]
fn what_came_too_late_for_a_message_is_left_over_for_the_next() {
    let mut desk = Desk::default();
    let of = channel(1, &[EXHAUSTED]);
    desk.put(of.clone());
    let first = go_on(&mut desk, &[happening(EXHAUSTED, 1)], 10).remove(0);
    desk.begins(of.id);
    let sent = row(&first);
    go_on(&mut desk, &[happening(EXHAUSTED, 2), happening(EXHAUSTED, 3)], 12);
    let left_over = desk.left_over(&sent, time(20)).expect("two came too late");
    assert_eq!((left_over.count, left_over.since), (2, time(12)));
    assert_eq!(left_over.due_time, time(20 + 3_600));
    let id = NotificationId::MAX;
    desk.sent(&sent, time(20), Some((id, left_over.count)));
    let counted = go_on(&mut desk, &[happening(EXHAUSTED, 4)], 30).remove(0);
    assert_eq!(counted.notification_id, id);
}

#[test]
fn the_next_owner_knows_what_waits_and_what_was_told() {
    let mut desk = Desk::default();
    let of = channel(1, &[EXHAUSTED]);
    desk.put(of.clone());
    let told = |sent_time: Option<_>| Told {
        notification_id: NotificationId::MIN,
        channel_id: of.id,
        endpoint_id: EndpointId::MIN,
        sent_time,
        is_waiting: sent_time.is_none(),
        count: 3,
    };
    desk.restore(vec![told(Some(time(100)))], vec![(organization(), Position(7))]);
    assert!(desk.knows_of(&happening(EXHAUSTED, 7)) && !desk.knows_of(&happening(EXHAUSTED, 8)));
    let next = desk.decide(&[happening(EXHAUSTED, 8)], time(200), || NotificationId::MAX);
    assert_eq!(row(&next[0]).new.due_time, time(100 + 3_600));
    desk.restore(vec![told(None)], Vec::new());
    let next = desk.decide(&[happening(EXHAUSTED, 8)], time(200), || NotificationId::MAX);
    assert_eq!(next[0].notification_id, NotificationId::MIN, "it is counted");
}

#[test]
fn groups_that_do_not_matter_any_more_are_forgotten() {
    let mut desk = Desk::default();
    desk.put(channel(1, &[EXHAUSTED]));
    for number in 0..5_000_i64 {
        let endpoint_id = EndpointId::new(Ulid(number as u128));
        let happening = Happening { endpoint_id, ..happening(EXHAUSTED, number + 1) };
        let now = number * 60;
        let raised = go_on(&mut desk, &[happening], now).remove(0);
        desk.sent(&row(&raised), time(now), None);
    }
    assert!(desk.groups.len() < 2_000, "{} groups", desk.groups.len());
}
