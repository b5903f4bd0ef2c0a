//! Organizations share a server: one that takes all it can get leaves the others their share.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::caller::{Caller, client};
use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};

const MAX_WATCHES: &str = "8";
const MAX_WATCHES_PER_KEY: usize = 3;
/// An eighth of the calls may wait: five, of which one organization gets three.
const MAX_REQUESTS: &str = "40";
const WAITING_SHARE: usize = 3;

fn assert_share_exhausted(status: &Status, reason: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.get_details_error_info().expect("a reason").reason, reason);
    assert!(status.get_details_retry_info().is_some(), "{status}");
}

async fn watch(client: &Client) -> Result<Streaming<v1::WatchDeliveriesResponse>, Status> {
    let request =
        v1::WatchDeliveriesRequest { organization_id: client.organization(), ..Default::default() };
    Ok(client.dispatch().watch_deliveries(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_shared_between_organizations_and_limited_for_each_key() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--max-watches", MAX_WATCHES)
        .flag("--max-watches-per-key", &MAX_WATCHES_PER_KEY.to_string());
    let server = server.start().await;
    let first = Caller::first(&server);
    let mut clients = Vec::new();
    for organization in ["acme", "acme", "globex"] {
        let key = first.create_key(organization, v1::Role::Viewer).await;
        clients.push(client(&server, organization, &key.token));
    }
    let [one, another, other] = [0, 1, 2].map(|at| clients[at].clone());

    let mut watches = Vec::new();
    for _ in 0..MAX_WATCHES_PER_KEY {
        watches.push(watch(&one).await.expect("its key may"));
    }
    let refused = watch(&one).await.expect_err("its key has as many as it may have");
    assert_share_exhausted(&refused, "TOO_MANY_WATCHES");
    watches.push(watch(&another).await.expect("another key of the organization may"));
    let refused = watch(&another).await.expect_err("the organization has its half");
    assert_share_exhausted(&refused, "TOO_MANY_WATCHES");
    let theirs = watch(&other).await.expect("another organization has its part");

    drop(watches);
    eventually("there is room again", async || watch(&one).await.ok()).await;
    drop(theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_leave_other_organizations_their_share() {
    let scripts = [("/hangs", Script::always(Reply::Hang)), ("/answers", Script::default())];
    let receiver = Receiver::start(Script::by_path(scripts));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--max-requests-in-flight", MAX_REQUESTS)
        .flag("--request-timeout", "1m");
    let server = server.start().await;
    let first = Caller::first(&server);
    let hog_key = first.create_key("acme", v1::Role::Admin).await;
    let other_key = first.create_key("globex", v1::Role::Admin).await;
    let hog = client(&server, "acme", &hog_key.token);
    let other = client(&server, "globex", &other_key.token);
    let hanging = hog.create_endpoint(&receiver.url("/hangs"), &["export.completed"]).await;
    let answering = other.create_endpoint(&receiver.url("/answers"), &["export.completed"]).await;
    let test = |client: &Client, endpoint_id: &str| {
        let mut dispatch = client.dispatch();
        let request = v1::SendTestRequest {
            organization_id: client.organization(),
            endpoint_id: endpoint_id.to_owned(),
            ..Default::default()
        };
        tokio::spawn(async move { dispatch.send_test(request).await })
    };
    let waiting: Vec<_> = (0..WAITING_SHARE).map(|_| test(&hog, &hanging.id)).collect();
    let refused = eventually("one test too many", async || {
        let one_more = tokio::time::timeout(PATIENCE / 10, test(&hog, &hanging.id)).await;
        one_more.ok()?.expect("no panic").err()
    });
    assert_share_exhausted(&refused.await, "TOO_MANY_REQUESTS");

    hog.publish("export.completed", "{}").await;
    let tested = test(&other, &answering.id).await.expect("no panic").expect("it has its part");
    let attempt = tested.into_inner().attempt.expect("an attempt");
    assert_eq!(attempt.outcome(), v1::attempt::Outcome::Delivered);
    other.publish("export.completed", "{}").await;
    waiting.iter().for_each(|waiting| waiting.abort());
}
