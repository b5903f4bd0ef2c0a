//! Lists as streams.

use futures_util::TryStreamExt as _;
use keeptrusts_webhooks_client::{Code, v1};
use tonic::Status;

use crate::server::{Scripted, fails, first, ok, unavailable};

fn page(ids: &[&str], next_page_token: &str) -> v1::ListEndpointsResponse {
    let endpoints = ids.iter().map(|id| v1::Endpoint { id: (*id).into(), ..Default::default() });
    v1::ListEndpointsResponse {
        endpoints: endpoints.collect(),
        next_page_token: next_page_token.to_owned(),
    }
}

fn request() -> v1::ListEndpointsRequest {
    v1::ListEndpointsRequest {
        organization_id: "acme".to_owned(),
        search: "siem".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn pages_follow_each_other_with_the_same_filters_also_empty_ones() {
    let pages =
        [ok(&page(&["a", "b"], "2")), unavailable(), ok(&page(&[], "3")), ok(&page(&["c"], ""))];
    let server = Scripted::start(pages).await;
    let endpoints: Vec<_> = server.client().items(request()).try_collect().await.expect("listed");
    let ids: Vec<_> = endpoints.iter().map(|endpoint| &*endpoint.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let requests: Vec<_> = server
        .received()
        .iter()
        .map(|call| call.read::<v1::ListEndpointsRequest>())
        .map(|request| (request.page_token, request.search))
        .collect();
    let of = |token: &str| (token.to_owned(), "siem".to_owned());
    assert_eq!(requests, [of(""), of("2"), of("2"), of("3")]);
}

#[tokio::test]
async fn a_page_is_requested_when_its_items_are_wanted() {
    let server = Scripted::start([ok(&page(&["a", "b"], "2"))]).await;
    assert_eq!(first(2, server.client().items(request())).await.len(), 2);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn after_an_error_the_stream_has_ended() {
    let invalid = fails(Status::invalid_argument("the token is of other filters"));
    let server = Scripted::start([ok(&page(&["a"], "2")), invalid]).await;
    let mut items = std::pin::pin!(server.client().items(request()));
    assert_eq!(items.try_next().await.expect("the first").expect("one").id, "a");
    let error = items.try_next().await.expect_err("the second page");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(items.try_next().await.expect("ended").is_none());
}
