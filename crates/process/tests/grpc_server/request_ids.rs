//! The id of each request, in the metadata of its answer.

use http::HeaderMap;
use keeptrusts_webhooks_contracts::v1;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::compression::{call, framed, publish};
use crate::fixture::Fixture;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn id_in(head: &HeaderMap) -> String {
    head["x-request-id"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_trace_which_errors_name_too() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("traceparent", traceparent.as_str()), ("x-request-id", "the client's own")];

    let (head, ..) = call(&mut channel, "PublishEvent", &headers, framed(0, &publish(5))).await;
    assert_eq!(id_in(&head), TRACE, "a good answer");
    let (head, ..) = call(&mut channel, "PublishEvent", &[], framed(0, &publish(5))).await;
    let other = id_in(&head);
    assert!(other != TRACE && other.len() == TRACE.len(), "a trace of its own: {other}");

    for (method, code) in
        [("PublishEvent", Code::InvalidArgument), ("Nothing", Code::Unimplemented)]
    {
        let (head, ..) = call(&mut channel, method, &headers, framed(2, &publish(5))).await;
        assert_eq!(id_in(&head), TRACE, "{method}");
        let status = Status::from_header_map(&head).expect("a status");
        let info = status.get_details_request_info().expect("RequestInfo");
        assert_eq!((status.code(), info.request_id.as_str()), (code, TRACE), "{method}");
    }
}

#[tokio::test]
async fn a_stream_has_its_id_from_the_beginning_and_an_error_at_its_end_names_it() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let item = v1::StreamEventsRequest { sequence_number: 1, ..Default::default() };
    // The second message ends early.
    let body = [&framed(0, &item.encode_to_vec())[..], &[0, 0, 0]].concat().into();
    let (head, answers, trailers) = call(&mut channel, "StreamEvents", &[], body).await;
    assert!(!answers.is_empty(), "the first item is answered");
    let status = Status::from_header_map(&trailers).expect("a status");
    let info = status.get_details_request_info().expect("RequestInfo");
    assert_eq!((status.code(), info.request_id), (Code::InvalidArgument, id_in(&head)));

    // What cannot be decoded is the client's mistake, here as well.
    let body = framed(0, b"{}");
    let (head, _, trailers) = call(&mut channel, "StreamEvents", &[], body).await;
    let status = Status::from_header_map(&trailers).expect("a status");
    let info = status.get_details_request_info().expect("RequestInfo");
    assert_eq!((status.code(), info.request_id), (Code::InvalidArgument, id_in(&head)));
}
