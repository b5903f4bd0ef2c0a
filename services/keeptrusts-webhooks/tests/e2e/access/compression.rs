//! Responses are compressed on request, except those that contain a credential (CRIME, BREACH).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use keeptrusts_webhooks_domain::key::TOKEN_PREFIX;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::http::{HeaderMap, Request};
use tonic::transport::Channel;

use super::caller::Caller;
use super::matrix::{PACKAGE, create_resources, rules};
use crate::platform::{Backend, Database, Server, channel};

/// Responses that contain a credential.
const WITH_CREDENTIALS: [&str; 5] = [
    "AccessService/CreateKey",
    "AccessService/CreateSession",
    "EndpointService/CreateEndpoint",
    "EndpointService/RevealSecret",
    "EndpointService/RotateSecret",
];
/// Responses with a field for a credential that is always empty in them.
const WITH_EMPTY_PLACES: [&str; 4] = [
    "NotificationService/CreateChannel",
    "NotificationService/GetChannel",
    "NotificationService/ListChannels",
    "NotificationService/UpdateChannel",
];
/// Its acknowledgements are shorter than what is worth compressing.
const SHORT: [&str; 1] = ["IngestService/StreamEvents"];
/// A stream may have no message yet.
const STREAM_PATIENCE: Duration = Duration::from_millis(300);

/// The headers of a response, and what is known of its body.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Whether there is a message, or could be: statuses have none.
    fn is_message(&self) -> bool {
        !self.headers.contains_key("grpc-status")
    }

    fn encoding(&self) -> Option<&str> {
        self.headers.get("grpc-encoding").map(|name| name.to_str().expect("a name"))
    }

    /// Whether it contains the token of a key or session, or a generated secret.
    fn shows_a_credential(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body);
        text.contains(TOKEN_PREFIX) || text.contains("whsec_")
    }
}

/// Calls a method, offering these compressions.
async fn ask(channel: &mut Channel, method: &str, message: &[u8], accepted: &str) -> Answer {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("short"));
    body.extend_from_slice(message);
    let request = Request::post(format!("/{PACKAGE}.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {FIRST_KEY}"))
        .header("grpc-accept-encoding", accepted)
        .body(Body::new(Full::new(body.freeze())))
        .expect("a request");
    std::future::poll_fn(|context| GrpcService::<Body>::poll_ready(channel, context))
        .await
        .expect("connected");
    let answer = GrpcService::<Body>::call(channel, request).await.expect("an answer");
    let (head, mut body) = answer.into_parts();
    let mut read = BytesMut::new();
    while let Ok(Some(frame)) = timeout(STREAM_PATIENCE, body.frame()).await {
        match frame.expect("it goes on").into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(_) => break,
        }
    }
    Answer { headers: head.headers, body: read.freeze() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_is_compressed_on_request_unless_it_contains_a_credential() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).retrying_after("1h").start().await;
    let ids = create_resources(&server.client("acme"), &Caller::first(&server)).await;
    let mut channel = channel(server.address());
    let (mut showing, mut as_they_are) = (BTreeSet::new(), BTreeSet::new());
    let mut compressed = 0;
    for rule in rules() {
        let message = (rule.request)(&ids);
        for accepted in ["gzip", "zstd", "identity"] {
            let answer = ask(&mut channel, rule.method, &message, accepted).await;
            if !answer.is_message() {
                continue;
            }
            if answer.shows_a_credential() {
                showing.insert(rule.method);
            }
            match (answer.encoding(), accepted) {
                (None, "identity") => {}
                (None, _) => drop(as_they_are.insert(rule.method)),
                (Some(encoding), accepted) => {
                    assert_eq!(encoding, accepted, "{}", rule.method);
                    compressed += 1;
                }
            }
        }
    }
    assert!(showing.iter().eq(&WITH_CREDENTIALS), "{showing:?}");
    let allowed = BTreeSet::from(WITH_CREDENTIALS);
    let allowed = &allowed | &BTreeSet::from(WITH_EMPTY_PLACES);
    let allowed = &allowed | &BTreeSet::from(SHORT);
    assert!(as_they_are.is_superset(&showing), "{as_they_are:?}");
    assert!(as_they_are.is_subset(&allowed), "{as_they_are:?}");
    assert!(compressed > 30, "{compressed}");
}
