use std::time::{Duration, Instant};

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_process::grpc_server::limits::MAX_REQUEST_BYTES;
use keeptrusts_webhooks_process::grpc_server::{LimitFlags, Listener};
use tonic::body::Body;
use tonic::{Code, Request};

use crate::fixture::{Fixture, listener, reason};

fn publish(data_bytes: usize) -> v1::PublishEventRequest {
    let payload = Some(Payload::DataJson("x".repeat(data_bytes)));
    v1::PublishEventRequest { payload, ..Default::default() }
}

#[tokio::test]
async fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
    // The default of 4 MiB, and a larger limit, which exceeds tonic's own.
    for max_request_bytes in [MAX_REQUEST_BYTES, 2 * MAX_REQUEST_BYTES] {
        let limits = LimitFlags { max_request_bytes, ..LimitFlags::default() };
        let fixture = Fixture::with_limits(limits).await;
        let mut client = fixture.client().await;
        // The prefix of a field of this length has 5 bytes.
        let largest = max_request_bytes as usize - 5;
        let answer = client.publish_event(publish(largest)).await.expect("it fits");
        assert_eq!(answer.into_inner().event_id, largest.to_string());
        let refused = client.publish_event(publish(largest + 1)).await.expect_err("too large");
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
        );
        assert_eq!(
            refused.message(),
            format!(
                "the request has {} bytes and may have {max_request_bytes}: send less at a time; operators can permit more with --max-request-bytes",
                max_request_bytes + 1
            )
        );
    }
}

#[tokio::test]
async fn a_request_may_have_as_many_headers_as_the_limit_says() {
    let limits = LimitFlags { max_headers: 20, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let mut client = fixture.client().await;
    let with_metadata = |count: usize| {
        let mut request = Request::new(publish(0));
        for _ in 0..count {
            request.metadata_mut().append("x-label", "value".parse().expect("a value"));
        }
        request
    };
    client.publish_event(with_metadata(10)).await.expect("gRPC's own are fewer than 10");
    let refused = client.publish_event(with_metadata(20)).await.expect_err("too many");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_HEADERS")
    );
    client.publish_event(publish(0)).await.expect("the connection goes on");
}

#[tokio::test]
async fn a_request_may_have_as_many_bytes_of_headers_as_the_limit_says() {
    let limits = LimitFlags { max_header_bytes: 4_096, ..LimitFlags::default() };
    let fixture = Fixture::with_limits(limits).await;
    let mut client = fixture.client().await;
    let with_metadata = |bytes: usize| {
        let mut request = Request::new(publish(0));
        let value = "x".repeat(bytes).parse().expect("a value");
        request.metadata_mut().insert("x-label", value);
        request
    };
    client.publish_event(with_metadata(3_000)).await.expect("it fits");
    let refused = client.publish_event(with_metadata(5_000)).await.expect_err("too large");
    assert!(refused.message().contains("431"), "{refused:?}");
    client.publish_event(publish(0)).await.expect("the connection goes on");
}

#[tokio::test]
async fn a_deadline_that_passes_has_its_own_code_and_reason() {
    let fixture = Fixture::start().await;
    // tonic's own channel would cancel the call first.
    let channel = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let origin = format!("http://{}", fixture.address).parse().expect("a URI");
    let mut client = IngestServiceClient::with_origin(channel, origin);
    let mut request = Request::new(v1::GetEventRequest::default());
    request.set_timeout(Duration::from_millis(100));
    let begin = Instant::now();
    let status = client.get_event(request).await.expect_err("the gate stays closed");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
    );
    assert!(begin.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_handler_can_ask_how_much_time_is_left() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut request = Request::new(v1::ListEventsRequest::default());
    request.set_timeout(Duration::from_secs(3_600));
    let answer = client.list_events(request).await.expect("an answer");
    assert_eq!(answer.into_inner().next_page_token, "Some(3599)");
    let answer = client.list_events(v1::ListEventsRequest::default()).await.expect("an answer");
    assert_eq!(answer.into_inner().next_page_token, "None");
}

#[tokio::test]
async fn an_error_about_an_address_in_use_names_the_flag() {
    let first = listener("127.0.0.1:0").await;
    let address = first.local_address();
    let error = Listener::bind(address, "--listen").await.expect_err("in use");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: it is in use, by another server or by a connection from that port; stop what uses it, or choose another address with --listen"
        )
    );
    let elsewhere = "192.0.2.1:0".parse().expect("an address");
    let error = Listener::bind(elsewhere, "--listen").await.expect_err("not ours");
    assert_eq!(
        error.to_string(),
        "cannot listen on 192.0.2.1:0; choose another address with --listen"
    );
}
