//! Replays of missed, failed or all events: each event once, whatever happens meanwhile.

use std::collections::BTreeSet;

use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
use keeptrusts_webhooks_domain::replay::{ReplayCounts, ReplayScope, ReplaySelection, ReplayState};
use keeptrusts_webhooks_testkit::random::{Random, seeds};

use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

/// The events that an endpoint has deliveries of, once each, all of them delivered.
async fn delivered(world: &World, endpoint_id: EndpointId) -> BTreeSet<EventId> {
    let mut events = BTreeSet::new();
    for delivery in world.deliveries_to(endpoint_id).await {
        assert_eq!(delivery.state, DeliveryState::Delivered, "{delivery:?}");
        assert!(events.insert(delivery.event_id), "{} has two deliveries", delivery.event_id);
    }
    events
}

async fn counts(world: &World, id: keeptrusts_webhooks_domain::ids::ReplayId) -> ReplayCounts {
    let replay = world.read_replay(id).await;
    assert_eq!(replay.state, ReplayState::Done, "{replay:?}");
    assert!(replay.finish_time.is_some() && replay.end_reason.is_empty());
    replay.counts
}

#[tokio::test(start_paused = true)]
async fn missed_events_are_delivered_once_however_often_they_are_replayed() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let before = world.publish_many(3).await;
    world.settle().await;
    world.disable(siem).await;
    let missed = world.publish_many(60).await;
    world.enable(siem).await;
    let after = world.publish_many(2).await;

    let first = world.replay(siem, ReplayScope::Missed).await;
    world.pass(seconds(5)).await;
    let expected = ReplayCounts { scheduled: 60, ..ReplayCounts::default() };
    assert_eq!(counts(&world, first).await, expected);
    let events = BTreeSet::from_iter(before.into_iter().chain(missed).chain(after));
    assert_eq!(delivered(&world, siem).await, events);

    let second = world.replay(siem, ReplayScope::Missed).await;
    world.pass(seconds(5)).await;
    let expected = ReplayCounts { skipped: 60, ..ReplayCounts::default() };
    assert_eq!(counts(&world, second).await, expected);
    assert_eq!(world.requests_to("siem").len(), 65);
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_failed_delivery_gets_a_whole_schedule_again_under_its_own_id() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let events = world.publish_many(40).await;
    world.pass(hours(16)).await;
    let ids: BTreeSet<_> = world.deliveries_to(siem).await.into_iter().map(|row| row.id).collect();
    for id in &ids {
        assert_eq!(world.state(*id).await, DeliveryState::Failed);
    }
    // The receiver still fails: all of them fail again.
    let replay = world.replay(siem, ReplayScope::Failed).await;
    world.pass(hours(16)).await;
    assert_eq!(counts(&world, replay).await.resumed, 40);
    for delivery in world.deliveries_to(siem).await {
        assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 12));
    }
    world.network.heal();
    let replay = world.replay(siem, ReplayScope::Failed).await;
    world.pass(seconds(5)).await;
    assert_eq!(counts(&world, replay).await.resumed, 40);
    assert_eq!(delivered(&world, siem).await, BTreeSet::from_iter(events));
    let after: BTreeSet<_> =
        world.deliveries_to(siem).await.into_iter().map(|row| row.id).collect();
    assert_eq!(after, ids, "no delivery is new");
    let numbers = world.requests_to("siem").into_iter().map(|request| request.number());
    assert_eq!(numbers.max(), Some(13));
}

#[tokio::test(start_paused = true)]
async fn failures_since_a_time_are_resumed_and_earlier_ones_are_not() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.publish_many(3).await;
    world.pass(hours(16)).await;
    let since = world.now();
    let later = world.publish_many(4).await;
    world.pass(hours(16)).await;
    world.network.heal();
    let selection = world.selection(siem, ReplayScope::Failed);
    let selection = ReplaySelection { start_time: Some(since), ..selection };
    let replay = world.try_replay(selection, 100).await.expect("taken in");
    world.pass(seconds(5)).await;
    assert_eq!(counts(&world, replay).await.resumed, 4);
    for event in later {
        assert_eq!(world.delivery_of(event).await.state, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_made_later_gets_everything_from_before() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let events = world.publish_many(30).await;
    world.publish_type(EventType::UserInvited).await;
    world.settle().await;
    let late = world.endpoint("late").await;
    let live = world.publish_many(5).await;
    let selection = world.selection(late, ReplayScope::All);
    let event_types = world.read_endpoint(late).await.config.event_types;
    let selection = ReplaySelection { event_types, ..selection };
    let replay = world.try_replay(selection, 100).await.expect("taken in");
    world.pass(seconds(5)).await;
    let counts = counts(&world, replay).await;
    assert_eq!((counts.scheduled, counts.skipped), (30, 5));
    assert_eq!(delivered(&world, late).await, BTreeSet::from_iter(events.into_iter().chain(live)));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_an_event_accepted_just_before_a_replay_is_routed_and_not_replayed() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.stop().await;
    // The next owner reads all of it at once.
    let mut events = BTreeSet::from_iter(world.publish_many(30).await);
    let replay = world.replay(siem, ReplayScope::All).await;
    events.extend(world.publish_many(30).await);
    world.start().await;
    world.pass(seconds(5)).await;
    let expected = ReplayCounts { skipped: 30, ..ReplayCounts::default() };
    assert_eq!(counts(&world, replay).await, expected);
    assert_eq!(delivered(&world, siem).await, events);
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_everything_includes_cancelled_deliveries_and_delivered_ones_only_on_request() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let delivered_event = world.publish().await;
    world.settle().await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let cancelled = world.publish().await;
    world.settle().await;
    let id = world.delivery_of(cancelled).await.id;
    world.request_cancellation(id).await;
    world.settle().await;
    assert_eq!(world.state(id).await, DeliveryState::Cancelled);

    let replay = world.replay(siem, ReplayScope::All).await;
    world.pass(seconds(5)).await;
    let expected = ReplayCounts { resumed: 1, skipped: 1, ..ReplayCounts::default() };
    assert_eq!(counts(&world, replay).await, expected);
    let resumed = world.read_delivery(id).await;
    assert_eq!((resumed.state, resumed.end_reason.as_str()), (DeliveryState::Delivered, ""));

    let selection = world.selection(siem, ReplayScope::All);
    let selection = ReplaySelection { include_delivered: true, ..selection };
    let again = world.try_replay(selection, 100).await.expect("taken in");
    world.pass(seconds(5)).await;
    assert_eq!(counts(&world, again).await.scheduled, 2);
    assert_eq!(world.deliveries(delivered_event).await.len(), 2, "the duplicate asked for");
}

#[tokio::test(start_paused = true)]
async fn a_replay_does_not_exceed_its_rate() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    world.publish_many(100).await;
    world.enable(siem).await;
    let selection = world.selection(siem, ReplayScope::Missed);
    let begun = world.now();
    let replay = world.try_replay(selection, 10).await.expect("taken in");
    world.pass(seconds(4)).await;
    let requests = world.requests_to("siem").len();
    assert!((40..=42).contains(&requests), "{requests} in four seconds");
    world.pass(seconds(10)).await;
    assert_eq!(counts(&world, replay).await.scheduled, 100);
    let finished = world.read_replay(replay).await.finish_time.expect("done");
    let took = finished.duration_since(begun).as_secs_f64();
    assert!((9.0..11.0).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_replay_schedules_nothing_more() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    world.publish_many(100).await;
    world.enable(siem).await;
    let selection = world.selection(siem, ReplayScope::Missed);
    let replay = world.try_replay(selection, 10).await.expect("taken in");
    world.pass(seconds(3)).await;
    world.try_cancel_replay(replay).await.expect("taken in");
    world.pass(hours(1)).await;
    let row = world.read_replay(replay).await;
    assert_eq!(
        (row.state, row.end_reason.as_str()),
        (ReplayState::Cancelled, "cancelled on request")
    );
    let requests = world.requests_to("siem").len();
    assert_eq!(requests as u64, row.counts.scheduled);
    assert!((30..=34).contains(&requests), "{requests}");
    // The rest can be replayed later.
    let rest = world.replay(siem, ReplayScope::Missed).await;
    world.pass(seconds(5)).await;
    assert_eq!(counts(&world, rest).await.scheduled, 100 - requests as u64);
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_while_its_endpoint_is_disabled_and_ends_with_it() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    world.publish_many(100).await;
    world.enable(siem).await;
    let selection = world.selection(siem, ReplayScope::Missed);
    let replay = world.try_replay(selection, 10).await.expect("taken in");
    world.pass(seconds(3)).await;
    world.disable(siem).await;
    world.settle().await;
    let (before, traffic) = (world.read_replay(replay).await, world.traffic().calls());
    world.pass(hours(3)).await;
    assert_eq!(world.read_replay(replay).await, before);
    assert_eq!(world.traffic().calls(), traffic, "invariant 11: it waits without asking");
    world.enable(siem).await;
    world.pass(seconds(3)).await;
    let after = world.read_replay(replay).await;
    assert!(after.counts.scheduled > before.counts.scheduled, "it goes on");
    world.delete(siem).await;
    world.pass(seconds(3)).await;
    let ended = world.read_replay(replay).await;
    let reason = "the endpoint was deleted";
    assert_eq!((ended.state, ended.end_reason.as_str()), (ReplayState::Cancelled, reason));
    for delivery in world.deliveries_to(siem).await {
        assert!(delivery.state.has_ended(), "{delivery:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replays_of_one_endpoint_run_one_after_the_other_and_make_no_duplicates() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    let missed = world.publish_many(200).await;
    world.enable(siem).await;
    let mut replays = Vec::new();
    for scope in [ReplayScope::Missed, ReplayScope::All, ReplayScope::Missed] {
        replays.push(world.replay(siem, scope).await);
    }
    world.pass(minutes(1)).await;
    assert_eq!(delivered(&world, siem).await, BTreeSet::from_iter(missed));
    let mut finished = Vec::new();
    for replay in replays {
        finished.push((world.read_replay(replay).await.finish_time, counts(&world, replay).await));
    }
    assert!(finished.is_sorted_by_key(|(time, _)| *time));
    assert_eq!(finished[0].1.scheduled, 200);
    assert_eq!((finished[1].1.skipped, finished[2].1.skipped), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn invariants_3_and_4_a_replay_whose_owner_dies_at_any_moment_makes_one_delivery_of_each_event()
 {
    for seed in seeds(0..40) {
        let mut random = Random::of_seed(seed);
        let mut world = World::embedded().await;
        let siem = world.endpoint("siem").await;
        world.network.always("siem", ReceiverAnswer::ERROR);
        let mut events = BTreeSet::from_iter(world.publish_many(40).await);
        world.pass(hours(16)).await;
        world.disable(siem).await;
        events.extend(world.publish_many(40).await);
        world.enable(siem).await;
        world.network.heal();
        world.database_faults.inject(seed, random.below(8), seconds(0));
        let selection = world.selection(siem, ReplayScope::All);
        let Ok(replay) = world.try_replay(selection, 20).await else { continue };
        for _ in 0..6 {
            world.pass(std::time::Duration::from_micros(random.below(2_000_000))).await;
            if random.chance(50)
                && let Ok(event) =
                    world.try_publish(&world.organizations[0], crate::world::EVENT_TYPE).await
            {
                events.insert(event);
            }
            world.restart().await;
        }
        world.database_faults.stop();
        world.pass(minutes(10)).await;
        let counts = counts(&world, replay).await;
        assert_eq!((counts.scheduled, counts.resumed), (40, 40), "seed {seed}");
        let found = delivered(&world, siem).await;
        assert!(found.is_superset(&events), "seed {seed}");
        world.assert_tables_match_the_log().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_longer_kept_are_counted_and_not_sent() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    let missed = world.publish_many(3).await;
    world.erase_body(missed[1]).await;
    world.enable(siem).await;
    let replay = world.replay(siem, ReplayScope::Missed).await;
    world.pass(seconds(5)).await;
    let expected = ReplayCounts { scheduled: 2, expired: 1, ..ReplayCounts::default() };
    assert_eq!(counts(&world, replay).await, expected);
}

#[tokio::test(start_paused = true)]
async fn invariant_11_a_replay_that_has_ended_costs_nothing() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.disable(siem).await;
    world.publish_many(10).await;
    world.enable(siem).await;
    let replay = world.replay(siem, ReplayScope::All).await;
    world.pass(minutes(1)).await;
    assert_eq!(counts(&world, replay).await.scheduled, 10);
    let before = world.traffic().calls();
    world.pass(hours(1)).await;
    assert_eq!(world.traffic().calls(), before);
}
