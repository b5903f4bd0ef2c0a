//! Limits against misuse by callers.

use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::caller::{Caller, client};
use crate::platform::{Backend, Database, Server, data_json};

fn assert_exhausted(status: &Status, reason: &str) -> Option<Duration> {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let info = status.get_details_error_info().expect("a reason");
    assert_eq!(info.reason, reason);
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_slowed_down_and_right_ones_still_work() {
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).flag("--failed-logins-per-minute", "3").start().await;
    let first = Caller::first(&server);
    first.who_am_i().await.expect("it is valid");
    let wrong = Caller::with(&server, &format!("kt_{}", "0".repeat(64)));
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(wrong.who_am_i().await.expect_err("it is wrong"));
    }
    assert_eq!(answers[0].code(), Code::Unauthenticated);
    let delay = assert_exhausted(&answers[5], "TOO_MANY_FAILED_LOGINS");
    assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(21)), "{delay:?}");
    let fresh = first.create_key("acme", v1::Role::Viewer).await;
    let fresh = Caller::with(&server, &fresh.token);
    assert!(fresh.who_am_i().await.is_ok(), "a right token is right, whoever else is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_publishes_too_fast_gets_a_retry_delay() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).flag("--publish-quota", "1000").start().await;
    let batch = |organization: &str| v1::BatchPublishEventsRequest {
        organization_id: organization.to_owned(),
        requests: vec![
            v1::PublishEventRequest {
                event_type: "user.invited".to_owned(),
                payload: data_json("{}"),
                ..Default::default()
            };
            1_000
        ],
    };
    let publisher = client(&server, "acme", FIRST_KEY);
    publisher.ingest().batch_publish_events(batch("acme")).await.expect("a second's worth");
    let mut refusals = Vec::new();
    for _ in 0..3 {
        refusals.extend(publisher.ingest().batch_publish_events(batch("acme")).await.err());
    }
    let refused = refusals.pop().expect("too fast");
    let delay = assert_exhausted(&refused, "PUBLISH_QUOTA_EXCEEDED");
    assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(1)), "{delay:?}");
    publisher
        .ingest()
        .batch_publish_events(batch("globex"))
        .await
        .expect("others are not slowed down");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_endpoints_of_an_organization_is_limited() {
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).flag("--max-endpoints-per-organization", "2").start().await;
    let acme = server.client("acme");
    let first = acme.create_endpoint("https://a.example/", &["user.invited"]).await;
    acme.create_endpoint("https://a.example/", &["user.invited"]).await;
    let third = v1::CreateEndpointRequest {
        organization_id: "acme".to_owned(),
        endpoint: Some(v1::Endpoint {
            display_name: "one too many".to_owned(),
            url: "https://a.example/".to_owned(),
            event_types: vec!["user.invited".to_owned()],
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let refused = acme.endpoints().create_endpoint(third.clone()).await.expect_err("full");
    assert_eq!(assert_exhausted(&refused, "TOO_MANY_ENDPOINTS"), None, "waiting does not help");
    server.client("globex").create_endpoint("https://a.example/", &["user.invited"]).await;
    let delete = v1::DeleteEndpointRequest {
        organization_id: "acme".to_owned(),
        endpoint_id: first.id,
        ..Default::default()
    };
    acme.endpoints().delete_endpoint(delete).await.expect("deleted");
    acme.endpoints().create_endpoint(third).await.expect("there is room again");
}
