//! Channels are notified at once, then once an hour; whatever crashes; and independently of each
//! other.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use keeptrusts_webhooks_domain::channel::{ChannelCommand, ChannelPatch, ChannelState};
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};

use crate::world::{ALL_BUT_SUMMARY, ReceiverAnswer, World, hours, minutes, seconds};

const EXHAUSTED: [NotificationType; 1] = [NotificationType::DeliveryExhausted];

/// Publishes events whose deliveries are exhausted at once, because they have no retries.
async fn exhaust(world: &World, count: usize) {
    world.publish_many(count).await;
    world.settle().await;
}

/// A world in which a delivery has one attempt.
async fn without_retries() -> World {
    let mut world = World::without_retries().await;
    world.start().await;
    world
}

fn total(world: &World, channel: &str) -> u64 {
    world
        .received_by(channel)
        .iter()
        .filter(|told| told.status == Some(204))
        .map(|told| told.count)
        .sum()
}

#[tokio::test(start_paused = true)]
async fn the_first_exhausted_delivery_is_notified_at_once_and_a_thousand_more_in_one_message() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    exhaust(&world, 1).await;
    let begun = world.now();
    assert_eq!(world.received_by("hook").len(), 1, "at once");
    for _ in 0..50 {
        world.pass(minutes(1)).await;
        exhaust(&world, 20).await;
    }
    assert_eq!(world.received_by("hook").len(), 1, "no other within the hour");
    world.pass(hours(3)).await;
    let told = world.received_by("hook");
    let counts: Vec<_> = told.iter().map(|told| told.count).collect();
    assert_eq!(counts, [1, 1_000]);
    let apart = told[1].time.duration_since(told[0].time);
    assert!(apart >= SignedDuration::from_hours(1), "{apart}");
    assert!(told[1].time.duration_since(begun) <= SignedDuration::from_mins(61));
    // After a quiet hour the next one is sent at once.
    exhaust(&world, 1).await;
    assert_eq!(world.received_by("hook").len(), 3);
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn exhausted_deliveries_of_one_batch_are_counted_by_one_record() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    exhaust(&world, 1).await;
    // Slow commits contain many outcomes each.
    world.database_faults.slow(Duration::from_millis(20));
    join_all((0..200).map(|_| world.publish())).await;
    world.pass(seconds(10)).await;
    world.database_faults.stop();
    let open = world.notifications().await.pop().expect("raised");
    assert_eq!(open.new.count, 200);
    assert!(open.version.0 < 50, "{} records for 200 deliveries", open.version.0);
}

#[tokio::test(start_paused = true)]
async fn deliveries_counted_while_a_message_is_under_way_are_in_the_next_one_an_hour_later() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.network.next("hook", [ReceiverAnswer::Slow(seconds(5))]);
    exhaust(&world, 1).await;
    exhaust(&world, 3).await;
    world.pass(seconds(10)).await;
    let told = world.received_by("hook");
    assert_eq!(told.iter().map(|told| told.count).collect::<Vec<_>>(), [1]);
    world.pass(hours(2)).await;
    let told = world.received_by("hook");
    assert_eq!(told.iter().map(|told| told.count).collect::<Vec<_>>(), [1, 3]);
    assert!(told[1].time.duration_since(told[0].time) >= SignedDuration::from_hours(1));
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn an_owners_crash_at_any_point_loses_nothing_and_counts_nothing_twice() {
    for (round, death) in [0, 1, 2, 5, 20, 100, 400, 1_500, 5_010].into_iter().enumerate() {
        let mut world = without_retries().await;
        world.endpoint("siem").await;
        world.channel("hook", &EXHAUSTED).await;
        world.network.always("siem", ReceiverAnswer::ERROR);
        world.network.next("hook", [ReceiverAnswer::Slow(seconds(5))]);
        world.database_faults.slow(Duration::from_millis(3));
        for _ in 0..4 {
            world.publish_many(10).await;
            world.pass(Duration::from_millis(death)).await;
            world.restart().await;
        }
        world.database_faults.stop();
        world.pass(hours(4)).await;
        assert_eq!(world.all_deliveries().await.len(), 40);
        // A message that a crash has cut off is sent again, with what was counted meanwhile.
        let rows = world.notifications().await;
        let sent: u32 = rows.iter().map(|row| row.new.count).sum();
        assert_eq!(sent, 40, "round {round}");
        assert!(rows.iter().all(|row| row.state == NotificationState::Sent), "round {round}");
        world.assert_tables_match_the_log().await;
    }
}

#[tokio::test(start_paused = true)]
async fn degraded_recovered_and_disabled_are_each_notified_once_even_after_a_change_of_owner() {
    let mut world = without_retries().await;
    let siem = world.endpoint("siem").await;
    world.channel("hook", &ALL_BUT_SUMMARY).await;
    world
        .network
        .next("siem", [ReceiverAnswer::ERROR, ReceiverAnswer::OK, ReceiverAnswer::Status(410)]);
    for _ in 0..3 {
        world.publish().await;
        world.settle().await;
        world.restart().await;
        world.settle().await;
    }
    let mut whats: Vec<_> = world.received_by("hook").into_iter().map(|told| told.what).collect();
    whats.sort();
    let expected =
        ["delivery_exhausted", "endpoint_degraded", "endpoint_disabled", "endpoint_recovered"];
    // The last delivery is exhausted as well; its message waits for the end of the hour.
    assert_eq!(whats, expected);
    world.enable(siem).await;
    world.disable(siem).await;
    world.restart().await;
    world.settle().await;
    assert_eq!(world.received_by("hook").len(), 4, "whoever disables it need not be told");
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_notified_only_of_what_it_subscribed_to_at_that_time() {
    let mut world = without_retries().await;
    let siem = world.endpoint("siem").await;
    let other = world
        .endpoint_for("other", keeptrusts_webhooks_domain::event_type::EventType::UserInvited)
        .await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    exhaust(&world, 1).await;
    world.channel("late", &ALL_BUT_SUMMARY).await;
    world.channel_for("elsewhere", &ALL_BUT_SUMMARY, &[other]).await;
    let changed = world.channel("changed", &[NotificationType::EndpointDisabled]).await;
    let patch =
        ChannelPatch { subscriptions: Some(ALL_BUT_SUMMARY.to_vec()), ..ChannelPatch::default() };
    world.command_channel(changed, ChannelCommand::Update(patch)).await;
    // The next owner reads the same records again, and finds the channels as they are now.
    world.restart().await;
    world.pass(minutes(1)).await;
    for name in ["late", "elsewhere", "changed"] {
        assert_eq!(world.received_by(name), [], "{name}");
    }
    exhaust(&world, 1).await;
    assert_eq!(world.received_by("late").len(), 1, "of what happens now");
    assert_eq!(world.received_by("changed").len(), 1);
    assert_eq!(world.received_by("elsewhere"), []);
    world.command_channel(changed, ChannelCommand::Delete).await;
    world.delete(siem).await;
    world.pass(hours(2)).await;
    assert_eq!(world.received_by("changed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_channel_nothing_is_recorded() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &[NotificationType::EndpointRecovered]).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    exhaust(&world, 5).await;
    assert_eq!(world.notifications().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_channel_delays_no_other() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    for number in 0..10 {
        let name = format!("hanging-{number}");
        world.channel(&name, &EXHAUSTED).await;
        world.network.always(&name, ReceiverAnswer::Hang);
    }
    world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    exhaust(&world, 1).await;
    assert_eq!(world.received_by("hook").len(), 1);
    // A channel that hangs has one request at a time.
    let asked = world.received_by("hanging-0").len();
    exhaust(&world, 5).await;
    assert_eq!(world.received_by("hanging-0").len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_is_shown_as_failing_until_it_works_and_is_tried_on_schedule() {
    let mut world = without_retries().await;
    world.endpoint("siem").await;
    let id = world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.network.always("hook", ReceiverAnswer::Status(404));
    exhaust(&world, 1).await;
    let begun = world.received_by("hook")[0].time;
    let failing = world.read_channel(id).await;
    assert_eq!(failing.state, ChannelState::Failing);
    assert_eq!(failing.state_reason, "the service answered 404 Not Found");
    world.pass(hours(1)).await;
    world.restart().await;
    world.pass(hours(23)).await;
    let minutes: Vec<_> = world
        .received_by("hook")
        .iter()
        .map(|told| told.time.duration_since(begun).as_mins())
        .collect();
    assert_eq!(minutes, [0, 1, 6, 36, 156, 516], "1m, 5m, 30m, 2h, 6h after one another");
    let row = world.notifications().await.pop().expect("raised");
    assert_eq!((row.state, row.attempt_count()), (NotificationState::Failed, 6));
    assert_eq!(world.read_channel(id).await.version.0, 2, "only the turn is recorded");

    world.network.always("hook", ReceiverAnswer::OK);
    exhaust(&world, 1).await;
    let recovered = world.read_channel(id).await;
    assert_eq!((recovered.state, recovered.state_reason.as_str()), (ChannelState::Active, ""));
    assert_eq!(total(&world, "hook"), 1, "what was given up is not told");
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn deliveries_exhausted_while_a_message_is_retried_are_in_it() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.network.next("hook", [ReceiverAnswer::ERROR]);
    exhaust(&world, 1).await;
    exhaust(&world, 4).await;
    world.pass(minutes(2)).await;
    let counts: Vec<_> = world.received_by("hook").iter().map(|told| told.count).collect();
    assert_eq!(counts, [1, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_test_is_sent_once_and_counts_for_the_channels_health() {
    let world = without_retries().await;
    let id = world.channel("hook", &EXHAUSTED).await;
    world.network.next("hook", [ReceiverAnswer::Refuse]);
    world.test_channel(id).await;
    world.pass(hours(24)).await;
    assert_eq!(world.received_by("hook").len(), 1);
    let row = world.notifications().await.pop().expect("raised");
    assert_eq!((row.state, row.due_time), (NotificationState::Failed, None));
    assert_eq!(world.read_channel(id).await.state, ChannelState::Failing);
    world.test_channel(id).await;
    world.settle().await;
    assert_eq!(world.read_channel(id).await.state, ChannelState::Active);
}

#[tokio::test(start_paused = true)]
async fn waiting_notifications_of_a_deleted_channel_are_given_up() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    let id = world.channel("hook", &EXHAUSTED).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.network.always("hook", ReceiverAnswer::ERROR);
    exhaust(&world, 1).await;
    world.command_channel(id, ChannelCommand::Delete).await;
    world.pass(hours(1)).await;
    let row = world.notifications().await.pop().expect("raised");
    assert_eq!(
        (row.state, row.error.as_str()),
        (NotificationState::Failed, "the channel was deleted")
    );
    assert_eq!(world.received_by("hook").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_week_is_summarized_once_on_monday_whoever_owns_the_shard() {
    // It is Thursday, 2026-04-23, 10:30.
    let mut world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &[NotificationType::WeeklySummary]).await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    world.publish_many(3).await;
    world.pass(hours(72)).await;
    assert_eq!(world.received_by("hook"), []);
    world.pass(hours(14)).await;
    let told = world.received_by("hook");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].what, "weekly_summary");
    assert_eq!(told[0].time.to_string(), "2026-04-27T00:00:00Z");
    for _ in 0..3 {
        world.restart().await;
        world.pass(hours(12)).await;
    }
    assert_eq!(world.received_by("hook").len(), 1, "once");
    let summary = world.notifications().await.pop().expect("raised").new.summary;
    let total = summary.expect("figures").total;
    assert_eq!((total.delivered, total.failed), (2, 1));

    // There is no owner on the next Monday; the summary is sent on Wednesday.
    world.stop().await;
    world.pass(hours(24 * 7)).await;
    world.start().await;
    world.settle().await;
    assert_eq!(world.received_by("hook").len(), 2);
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn invariant_11_channels_without_waiting_notifications_cost_nothing() {
    let world = without_retries().await;
    world.endpoint("siem").await;
    world.channel("hook", &ALL_BUT_SUMMARY).await;
    world.settle().await;
    let calls = || {
        let mut calls = world.traffic().calls();
        // Every owner reads this once, whether there are channels or not.
        calls.remove("delete_expired_bodies");
        calls
    };
    let before = calls();
    world.pass(hours(48)).await;
    assert_eq!(calls(), before);
}
