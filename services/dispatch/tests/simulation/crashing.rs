//! Invariants 3 and 4: whatever crashes, nothing is lost, and nothing is repeated unnecessarily.

use std::time::Duration;

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::DeliveryState;

use crate::world::{Outage, ReceiverAnswer, World, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn invariant_3_crashes_in_the_middle_of_a_schedule_do_not_move_it() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let event = world.publish().await;
    world.settle().await;
    let mut due = Vec::new();
    while let Some(time) = world.delivery_of(event).await.next_attempt_time {
        due.push(time);
        // Two crashes while it waits; it is made in time all the same.
        let wait = Duration::try_from(time.duration_since(world.now())).expect("in the future");
        for _ in 0..2 {
            world.pass(wait / 3).await;
            world.restart().await;
        }
        world.pass(wait / 3 + Duration::from_millis(2)).await;
    }
    let made: Vec<_> = world.requests().into_iter().map(|request| request.time).collect();
    assert_eq!(made[1..], due);
    let delivery = world.delivery_of(event).await;
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 6));
}

#[tokio::test(start_paused = true)]
async fn invariant_3_attempts_that_became_due_without_an_owner_are_made_at_once() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 100]);
    world.publish_many(100).await;
    world.settle().await;
    world.kill().await;
    world.pass(hours(3)).await;
    world.start().await;
    world.settle().await;
    let deliveries = world.all_deliveries().await;
    assert_eq!(deliveries.len(), 100);
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
}

#[tokio::test(start_paused = true)]
async fn invariant_4_an_attempt_whose_outcome_a_crash_has_lost_is_repeated_under_its_number() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5))]);
    let event = world.publish().await;
    world.pass(seconds(2)).await;
    world.restart().await;
    world.settle().await;
    let numbers: Vec<_> = world.requests().iter().map(|request| request.number()).collect();
    assert_eq!(numbers, [1, 1]);
    let delivery = world.delivery_of(event).await;
    assert_eq!(world.outcomes(delivery.id).await, [AttemptOutcome::Delivered]);
    world.pass(hours(1)).await;
    assert_eq!(world.attempts(delivery.id).await.len(), 1, "the dead process records nothing");
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_graceful_stop_finishes_what_is_under_way_and_repeats_nothing() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5)), ReceiverAnswer::Hang]);
    let events = world.publish_many(2).await;
    world.pass(seconds(2)).await;
    let begun = world.now();
    world.stop().await;
    let took = world.now().duration_since(begun);
    assert!(took <= jiff::SignedDuration::from_secs(9), "no longer than the attempts: {took}");
    world.publish().await;
    world.settle().await;
    assert_eq!(world.requests().len(), 2, "nothing new is begun");
    let outcomes = world.all_attempts().await.into_iter().map(|attempt| attempt.outcome);
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.sort();
    assert_eq!(outcomes, [AttemptOutcome::Delivered, AttemptOutcome::Retrying]);

    world.start().await;
    world.pass(minutes(2)).await;
    assert_eq!(world.requests().len(), 4, "the retry and the new event");
    for event in events {
        assert_eq!(world.delivery_of(event).await.state, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_not_available_nothing_is_lost_or_repeated() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 10]);
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5)); 10]);
    world.publish_many(10).await;
    world.settle().await;
    let waiting = world.publish_many(10).await;
    world.settle().await;
    for outage in [Outage::Total, Outage::Writes] {
        world.database_faults.set_outage(Some(outage));
        world.pass(minutes(3)).await;
        world.database_faults.set_outage(None);
        world.pass(seconds(5)).await;
    }
    world.pass(minutes(10)).await;
    let deliveries = world.all_deliveries().await;
    assert_eq!(deliveries.len(), 20);
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    assert_eq!(world.requests().len(), 30);
    for event in waiting {
        assert_eq!(world.delivery_of(event).await.attempt_count, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_cannot_write_is_retried_only_now_and_then() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5))]);
    let event = world.publish().await;
    world.settle().await;
    world.database_faults.set_outage(Some(Outage::Writes));
    let before = world.traffic().calls();
    world.pass(minutes(1)).await;
    let after = world.traffic().calls();
    let appends = after["append"] - before["append"];
    assert!((5..=60).contains(&appends), "{appends} appends a minute");
    world.database_faults.set_outage(None);
    world.pass(seconds(5)).await;
    assert_eq!(world.delivery_of(event).await.state, DeliveryState::Delivered);
    assert_eq!(world.requests().len(), 1);
}
