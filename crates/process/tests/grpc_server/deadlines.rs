//! The header `grpc-timeout`.

use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::compression::{call, framed, publish};
use crate::fixture::{Fixture, PATIENCE, SERVICE};

/// The status in the head of an answer without a message.
fn refusal(head: &HeaderMap) -> Option<Status> {
    Status::from_header_map(head)
}

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused_and_the_longest_one_is_not() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let body = framed(0, &publish(5));
    let mut ask = async |timeouts: &[&str]| {
        let headers: Vec<_> = timeouts.iter().map(|timeout| ("grpc-timeout", *timeout)).collect();
        let (head, body, _) = call(&mut channel, "PublishEvent", &headers, body.clone()).await;
        assert_eq!(refusal(&head).is_none(), !body.is_empty(), "{timeouts:?}: {head:?}");
        refusal(&head)
    };
    for wrong in ["", "abc", "10", "S", "-1S", "1.5S", "1x", "123456789S"] {
        let refused = ask(&[wrong]).await.expect(wrong);
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}: {refused}");
        let fields = refused.get_details_bad_request().expect("fields").field_violations;
        assert_eq!(fields[0].field, "grpc-timeout", "{wrong:?}");
    }
    let refused = ask(&["1S", "1S"]).await.expect("two are no timeout");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    for longest in ["99999999H", "99999999M", "99999999S"] {
        assert!(ask(&[longest]).await.is_none(), "{longest}");
    }
}

#[tokio::test]
async fn nothing_is_done_for_a_call_whose_deadline_has_passed_when_it_arrives() {
    let fixture = Fixture::start().await;
    let stream = TcpStream::connect(fixture.address).await.expect("the server accepts");
    // tonic's client would not wait for the answer.
    let (mut client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    for passed in ["0S", "0n", "00000000H", "1n"] {
        let request = Request::post(format!("http://server/{SERVICE}/GetEvent"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", passed)
            .body(());
        client = client.ready().await.expect("there is room");
        let (answer, mut body) =
            client.send_request(request.expect("a request"), false).expect("it is sent");
        body.send_data(framed(0, &[]), true).expect("it is sent");
        let answer = timeout(PATIENCE, answer).await.expect(passed).expect("an answer");
        let refused = refusal(answer.headers()).expect(passed);
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{passed}: {refused}");
    }
    let mut other = fixture.connect().await;
    let waits =
        tokio::spawn(async move { call(&mut other, "GetEvent", &[], framed(0, &[])).await });
    fixture.gate.arrival().await;
    let others = timeout(Duration::ZERO, fixture.gate.arrival()).await;
    assert!(others.is_err(), "the service has seen one call");
    fixture.gate.open();
    waits.await.expect("no panic");
}
