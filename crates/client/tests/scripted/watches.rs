//! Watches across reconnects.

use futures_util::TryStreamExt as _;
use keeptrusts_webhooks_client::{Code, v1};
use tonic::Status;

use crate::server::{Answer, Scripted, fails, first, many, unavailable};

fn change(token: &str) -> v1::WatchDeliveriesResponse {
    let delivery = Some(v1::Delivery::default());
    v1::WatchDeliveriesResponse { resume_token: token.to_owned(), delivery, ..Default::default() }
}

/// What a watch begins with.
fn beginning(token: &str) -> v1::WatchDeliveriesResponse {
    v1::WatchDeliveriesResponse { resume_token: token.to_owned(), ..Default::default() }
}

fn lost_after(tokens: &[&str]) -> Answer {
    let changes: Vec<_> = tokens.iter().map(|token| change(token)).collect();
    (many(&changes).0, Status::unavailable("shutting down"))
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_change_that_was_received() {
    let script = [
        unavailable(),
        lost_after(&["1", "2"]),
        unavailable(),
        // The server ended it, without an error.
        many(&[change("3")]),
        many(&[change("4")]),
    ];
    let server = Scripted::start(script).await;
    let request = v1::WatchDeliveriesRequest {
        organization_id: "acme".to_owned(),
        endpoint_ids: vec!["ep_1".to_owned()],
        resume_token: String::new(),
    };
    let changes = first(4, server.client().watch(request)).await;
    let tokens: Vec<_> = changes.iter().map(|change| &*change.resume_token).collect();
    assert_eq!(tokens, ["1", "2", "3", "4"]);
    let asked: Vec<_> = server
        .received()
        .iter()
        .map(|call| call.read::<v1::WatchDeliveriesRequest>())
        .map(|request| (request.resume_token, request.endpoint_ids.len()))
        .collect();
    let after = |token: &str| (token.to_owned(), 1);
    assert_eq!(asked, [after(""), after(""), after("2"), after("2"), after("3")]);
}

#[tokio::test]
async fn a_watch_remembers_where_it_began_and_shows_changes_only() {
    let lost = (many(&[beginning("begin")]).0, Status::unavailable("shutting down"));
    let server = Scripted::start([lost, many(&[beginning("begin"), change("1")])]).await;
    let request = v1::WatchDeliveriesRequest::default();
    let changes = first(1, server.client().watch(request)).await;
    assert_eq!(changes[0].resume_token, "1");
    let received = server.received();
    let asked: Vec<_> = received
        .iter()
        .map(|call| call.read::<v1::WatchDeliveriesRequest>().resume_token)
        .collect();
    assert_eq!(asked, ["", "begin"]);
}

#[tokio::test]
async fn a_watch_of_a_replay_ends_with_it() {
    let at = |matched_count| v1::WatchReplayResponse {
        replay: Some(v1::Replay { matched_count, ..Default::default() }),
    };
    let script = [(many(&[at(1)]).0, Status::unavailable("lost")), many(&[at(2), at(3)])];
    let server = Scripted::start(script).await;
    let watch = server.client().watch(v1::WatchReplayRequest::default());
    let states: Vec<_> = watch.try_collect().await.expect("it ends well");
    let counts: Vec<_> =
        states.into_iter().map(|state| state.replay.expect("a replay").matched_count).collect();
    assert_eq!(counts, [1, 2, 3]);
}

#[tokio::test]
async fn a_refusal_ends_the_watch() {
    let server = Scripted::start([fails(Status::permission_denied("no"))]).await;
    let mut watch = std::pin::pin!(server.client().watch(v1::WatchEventsRequest::default()));
    assert_eq!(watch.try_next().await.expect_err("refused").code(), Code::PermissionDenied);
    assert!(watch.try_next().await.expect("ended").is_none());
    assert_eq!(server.received().len(), 1);
}
