//! Wall clocks step: forward, back, for a moment or for good; those of processes, of the database,
//! or both. Within a process no wait becomes shorter or longer. At a change of owner, the remaining
//! wait is between zero and the recorded wait, so a step costs each delivery at most one early
//! attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_domain::replay::ReplayScope;

use crate::retrying::{SCHEDULE, gaps};
use crate::world::{EVENT_TYPE, ReceiverAnswer, Request, World, hours, minutes, seconds};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClockOwner {
    Processes,
    Database,
    All,
}

const EVERYBODY: [ClockOwner; 3] = [ClockOwner::Processes, ClockOwner::Database, ClockOwner::All];

const STEPS: [SignedDuration; 5] = [
    SignedDuration::from_secs(-60),
    SignedDuration::from_hours(-2),
    SignedDuration::from_secs(1),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(26),
];

fn set(world: &World, owner: ClockOwner, step: SignedDuration) {
    match owner {
        ClockOwner::Processes => world.step_process_clocks(step),
        ClockOwner::Database => world.step_database_clock(step),
        ClockOwner::All => world.step_all_clocks(step),
    }
}

/// Every clock, every step.
fn cases() -> impl Iterator<Item = (ClockOwner, SignedDuration)> {
    EVERYBODY.into_iter().flat_map(|owner| STEPS.map(|step| (owner, step)))
}

/// One process, alone or with the database as a server, and an endpoint that always fails.
async fn failing_world(is_shared: bool) -> World {
    let world = match is_shared {
        true => {
            let mut world = World::shared(1).await;
            world.join("a").await;
            world
        }
        false => World::embedded().await,
    };
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.pass(seconds(1)).await;
    world
}

async fn the_endpoint(world: &World) -> EndpointId {
    world.endpoints().await[0]
}

fn gaps_of(world: &World, delivery: DeliveryId) -> Vec<Duration> {
    let requests = world.requests().into_iter().filter(|request| request.delivery() == delivery);
    gaps(&requests.collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn setting_a_clock_does_not_move_a_waiting_retry() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        let event = world.publish().await;
        world.pass(seconds(20)).await;
        set(&world, owner, step);
        world.pass(hours(15)).await;
        assert_eq!(gaps(&world.requests()), SCHEDULE, "{owner:?} {step}");
        let delivery = world.delivery_of(event).await;
        assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 6));
    }
}

/// With leases, which the database's clock measures.
#[tokio::test(start_paused = true)]
async fn setting_a_clock_does_not_move_a_retry_on_a_shared_database() {
    for (owner, step) in cases() {
        let world = failing_world(true).await;
        world.publish().await;
        world.pass(seconds(20)).await;
        set(&world, owner, step);
        world.pass(minutes(7)).await;
        assert_eq!(gaps(&world.requests()), SCHEDULE[..2], "{owner:?} {step}");
    }
}

/// The clock is ahead or behind for a second of each wait, both while records are written and while
/// none are.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_moment_in_every_wait_moves_no_retry() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        let delivery = {
            let event = world.publish().await;
            world.settle().await;
            world.delivery_of(event).await.id
        };
        for wait in SCHEDULE {
            world.pass(wait / 2).await;
            set(&world, owner, step);
            // What is recorded now has a wrong time.
            let other = world.publish().await;
            world.settle().await;
            assert_eq!(world.delivery_of(other).await.attempt_count, 1, "at once");
            world.pass(seconds(1)).await;
            set(&world, owner, -step);
            world.pass(wait - wait / 2 - seconds(1)).await;
        }
        world.pass(hours(15)).await;
        assert_eq!(gaps_of(&world, delivery), SCHEDULE, "{owner:?} {step}");
        for delivery in world.all_deliveries().await {
            assert_eq!(gaps_of(&world, delivery.id), SCHEDULE, "{owner:?} {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn setting_a_clock_during_an_attempt_does_not_move_its_retry() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        world.network.always("siem", ReceiverAnswer::SlowStatus(seconds(4), 500));
        world.publish().await;
        for wait in SCHEDULE {
            world.pass(seconds(2)).await;
            set(&world, owner, step);
            world.pass(seconds(2) + wait).await;
        }
        world.pass(hours(1)).await;
        let expected = SCHEDULE.map(|wait| wait + seconds(4));
        assert_eq!(gaps(&world.requests()), expected, "{owner:?} {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_due_at_once_are_made_at_once_whatever_the_clocks_show() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        let siem = the_endpoint(&world).await;
        let failed = world.publish().await;
        world.pass(minutes(10)).await;
        let failed = world.delivery_of(failed).await;
        world.network.heal();
        set(&world, owner, step);

        world.request_retry(failed.id).await;
        world.settle().await;
        assert_eq!(world.state(failed.id).await, DeliveryState::Delivered, "{owner:?} {step}");
        let event = world.publish().await;
        let test = world.send_test(siem).await;
        world.settle().await;
        let delivery = world.delivery_of(event).await;
        assert_eq!(delivery.state, DeliveryState::Delivered, "{owner:?} {step}");
        assert_eq!(world.state(test).await, DeliveryState::Delivered, "{owner:?} {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manual_retry_that_fails_leaves_the_schedule_where_it_was() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        let event = world.publish().await;
        world.pass(seconds(20)).await;
        set(&world, owner, step);
        world.request_retry(world.delivery_of(event).await.id).await;
        world.pass(minutes(7)).await;
        let expected = [seconds(20), seconds(40), minutes(5)];
        assert_eq!(gaps(&world.requests()), expected, "{owner:?} {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn replayed_deliveries_are_attempted_at_once_whatever_the_clocks_show() {
    for (owner, step) in cases() {
        let world = failing_world(false).await;
        let siem = the_endpoint(&world).await;
        world.publish_many(5).await;
        world.pass(hours(15)).await;
        world.network.heal();
        set(&world, owner, step);
        world.replay(siem, ReplayScope::Failed).await;
        world.pass(seconds(2)).await;
        for delivery in world.deliveries_to(siem).await {
            assert_eq!(delivery.state, DeliveryState::Delivered, "{owner:?} {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn times_that_people_see_are_those_of_the_wall_clock() {
    let world = failing_world(false).await;
    let ahead = SignedDuration::from_hours(2);
    world.step_all_clocks(ahead);
    let begun = world.now();
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    let attempt = world.attempts(delivery.id).await.remove(0);
    assert_eq!(attempt.details.start_time, begun + ahead);
    assert_eq!(attempt.next_attempt_time, Some(begun + ahead + minutes(1)));
    assert_eq!(delivery.expected_attempt_time(), attempt.next_attempt_time);
    // The clock is corrected, and so are the times that are recorded from now on.
    world.step_all_clocks(-ahead);
    world.pass(minutes(1)).await;
    let attempt = world.attempts(delivery.id).await.remove(1);
    assert_eq!(attempt.details.start_time, begun + minutes(1));
    assert_eq!(attempt.next_attempt_time, Some(begun + minutes(6)));
    let sent = world.requests().remove(1);
    assert_eq!(sent.header("webhook-timestamp"), sent.time.as_second().to_string());
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_step_without_an_owner_costs_one_early_attempt_and_lengthens_no_wait() {
    let down = seconds(5);
    for (owner, step) in cases() {
        let mut world = failing_world(false).await;
        let event = world.publish().await;
        world.settle().await;
        let delivery = world.delivery_of(event).await.id;
        for (number, wait) in SCHEDULE.into_iter().enumerate() {
            if number != 2 {
                world.pass(wait).await;
                continue;
            }
            world.pass(wait / 2).await;
            world.kill().await;
            set(&world, owner, step);
            world.pass(down).await;
            world.start().await;
            world.settle().await;
            world.pass(wait).await;
        }
        world.pass(hours(15)).await;
        let gaps = gaps_of(&world, delivery);
        let case = format!("{owner:?} {step}: {gaps:?}");
        assert_eq!(gaps.len(), 5, "{case}");
        let (before, after) = (&gaps[..2], &gaps[3..]);
        assert_eq!((before, after), (&SCHEDULE[..2], &SCHEDULE[3..]), "{case}");
        let half = SCHEDULE[2] / 2;
        // The remaining wait is counted from when a process dispatches again.
        let range = half + down..half + down + SCHEDULE[2] + seconds(1);
        assert!(range.contains(&gaps[2]), "{case}");
        if owner == ClockOwner::Processes {
            assert_eq!(gaps[2], SCHEDULE[2], "what has passed is the database's to say: {case}");
        }
        assert_eq!(world.state(delivery).await, DeliveryState::Failed);
    }
}

/// The old owner's steady clock is handed on.
#[tokio::test(start_paused = true)]
async fn a_clock_step_before_a_change_of_owner_costs_nothing() {
    for (owner, step) in cases() {
        let mut world = failing_world(false).await;
        world.publish().await;
        world.pass(seconds(10)).await;
        set(&world, owner, step);
        // Something is recorded.
        world.publish_type(EVENT_TYPE).await;
        world.settle().await;
        for _ in 0..3 {
            world.pass(seconds(5)).await;
            world.restart().await;
        }
        world.pass(hours(15)).await;
        for delivery in world.all_deliveries().await {
            assert_eq!(gaps_of(&world, delivery.id), SCHEDULE, "{owner:?} {step}");
        }
    }
}

/// More than fit into memory, so that they wait in the database and are fetched in pages.
#[tokio::test(start_paused = true)]
async fn deliveries_in_the_database_wait_as_long_as_those_in_memory() {
    const MANY: usize = 1_100;
    let two_hours = SignedDuration::from_hours(2);
    for (owner, step) in EVERYBODY.map(|owner| [(owner, two_hours), (owner, -two_hours)]).concat() {
        let mut world = failing_world(false).await;
        world.publish_many(MANY / 2).await;
        world.pass(seconds(20)).await;
        set(&world, owner, step);
        world.publish_many(MANY / 2).await;
        world.pass(seconds(10)).await;
        set(&world, owner, -step);
        world.pass(seconds(10)).await;
        world.restart().await;
        world.network.heal();
        world.pass(minutes(2)).await;
        let deliveries = world.all_deliveries().await;
        assert_eq!(deliveries.len(), MANY);
        assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
        let mut requests: BTreeMap<DeliveryId, Vec<Request>> = BTreeMap::new();
        for request in world.requests() {
            requests.entry(request.delivery()).or_default().push(request);
        }
        let mut early = 0;
        for requests in requests.into_values() {
            let gaps = gaps(&requests);
            let [gap] = gaps[..] else { panic!("{owner:?} {step}: {gaps:?}") };
            early += usize::from(gap < minutes(1));
            // If the database's clock was set meanwhile, the wait is counted from the change of
            // owner.
            let longest = match owner {
                ClockOwner::Processes => minutes(1),
                ClockOwner::Database | ClockOwner::All => seconds(40) + minutes(1),
            };
            assert!(gap < longest + seconds(2), "{owner:?} {step}: {gap:?}");
        }
        if owner == ClockOwner::Processes {
            assert_eq!(early, 0, "{step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn processes_with_different_clocks_hand_over_waits_unchanged() {
    let mut world = World::shared(1).await;
    world.join("a").await;
    world.step_clock_of("a", SignedDuration::from_hours(3));
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.pass(seconds(1)).await;
    let event = world.publish().await;
    world.settle().await;
    // In each wait the shard passes to a process whose clock is hours ahead or behind.
    let mut owner = "a";
    for (next, ahead) in [("b", -5), ("a", 4), ("b", 0), ("a", -1)] {
        world.pass(seconds(20)).await;
        world.join(next).await;
        world.step_clock_of(next, SignedDuration::from_hours(ahead));
        world.leave(owner).await;
        owner = next;
        let attempts = world.requests().len();
        while world.requests().len() == attempts {
            world.pass(seconds(1)).await;
        }
    }
    world.pass(hours(15)).await;
    assert_eq!(gaps(&world.requests()), SCHEDULE);
    let delivery = world.delivery_of(event).await;
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 6));
}

/// The database decides when a lease ends. If its clock is set back, a dead process's leases would
/// last until the clock is where it was, and the dead process would keep its share.
#[tokio::test(start_paused = true)]
async fn invariant_3_a_dead_process_is_replaced_although_the_databases_clock_was_set_back() {
    let mut world = World::shared(4).await;
    for organization in world.organizations.clone() {
        world.endpoint_of(&organization, "siem", EVENT_TYPE).await;
    }
    world.join("a").await;
    world.join("b").await;
    world.pass(minutes(1)).await;
    assert_eq!((world.shards_of("a").await, world.shards_of("b").await), (2, 2));
    world.crash("a");
    world.step_database_clock(SignedDuration::from_hours(-2));
    world.pass(minutes(1)).await;
    for organization in world.organizations.clone() {
        world.try_publish(&organization, EVENT_TYPE).await.expect("accepted");
    }
    world.pass(minutes(2)).await;
    for delivery in world.all_deliveries().await {
        assert_eq!(delivery.state, DeliveryState::Delivered);
    }
    assert_eq!(world.shards_of("b").await, 4);
}

/// No live process loses a shard because the database's clock was set.
#[tokio::test(start_paused = true)]
async fn a_live_owner_keeps_its_shards_when_the_databases_clock_is_set() {
    for step in STEPS {
        let mut world = World::shared(4).await;
        world.join("a").await;
        world.join("b").await;
        world.pass(minutes(1)).await;
        world.step_database_clock(step);
        world.pass(minutes(5)).await;
        assert_eq!((world.shards_of("a").await, world.shards_of("b").await), (2, 2), "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_week_ahead_for_a_second_disables_no_endpoint() {
    for owner in EVERYBODY {
        let world = failing_world(false).await;
        let siem = the_endpoint(&world).await;
        world.publish().await;
        world.pass(hours(15)).await;
        assert_eq!(world.status(siem).await, EndpointState::Degraded);
        let week = SignedDuration::from_hours(7 * 24);
        set(&world, owner, week);
        world.publish().await;
        world.settle().await;
        set(&world, owner, -week);
        assert_eq!(world.status(siem).await, EndpointState::Degraded, "{owner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_notified_again_on_its_own_schedule_whatever_the_clocks_show() {
    for (owner, step) in cases() {
        let mut world = World::without_retries().await;
        world.start().await;
        world.endpoint("siem").await;
        world.channel("hook", &[NotificationType::DeliveryExhausted]).await;
        world.network.always("siem", ReceiverAnswer::ERROR);
        world.network.next("hook", [ReceiverAnswer::ERROR; 2]);
        world.publish().await;
        world.settle().await;
        for _ in 0..2 {
            set(&world, owner, step);
            world.pass(minutes(10)).await;
        }
        // One more within the hour, which is sent when the hour is over.
        world.publish().await;
        world.pass(hours(8)).await;
        let times: Vec<_> = world.received_by("hook").iter().map(|told| told.time).collect();
        let apart = |one: usize| times[one + 1].duration_since(times[one]);
        assert_eq!(times.len(), 4, "{owner:?} {step}");
        let case = format!("{owner:?} {step}");
        assert_eq!(apart(0), SignedDuration::from_mins(1), "{case}");
        assert_eq!(apart(1), SignedDuration::from_mins(5), "{case}");
        let hour = SignedDuration::from_mins(60);
        assert!((hour..hour + SignedDuration::from_secs(1)).contains(&apart(2)), "{case}");
    }
}
