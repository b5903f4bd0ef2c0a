//! Watches that end before they have shown anything.

use keeptrusts_webhooks_contracts::api::{WatchResponse, next_shown};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::watching::{PATIENCE, client};
use crate::world::World;

/// Of the same shard, in a world with one.
fn other() -> OrganizationId {
    "other".parse().expect("valid")
}

async fn watch_deliveries(
    world: &World,
    organization: &OrganizationId,
    resume_token: &str,
) -> Result<Streaming<v1::WatchDeliveriesResponse>, Status> {
    let request = v1::WatchDeliveriesRequest {
        organization_id: organization.to_string(),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    client(world).watch_deliveries(request).await.map(|watched| watched.into_inner())
}

async fn watch_events(
    world: &World,
    event_types: &[EventType],
    resume_token: &str,
) -> Streaming<v1::WatchEventsResponse> {
    let request = v1::WatchEventsRequest {
        organization_id: world.organizations[0].to_string(),
        event_types: event_types.iter().map(ToString::to_string).collect(),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    client(world).watch_events(request).await.expect("it may watch").into_inner()
}

async fn only_token<Response: WatchResponse>(watched: &mut Streaming<Response>) -> Response {
    let first = timeout(PATIENCE, watched.message()).await.expect("at once");
    let first = first.expect("goes on").expect("goes on");
    assert!(first.has_only_token());
    first
}

async fn event_of(watched: &mut Streaming<v1::WatchDeliveriesResponse>) -> String {
    let change = timeout(PATIENCE, next_shown(watched)).await.expect("a change is shown");
    let change = change.expect("goes on").expect("goes on");
    change.delivery.expect("a delivery").event_id
}

async fn event_id(watched: &mut Streaming<v1::WatchEventsResponse>) -> String {
    let shown = timeout(PATIENCE, next_shown(watched)).await.expect("an event is shown");
    let shown = shown.expect("goes on").expect("goes on");
    shown.event.expect("an event").id
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_has_received_nothing_resumes_where_it_began() {
    for (others, own) in [(0, 0), (3, 0), (0, 3), (3, 3)] {
        let world = World::embedded().await;
        for _ in 0..others {
            world.try_publish(&other(), EventType::ALL[0]).await.expect("accepted");
        }
        if own > 0 {
            world.endpoint("receiver").await;
            world.publish_many(own).await;
            world.settle().await;
        }
        let organization = world.organizations[0].clone();
        let mut changes = watch_deliveries(&world, &organization, "").await.expect("it may watch");
        let of_changes = only_token(&mut changes).await.resume_token;
        let mut events = watch_events(&world, &[], "").await;
        let of_events = only_token(&mut events).await.resume_token;
        drop((changes, events));

        world.try_publish(&other(), EventType::ALL[0]).await.expect("accepted");
        if own == 0 {
            world.endpoint("receiver").await;
        }
        let missed = world.publish().await.to_string();
        world.settle().await;
        // As often as the client has to.
        for _ in 0..2 {
            let changes = watch_deliveries(&world, &organization, &of_changes).await;
            let mut changes = changes.expect("it may watch");
            assert_eq!(only_token(&mut changes).await.resume_token, of_changes);
            assert_eq!(event_of(&mut changes).await, missed, "{others} {own}");
            let mut events = watch_events(&world, &[], &of_events).await;
            assert_eq!(only_token(&mut events).await.resume_token, of_events);
            assert_eq!(event_id(&mut events).await, missed, "{others} {own}");
        }
        let refused = watch_deliveries(&world, &other(), &of_changes).await;
        let refused = refused.expect_err("it is another organization's");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_nothing_matches_gets_a_token_now_and_then() {
    /// So many records pass before a token comes.
    const UNSEEN: usize = 1_000;
    let world = World::embedded().await;
    let [wanted, ..] = *EventType::ALL else { panic!("there are some") };
    let unwanted = *EventType::ALL.last().expect("there are some");
    let publish = async |count| {
        for _ in 0..count {
            world.publish_type(unwanted).await;
        }
        world.settle().await;
    };
    let mut watched = watch_events(&world, &[wanted], "").await;
    let first = only_token(&mut watched).await.resume_token;
    // Each takes two records, one of them its routing.
    publish(UNSEEN / 2 + 1).await;
    let later = only_token(&mut watched).await.resume_token;
    assert_ne!(later, first);
    drop(watched);
    let next = world.publish_type(wanted).await.to_string();
    let mut watched = watch_events(&world, &[wanted], &later).await;
    assert_eq!(event_id(&mut watched).await, next);
    // What was passed over is not read again: with all types, it would be shown.
    let mut watched = watch_events(&world, &[], &later).await;
    let mut seen = 0;
    while event_id(&mut watched).await != next {
        seen += 1;
    }
    assert!(seen < UNSEEN / 2, "{seen} of them come after the token");
}
