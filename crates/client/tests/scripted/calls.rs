//! What is repeated, and what is not.

use std::time::{Duration, Instant};

use keeptrusts_webhooks_client::{Client, Code, Event, RetryPolicy, v1};
use tonic::Status;

use crate::server::{Scripted, fails, later, ok, unavailable};

fn event() -> Event {
    Event::new("acme", "policy.violation", "{}")
}

fn accepted() -> v1::PublishEventResponse {
    v1::PublishEventResponse { event_id: "evt_1".to_owned(), duplicate: false }
}

#[tokio::test]
async fn publishing_is_repeated_with_the_same_key_until_it_succeeds() {
    let server = Scripted::start([unavailable(), unavailable(), ok(&accepted())]).await;
    let published = server.client().publish(event()).await.expect("published");
    assert_eq!(published.event_id, "evt_1");
    let received = server.received();
    let keys: Vec<_> = received
        .iter()
        .map(|call| call.read::<v1::PublishEventRequest>().idempotency_key)
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(received[0].key(), "Bearer kt_1");
    let agent = received[0].metadata.get("user-agent").expect("one").to_str().expect("ASCII");
    assert!(agent.starts_with("keeptrusts-webhooks-client-rust/"), "{agent}");
    assert!(received[0].metadata.get("grpc-timeout").is_some(), "the server knows the deadline");
}

#[tokio::test]
async fn another_event_gets_another_key_and_a_given_key_stays() {
    let server = Scripted::start([ok(&accepted()), ok(&accepted()), ok(&accepted())]).await;
    let client = server.client();
    client.publish(event()).await.expect("published");
    client.publish(event()).await.expect("published");
    client.publish(event().idempotency_key("mine")).await.expect("published");
    let keys: Vec<_> = server
        .received()
        .iter()
        .map(|call| call.read::<v1::PublishEventRequest>().idempotency_key)
        .collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2], "mine");
}

#[tokio::test]
async fn what_cannot_be_repeated_safely_is_tried_once() {
    let server = Scripted::start([unavailable(), unavailable()]).await;
    let request = v1::RevealSecretRequest::default();
    let error = server.client().reveal_secret(request).await.expect_err("refused");
    assert_eq!((error.code(), server.received().len()), (Code::Unavailable, 1));
}

#[tokio::test]
async fn a_creation_is_repeated_with_the_same_request_id() {
    let server = Scripted::start([unavailable(), ok(&v1::CreateEndpointResponse::default())]).await;
    let request = v1::CreateEndpointRequest::default();
    server.client().create_endpoint(request).await.expect("created");
    let ids: Vec<_> = server
        .received()
        .iter()
        .map(|call| call.read::<v1::CreateEndpointRequest>().request_id)
        .collect();
    assert!(ids.len() == 2 && ids[0] == ids[1] && !ids[0].is_empty(), "{ids:?}");
}

#[tokio::test]
async fn errors_that_do_not_pass_are_returned_at_once() {
    for code in [Code::InvalidArgument, Code::Internal, Code::Unknown, Code::ResourceExhausted] {
        let server = Scripted::start([fails(Status::new(code, "no")), ok(&accepted())]).await;
        let error = server.client().publish(event()).await.expect_err("refused");
        assert_eq!((error.code(), server.received().len()), (code, 1));
    }
}

#[tokio::test]
async fn a_limit_that_passes_is_waited_for_as_long_as_the_server_says() {
    let wait = Duration::from_millis(150);
    let script = [later(Status::resource_exhausted("too fast"), wait), ok(&accepted())];
    let server = Scripted::start(script).await;
    let start = Instant::now();
    server.client().publish(event()).await.expect("published");
    assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let script = [later(Status::unavailable("restarting"), Duration::from_secs(60))];
    let server = Scripted::start(script).await;
    let start = Instant::now();
    let error = server.client().publish(event()).await.expect_err("too late");
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(60)));
    assert!(error.message().contains("restarting"), "the server's own error: {error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_error_says_how_often_and_how_long_the_call_was_tried() {
    let server = Scripted::start([unavailable(), unavailable(), unavailable()]).await;
    let retry = RetryPolicy::default().max_attempts(3).longest_wait(Duration::from_millis(5));
    let client = server.builder().retry(retry).build().expect("a client");
    let error = client.publish(event()).await.expect_err("given up");
    assert_eq!((error.attempts(), error.message()), (3, "not now"));
    let text = error.to_string();
    assert!(text.starts_with("gave up after 3 attempts in 0."), "{text}");
    assert!(text.ends_with(" s; the last error: not now (UNAVAILABLE)"), "{text}");
}

#[tokio::test]
async fn the_time_that_is_over_does_not_hide_why() {
    let over = || fails(Status::deadline_exceeded("the deadline is over"));
    let server = Scripted::start([unavailable(), over(), over()]).await;
    let error = server.client().publish(event()).await.expect_err("given up");
    assert_eq!((error.code(), error.attempts()), (Code::Unavailable, 2), "{error}");
    let error = server.client().publish(event()).await.expect_err("too late");
    assert_eq!((error.code(), error.attempts()), (Code::DeadlineExceeded, 1), "{error}");
}

#[tokio::test]
async fn a_policy_without_retries_tries_once() {
    let server = Scripted::start([unavailable(), ok(&accepted())]).await;
    let client = server.builder().retry(RetryPolicy::none()).build().expect("a client");
    assert!(client.publish(event()).await.is_err());
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable_when_the_deadline_is_over() {
    let client = Client::builder("http://127.0.0.1:1")
        .deadline(Duration::from_millis(300))
        .build()
        .expect("a client");
    let error = client.publish(event()).await.expect_err("nobody is there");
    assert!(matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded), "{error}");
    let client = client.with_deadline(Duration::from_secs(5));
    let request = v1::RevealSecretRequest::default();
    // Not sent, so it may be tried again whatever it does; that takes some of the deadline.
    let start = Instant::now();
    let error = client.reveal_secret(request).await.expect_err("nobody is there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("cannot connect"), "{error}");
    assert!(start.elapsed() > Duration::from_millis(50), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_at_the_deadline() {
    // It accepts connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = Client::builder(format!("http://{address}")).build().expect("a client");
    let client = client.with_deadline(Duration::from_millis(200));
    let error = client.publish(event()).await.expect_err("no answer");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
}

#[tokio::test]
async fn metadata_of_the_callers_own_is_sent_and_does_not_replace_the_key() {
    let server = Scripted::start([ok(&accepted())]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = server.client().with_metadata("traceparent", trace).expect("metadata");
    client.publish(event()).await.expect("published");
    let received = server.received();
    assert_eq!(received[0].metadata.get("traceparent").expect("sent"), trace);
    assert_eq!(received[0].key(), "Bearer kt_1");
    assert!(client.with_metadata("Authorization", "Bearer other").is_err());
    assert!(client.with_metadata("a b", "c").is_err());
}
