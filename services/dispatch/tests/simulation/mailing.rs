//! Mail has limits, whoever sends it: further notifications wait, tests are refused.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};

use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

const LIMITS: MailLimits = MailLimits {
    messages_per_minute: 4,
    recipients_per_minute: 50,
    messages_per_day: 12,
    recipients_per_day: 1_000,
};

async fn given() -> World {
    let mut world = World::without_retries().await;
    world.limit_mail(LIMITS);
    world.start().await;
    world
}

/// No organization got more in any minute, or in any day, than the limits permit.
fn assert_within_limits(world: &World) {
    let mails = world.outbox.mails();
    for (index, (time, _)) in mails.iter().enumerate() {
        let until = |wait: SignedDuration| {
            mails[index..].iter().filter(move |(later, _)| later.duration_since(*time) < wait)
        };
        let minute: Vec<_> = until(SignedDuration::from_mins(1)).collect();
        let recipients: usize = minute.iter().map(|(_, mail)| mail.recipients.len()).sum();
        assert!(minute.len() <= 4 && recipients <= 50, "{} at {time}", minute.len());
        assert!(until(SignedDuration::from_hours(24)).count() <= 12, "since {time}");
    }
}

#[tokio::test(start_paused = true)]
async fn tests_beyond_the_limits_are_not_sent_even_if_the_owner_crashes() {
    let mut world = given().await;
    let channel = world.mail(20, &[NotificationType::EndpointDegraded]).await;
    for number in 0..75 {
        world.test_channel(channel).await;
        world.settle().await;
        if number % 10 == 9 {
            world.restart().await;
        }
    }
    world.pass(seconds(2)).await;
    assert_eq!(world.outbox.mails().len(), 2, "of 20 recipients each, in a minute");
    let rows = world.notifications().await;
    let refused = rows.iter().filter(|row| row.state == NotificationState::Withdrawn);
    assert_eq!(refused.count(), 73);
    world.pass(minutes(1)).await;
    world.test_channel(channel).await;
    world.settle().await;
    assert_eq!(world.outbox.mails().len(), 3);
    assert_within_limits(&world);
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn notifications_beyond_the_limits_wait_and_are_not_lost() {
    let mut world = given().await;
    let mut endpoints = BTreeSet::new();
    for number in 0..10 {
        let name = format!("endpoint-{number}");
        endpoints.insert(world.endpoint(&name).await);
        world.network.always(&name, ReceiverAnswer::ERROR);
    }
    for _ in 0..2 {
        world.mail(3, &[NotificationType::EndpointDegraded]).await;
    }
    world.publish().await;
    world.pass(seconds(5)).await;
    assert_eq!(world.outbox.mails().len(), 4);
    world.restart().await;
    world.pass(minutes(10)).await;
    assert_eq!(world.outbox.mails().len(), 12, "the day's");
    world.restart().await;
    world.pass(hours(48)).await;
    assert_eq!(world.outbox.mails().len(), 20, "one for each endpoint and channel");
    assert_within_limits(&world);
    let rows = world.notifications().await;
    assert!(rows.iter().all(|row| row.state == NotificationState::Sent));
}
