//! Requests whose body is not exactly one message.

use bytes::Bytes;

use crate::compression::{call, framed, publish, reason_of};
use crate::fixture::Fixture;

#[tokio::test]
async fn a_body_that_is_not_one_message_is_refused_before_anything_is_decoded() {
    let fixture = Fixture::start().await;
    let mut channel = fixture.connect().await;
    let whole = framed(0, &publish(5));
    let cut = |bytes: &Bytes| bytes.slice(..bytes.len() - 1);
    let compressed = framed(1, &zstd::encode_all(&publish(5)[..], 3).expect("in memory"));
    let twice = |bytes: &Bytes| Bytes::from([&bytes[..], &bytes[..]].concat());
    for (what, body) in [
        ("nothing", Bytes::new()),
        ("a part of a prefix", whole.slice(..3)),
        ("an unknown flag", framed(2, &publish(5))),
        ("a part of a message", cut(&whole)),
        ("a part of a compressed one", cut(&compressed)),
        ("two messages", twice(&whole)),
        ("two compressed ones", twice(&compressed)),
        ("a message and a byte", Bytes::from([&whole[..], &[0]].concat())),
    ] {
        let headers = [("grpc-encoding", "zstd")];
        let (head, ..) = call(&mut channel, "PublishEvent", &headers, body).await;
        let status = head.get("grpc-status").map(|status| status.as_bytes());
        assert_eq!(status, Some(&b"3"[..]), "INVALID_ARGUMENT for {what}: {head:?}");
    }
    let (head, ..) = call(&mut channel, "PublishEvent", &[], whole).await;
    assert!(head.get("grpc-status").is_none(), "one is answered: {head:?}");
    let (head, ..) = call(&mut channel, "Nothing", &[], Bytes::new()).await;
    assert_eq!(head["grpc-status"], "12", "UNIMPLEMENTED whatever it brings: {head:?}");
    assert_eq!(reason_of(&head), "METHOD_NOT_FOUND");
}
