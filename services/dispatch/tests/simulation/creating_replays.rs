//! CreateReplay: how many replays may run, and requests that are sent again.

use futures_util::future::join_all;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::limits::MAX_RUNNING_REPLAYS;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::watching::client;
use crate::world::{World, seconds};

/// As many as may wait for their turn among an organization's long reads, and one whose turn it is.
const AT_ONCE: usize = 17;

fn request(world: &World, endpoint: EndpointId, request_id: &str) -> v1::CreateReplayRequest {
    v1::CreateReplayRequest {
        organization_id: world.organizations[0].to_string(),
        replay: Some(v1::Replay {
            endpoint_id: endpoint.to_string(),
            scope: v1::replay::Scope::All.into(),
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

async fn create(
    world: &World,
    request: v1::CreateReplayRequest,
) -> Result<v1::CreateReplayResponse, Status> {
    Ok(client(world).create_replay(request).await?.into_inner())
}

fn id(response: &v1::CreateReplayResponse) -> &str {
    &response.replay.as_ref().expect("a replay").id
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

/// Answers of calls at the same moment: how many succeed, and why the others are refused.
async fn create_at_once(
    world: &World,
    requests: impl Iterator<Item = v1::CreateReplayRequest>,
) -> (usize, Vec<(Code, String)>) {
    let answers = join_all(requests.map(|request| create(world, request))).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    (answers.len() - refused.len(), refused.into_iter().map(reason).collect())
}

#[tokio::test(start_paused = true)]
async fn of_requests_at_once_no_more_replays_run_than_may() {
    // Nobody owns the shard, so that no replay ends.
    let world = World::shared(1).await;
    let endpoint = world.endpoint("receiver").await;
    let same = (0..AT_ONCE).map(|_| request(&world, endpoint, ""));
    let (created, refused) = create_at_once(&world, same).await;
    assert_eq!(created, 1);
    let running = (Code::FailedPrecondition, "REPLAY_RUNNING".to_owned());
    assert!(refused.iter().all(|refused| *refused == running), "{refused:?}");

    let mut others = Vec::new();
    for number in 0..AT_ONCE {
        others.push(world.endpoint(&format!("receiver-{number}")).await);
    }
    let each = others.iter().map(|endpoint| request(&world, *endpoint, ""));
    let (created, refused) = create_at_once(&world, each).await;
    assert_eq!(created as u64, MAX_RUNNING_REPLAYS - 1);
    let too_many = (Code::ResourceExhausted, "TOO_MANY_REPLAYS".to_owned());
    assert!(refused.iter().all(|refused| *refused == too_many), "{refused:?}");
    assert_eq!(world.replays().await.len() as u64, MAX_RUNNING_REPLAYS);

    // A check says so as well, except that an endpoint's events are counted while it has a replay.
    let check =
        v1::CreateReplayRequest { validate_only: true, ..request(&world, others[AT_ONCE - 1], "") };
    let refused = create(&world, check).await.expect_err("the organization has ten");
    assert_eq!(reason(&refused), too_many);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_answered_whatever_would_refuse_it_or_let_it_wait() {
    let world = World::shared(1).await;
    let endpoint = world.endpoint("receiver").await;
    let request = request(&world, endpoint, "r");
    let created = create(&world, request.clone()).await.expect("created");
    assert!(!created.duplicate);
    // No other read of the organization comes through.
    let log = world.api_log();
    let permit = log.long_reads().take(&world.organizations[0]).await.expect("the only one");
    let before = world.now();
    let again = create(&world, request.clone()).await.expect("repeated");
    assert_eq!((id(&again), again.duplicate), (id(&created), true));
    let check = v1::CreateReplayRequest { validate_only: true, ..request.clone() };
    let checked = create(&world, check.clone()).await.expect("repeated");
    assert_eq!((id(&checked), checked.duplicate), (id(&created), true));
    assert_eq!(world.now(), before, "neither has waited");
    world.delete(endpoint).await;
    let again = create(&world, request.clone()).await.expect("repeated");
    assert_eq!((id(&again), again.duplicate), (id(&created), true));
    drop(permit);

    for other in [request, check] {
        let replay = v1::Replay { deliveries_per_second: 7, ..other.replay.unwrap_or_default() };
        let other = v1::CreateReplayRequest { replay: Some(replay), ..other };
        let refused = create(&world, other).await.expect_err("the id is used");
        assert_eq!(reason(&refused), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn of_equal_requests_that_wait_for_their_turn_one_counts() {
    let world = World::shared(1).await;
    let endpoint = world.endpoint("receiver").await;
    world.publish().await;
    let log = world.api_log();
    let permit = log.long_reads().take(&world.organizations[0]).await.expect("the only one");
    let release = async {
        world.pass(seconds(1)).await;
        drop(permit);
    };
    let requests = (0..5).map(|_| create(&world, request(&world, endpoint, "r")));
    let (answers, ()) = tokio::join!(join_all(requests), release);
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an answer")).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])));
    assert_eq!(world.traffic().calls()["replay_candidates"], 1);
}
