//! The incidents that a service such as PagerDuty has open are the endpoints' current trouble:
//! every end of trouble is sent, and no trouble that is over.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::collections::BTreeMap;

use jiff::SignedDuration;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{ChannelCommand, ChannelKind, ChannelPatch};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState, StateCause};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId};
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};
use keeptrusts_webhooks_testkit::random::{Random, seeds};

use crate::world::{ALL_BUT_SUMMARY, ReceiverAnswer, World, hours, minutes, seconds};

const EXHAUSTED: [NotificationType; 1] = [NotificationType::DeliveryExhausted];
const TRIGGER: &str = "trigger";
const RESOLVE: &str = "resolve";

/// A world in which a delivery has one attempt, with an endpoint and a PagerDuty service.
async fn given(types: &[NotificationType]) -> (World, EndpointId, ChannelId) {
    let mut world = World::without_retries().await;
    world.start().await;
    let siem = world.endpoint("siem").await;
    let pager = world.pager("pager", types).await;
    (world, siem, pager)
}

async fn publish(world: &World, answer: ReceiverAnswer) {
    world.network.always("siem", answer);
    world.publish().await;
    world.settle().await;
}

fn actions(world: &World, name: &str) -> Vec<(String, String)> {
    let events = world.incident_events(name).into_iter();
    events.map(|event| (event.class, event.action)).collect()
}

fn action_names(world: &World) -> Vec<String> {
    actions(world, "pager").into_iter().map(|(_, action)| action).collect()
}

#[tokio::test(start_paused = true)]
async fn an_outage_with_several_exhausted_deliveries_is_one_trigger_and_one_resolution() {
    let (world, ..) = given(&ALL_BUT_SUMMARY).await;
    for _ in 0..5 {
        publish(&world, ReceiverAnswer::ERROR).await;
    }
    assert_eq!(world.open_incidents("pager").len(), 1);
    publish(&world, ReceiverAnswer::OK).await;
    assert!(world.open_incidents("pager").is_empty());
    let before = actions(&world, "pager");
    world.pass(hours(24)).await;
    assert_eq!(actions(&world, "pager"), before, "what was held back is not told");
    let rows = world.notifications().await;
    let held_back = rows.iter().find(|row| row.state == NotificationState::Withdrawn);
    let held_back = held_back.expect("four of the five were held back");
    assert_eq!(held_back.error, "it was over before it could be told");
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn every_end_of_trouble_resolves_the_incident_even_without_a_subscription() {
    for (name, end) in [("recovered", 0), ("enabled", 1), ("deleted", 2), ("disabled by hand", 3)] {
        let types = [NotificationType::DeliveryExhausted, NotificationType::EndpointDisabled];
        let (world, siem, _) = given(&types).await;
        publish(&world, if end == 1 { ReceiverAnswer::Status(410) } else { ReceiverAnswer::ERROR })
            .await;
        assert_eq!(world.open_incidents("pager").len(), 1, "{name}");
        match end {
            0 => publish(&world, ReceiverAnswer::OK).await,
            1 => world.enable(siem).await,
            2 => world.delete(siem).await,
            _ => world.disable(siem).await,
        }
        world.settle().await;
        assert!(world.open_incidents("pager").is_empty(), "{name}");
        let last = actions(&world, "pager").pop();
        assert_eq!(last, Some(("incident_resolved".to_owned(), RESOLVE.to_owned())), "{name}");
        let told = world.incident_events("pager").len();
        world.pass(hours(24)).await;
        assert_eq!(world.incident_events("pager").len(), told, "{name}: once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_without_an_open_incident_gets_no_resolution() {
    let (world, siem, _) = given(&[NotificationType::EndpointRecovered]).await;
    publish(&world, ReceiverAnswer::ERROR).await;
    publish(&world, ReceiverAnswer::OK).await;
    publish(&world, ReceiverAnswer::Status(410)).await;
    world.enable(siem).await;
    world.pass(hours(2)).await;
    assert_eq!(action_names(&world), [""; 0]);
    assert_eq!(world.notifications().await, []);
}

#[tokio::test(start_paused = true)]
async fn new_trouble_within_the_hour_opens_an_incident_at_once() {
    let (world, ..) = given(&EXHAUSTED).await;
    publish(&world, ReceiverAnswer::ERROR).await;
    publish(&world, ReceiverAnswer::OK).await;
    world.pass(minutes(5)).await;
    publish(&world, ReceiverAnswer::ERROR).await;
    assert_eq!(action_names(&world), [TRIGGER, RESOLVE, TRIGGER]);
    world.pass(hours(3)).await;
    assert_eq!(world.open_incidents("pager").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_is_retried_is_followed_by_its_resolution_or_withdrawn() {
    let (world, ..) = given(&EXHAUSTED).await;
    // It is unknown whether the service has accepted the first one.
    world.network.next("pager", [ReceiverAnswer::Hang]);
    publish(&world, ReceiverAnswer::ERROR).await;
    world.pass(seconds(30)).await;
    assert_eq!(world.open_incidents("pager").len(), 1);
    publish(&world, ReceiverAnswer::OK).await;
    world.pass(hours(10)).await;
    assert_eq!(action_names(&world), [TRIGGER, RESOLVE]);
}

#[tokio::test(start_paused = true)]
async fn a_resolution_never_overtakes_its_trigger() {
    let (world, ..) = given(&EXHAUSTED).await;
    world.network.next("pager", [ReceiverAnswer::Slow(seconds(5))]);
    publish(&world, ReceiverAnswer::ERROR).await;
    publish(&world, ReceiverAnswer::OK).await;
    world.pass(minutes(1)).await;
    assert_eq!(action_names(&world), [TRIGGER, RESOLVE]);
}

#[tokio::test(start_paused = true)]
async fn a_resolution_that_fails_for_a_day_is_sent_when_the_service_is_back() {
    let (mut world, ..) = given(&EXHAUSTED).await;
    publish(&world, ReceiverAnswer::ERROR).await;
    world.network.always("pager", ReceiverAnswer::ERROR);
    publish(&world, ReceiverAnswer::OK).await;
    world.pass(hours(24)).await;
    world.restart().await;
    world.network.always("pager", ReceiverAnswer::OK);
    world.pass(hours(7)).await;
    assert!(world.open_incidents("pager").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_channel_with_a_new_destination_or_none_closes_its_incidents_at_the_old_one() {
    for is_deleted in [false, true] {
        let (mut world, _, pager) = given(&ALL_BUT_SUMMARY).await;
        publish(&world, ReceiverAnswer::ERROR).await;
        // The record is committed, but nobody reads it yet.
        world.kill().await;
        let command = match is_deleted {
            true => ChannelCommand::Delete,
            false => {
                let to = world.destination(pager, ChannelKind::PagerDuty, "moved").await;
                let destination = Some(to);
                ChannelCommand::Update(ChannelPatch { destination, ..Default::default() })
            }
        };
        world.command_channel(pager, command).await;
        world.start().await;
        world.settle().await;
        assert!(world.open_incidents("pager").is_empty(), "deleted: {is_deleted}");
        publish(&world, ReceiverAnswer::OK).await;
        world.pass(hours(2)).await;
        assert_eq!(world.incident_events("moved"), [], "it had nothing open");
        world.assert_tables_match_the_log().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_opens_no_lasting_incident() {
    let (world, _, pager) = given(&EXHAUSTED).await;
    world.test_channel(pager).await;
    world.settle().await;
    assert_eq!(action_names(&world), [TRIGGER, RESOLVE]);
    assert!(world.open_incidents("pager").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_notification_is_checked_again_when_it_is_sent() {
    let (world, ..) = given(&EXHAUSTED).await;
    world.channel("hook", &ALL_BUT_SUMMARY).await;
    world.network.always("hook", ReceiverAnswer::ERROR);
    publish(&world, ReceiverAnswer::ERROR).await;
    world.pass(minutes(1)).await;
    publish(&world, ReceiverAnswer::OK).await;
    world.network.always("hook", ReceiverAnswer::OK);
    world.pass(hours(24)).await;
    let told = world.received_by("hook");
    let taken = told.into_iter().filter(|told| told.status == Some(204));
    let whats: Vec<_> = taken.map(|told| told.what).collect();
    assert!(!whats.contains(&"endpoint_degraded".to_owned()), "it is active again: {whats:?}");
    // Lost deliveries are reported in any case, and so is the endpoint's current state.
    assert!(whats.contains(&"delivery_exhausted".to_owned()), "{whats:?}");
    assert!(whats.contains(&"endpoint_recovered".to_owned()), "{whats:?}");
}

/// Whether a service should have an incident of it.
fn is_in_trouble(endpoint: &Endpoint) -> bool {
    let by_hand = endpoint.state_cause == Some(StateCause::Requested);
    endpoint.delete_time.is_none() && endpoint.state != EndpointState::Active && !by_hand
}

/// Endpoints, a service and its owner change at random; then time passes.
#[test]
fn in_the_end_open_incidents_match_the_endpoints_trouble() {
    for seed in seeds(0..40) {
        println!("seed {seed}");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(Scenario::of_seed(seed));
    }
}

struct Scenario {
    world: World,
    random: Random,
    endpoints: BTreeMap<EndpointId, String>,
    pager: ChannelId,
    /// The channel's destinations, the current one last, and since when.
    places: Vec<(String, Timestamp)>,
}

impl Scenario {
    async fn of_seed(seed: u64) {
        let mut random = Random::of_seed(seed);
        let types = match random.below(3) {
            0 => &ALL_BUT_SUMMARY[..],
            1 => &ALL_BUT_SUMMARY[..1],
            _ => &ALL_BUT_SUMMARY[1..],
        };
        let mut world = World::without_retries().await;
        world.start().await;
        world.database_faults.inject(seed, 0, std::time::Duration::from_millis(random.below(20)));
        let pager = world.pager("pager-0", types).await;
        let places = vec![("pager-0".to_owned(), world.now())];
        let endpoints = BTreeMap::new();
        let mut history = Scenario { world, random, endpoints, pager, places };
        for number in 0..2 {
            let name = format!("endpoint-{number}");
            history.endpoints.insert(history.world.endpoint(&name).await, name);
        }
        for _ in 0..60 {
            history.step().await;
        }
        history.check(types == &ALL_BUT_SUMMARY[..1]).await;
    }

    async fn step(&mut self) {
        let ids: Vec<_> = self.endpoints.keys().copied().collect();
        let id = *self.random.pick(&ids).expect("there are some");
        let name = self.endpoints[&id].clone();
        match self.random.below(100) {
            0..40 => {
                let answers = [
                    ReceiverAnswer::OK,
                    ReceiverAnswer::ERROR,
                    ReceiverAnswer::ERROR,
                    ReceiverAnswer::Status(410),
                ];
                self.world.network.always(&name, *self.random.pick(&answers).expect("some"));
                self.world.publish_many(1 + self.random.below(3) as usize).await;
            }
            40..50 => self.world.enable(id).await,
            50..55 => self.world.disable(id).await,
            55..58 => {
                self.world.delete(id).await;
                self.endpoints.remove(&id);
                let name = format!("endpoint-{}", self.random.below(u64::MAX));
                self.endpoints.insert(self.world.endpoint(&name).await, name);
            }
            58..80 => {
                let answers = [
                    ReceiverAnswer::OK,
                    ReceiverAnswer::OK,
                    ReceiverAnswer::ERROR,
                    ReceiverAnswer::Hang,
                    ReceiverAnswer::Slow(seconds(3)),
                    ReceiverAnswer::SlowStatus(seconds(2), 503),
                ];
                let answer = *self.random.pick(&answers).expect("some");
                let place = self.places.last().expect("one").0.clone();
                self.world.network.always(&place, answer);
            }
            80..84 => self.move_channel().await,
            _ => self.world.restart().await,
        }
        let wait = match self.random.below(10) {
            0..3 => std::time::Duration::ZERO,
            3..6 => std::time::Duration::from_millis(self.random.below(100)),
            6..9 => seconds(self.random.below(20)),
            _ => minutes(self.random.below(90)),
        };
        self.world.pass(wait).await;
    }

    async fn move_channel(&mut self) {
        let place = format!("pager-{}", self.places.len());
        let to = self.world.destination(self.pager, ChannelKind::PagerDuty, &place).await;
        let patch = ChannelPatch { destination: Some(to), ..ChannelPatch::default() };
        self.world.command_channel(self.pager, ChannelCommand::Update(patch)).await;
        self.places.push((place, self.world.now()));
    }

    async fn check(self, only_exhausted: bool) {
        let Scenario { world, endpoints, pager, places, .. } = self;
        world.database_faults.stop();
        for (place, _) in &places {
            world.network.always(place, ReceiverAnswer::OK);
        }
        world.pass(hours(24 * 8)).await;
        let given_up: Vec<_> = world
            .notifications()
            .await
            .into_iter()
            .filter(|row| row.new.channel_id == pager && row.state == NotificationState::Failed)
            .collect();
        let (last, moved) = places.last().expect("one");
        for (place, _) in &places {
            let open = world.open_incidents(place);
            for key in &open {
                let id = endpoints.keys().find(|id| key.ends_with(&id.to_string()));
                let id = *id.unwrap_or_else(|| panic!("{place}: {key} was deleted"));
                let endpoint = world.read_endpoint(id).await;
                assert!(is_in_trouble(&endpoint), "{place}: {key} is well: {endpoint:?}");
                assert_eq!(place, last, "{key} is open where the channel does not lead any more");
            }
        }
        for id in endpoints.keys() {
            let endpoint = world.read_endpoint(*id).await;
            let is_told = !only_exhausted || endpoint.state == EndpointState::Degraded;
            let is_new = endpoint.state_time.duration_since(*moved) > SignedDuration::from_secs(1);
            let was_given_up = given_up.iter().any(|row| row.new.endpoint_id == Some(*id));
            if is_in_trouble(&endpoint) && is_told && is_new && !was_given_up {
                let open = world.open_incidents(last);
                let is_open = open.iter().any(|key| key.ends_with(&id.to_string()));
                assert!(is_open, "{id} is in trouble: {endpoint:?}");
            }
        }
        world.assert_tables_match_the_log().await;
    }
}
