//! Watching deliveries and replays: the cost does not grow with the number of watchers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::dispatch_service_server::DispatchServiceServer;
use keeptrusts_webhooks_dispatch_service::api::DispatchApi;
use keeptrusts_webhooks_domain::access::{Caller, Credential, OrganizationScope, Role};
use keeptrusts_webhooks_store::Clock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status, Streaming};

use crate::world::World;

const WATCHERS: usize = 100;
/// Of virtual time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3_600);
const EVENTS: usize = 20;

pub(crate) type Api = InterceptedService<
    DispatchServiceServer<DispatchApi>,
    fn(Request<()>) -> Result<Request<()>, Status>,
>;

/// The service in the process that accepts events, with a caller who may do everything.
pub(crate) fn client(world: &World) -> DispatchServiceClient<Api> {
    client_with_clock(world, world.clock())
}

pub(crate) fn client_with_clock(world: &World, clock: Clock) -> DispatchServiceClient<Api> {
    let log = Arc::clone(world.api_log());
    let service =
        DispatchApi::server(log, clock, Duration::from_secs(3_600), CancellationToken::new());
    DispatchServiceClient::new(InterceptedService::new(service, authorize))
}

#[allow(clippy::unnecessary_wraps)]
fn authorize(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.extensions_mut().insert(Caller {
        actor: "key_1".into(),
        name: "key".into(),
        role: Role::Platform,
        organizations: OrganizationScope::All,
        expire_time: None,
        credential: Credential::WebToken,
        address: None,
    });
    Ok(request)
}

async fn watch(world: &World) -> Streaming<v1::WatchDeliveriesResponse> {
    let organization_id = world.organizations[0].to_string();
    let request = v1::WatchDeliveriesRequest { organization_id, ..Default::default() };
    client_watch(&mut client(world), request).await
}

async fn client_watch(
    client: &mut DispatchServiceClient<Api>,
    request: v1::WatchDeliveriesRequest,
) -> Streaming<v1::WatchDeliveriesResponse> {
    client.watch_deliveries(request).await.expect("it may watch").into_inner()
}

/// Reads until so many deliveries were shown as delivered; returns the number of changes.
async fn read(watched: &mut Streaming<v1::WatchDeliveriesResponse>, delivered: usize) -> usize {
    let (mut seen, mut changes) = (0, 0);
    while seen < delivered {
        let change = timeout(PATIENCE, next_shown(watched)).await.expect("a change is told");
        let change = change.expect("goes on").expect("a change");
        let state = change.delivery.expect("a delivery").state;
        seen += usize::from(state == v1::delivery::State::Delivered as i32);
        changes += 1;
    }
    changes
}

/// How often the process reads records, and rows of deliveries, for so many watchers.
async fn reads_for(watchers: usize) -> usize {
    let mut world = World::shared(1).await;
    world.join("dispatcher").await;
    world.endpoint("receiver").await;
    world.settle().await;
    let mut client = client(&world);
    let organization_id = world.organizations[0].to_string();
    let request = v1::WatchDeliveriesRequest { organization_id, ..Default::default() };
    let mut watched = Vec::new();
    for _ in 0..watchers {
        watched.push(client_watch(&mut client, request.clone()).await);
    }
    let before = world.traffic().calls();
    for _ in 0..EVENTS {
        world.publish().await;
        world.settle().await;
        let changes = join_all(watched.iter_mut().map(|watched| read(watched, 1))).await;
        assert!(changes.iter().all(|count| *count == 2), "scheduled, delivered: {changes:?}");
    }
    let after = world.traffic().calls();
    let count = |name| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    count("read") + count("deliveries") + count("read_stream")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_watchers_cost_as_much_as_one() {
    let for_one = reads_for(1).await;
    assert!(for_one > 0, "the other process's records are read from the database");
    assert_eq!(reads_for(WATCHERS).await, for_one);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_far_behind_gets_every_change() {
    let world = World::embedded().await;
    world.endpoint("receiver").await;
    let (mut slow, mut quick) = (watch(&world).await, watch(&world).await);
    for _ in 0..10 * EVENTS {
        world.publish().await;
        world.settle().await;
        assert_eq!(read(&mut quick, 1).await, 2);
    }
    assert_eq!(read(&mut slow, 10 * EVENTS).await, 20 * EVENTS);
    world.publish().await;
    assert_eq!(read(&mut slow, 1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_leaves_while_changes_are_computed_takes_none_from_the_others() {
    const CALL: Duration = Duration::from_millis(20);
    // Between any two of the calls that it takes: for the rows, and for each history.
    for calls in 0..8 {
        let world = World::embedded().await;
        world.endpoint("receiver").await;
        let organization_id = world.organizations[0].to_string();
        let request = v1::WatchDeliveriesRequest {
            organization_id: organization_id.clone(),
            ..Default::default()
        };
        let mut client = client(&world);
        let mut watched = client_watch(&mut client, request.clone()).await;
        for _ in 0..2 {
            world.publish().await;
        }
        let (mut resume_token, mut delivered) = (String::new(), Vec::new());
        while delivered.len() < 2 {
            let change = next_shown(&mut watched).await.expect("goes on").expect("a change");
            let delivery = change.delivery.expect("a delivery");
            let is_over = delivery.state == v1::delivery::State::Delivered as i32;
            delivered.extend(is_over.then_some(delivery.id));
            resume_token = change.resume_token;
        }
        // Deliveries that have ended are not remembered, and the rows are ahead of what is computed
        // now.
        for delivery_id in delivered {
            let organization_id = organization_id.clone();
            let retry =
                v1::RetryDeliveryRequest { organization_id, delivery_id, ..Default::default() };
            client.retry_delivery(retry).await.expect("it can be retried");
        }
        world.settle().await;
        let request = v1::WatchDeliveriesRequest { resume_token, ..request };
        let mut hasty = client_watch(&mut client, request.clone()).await;
        let mut patient = client_watch(&mut client, request).await;
        world.database_faults.slow(CALL / 2);
        _ = timeout(CALL * calls + CALL / 2, next_shown(&mut hasty)).await;
        drop(hasty);
        world.database_faults.stop();
        // Each retry, and its outcome.
        for change in 1..=4 {
            let told = timeout(PATIENCE, next_shown(&mut patient)).await;
            assert!(told.is_ok(), "change {change} is missing after {calls} calls");
        }
    }
}
