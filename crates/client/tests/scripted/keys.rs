//! A key that is replaced in its file.

use keeptrusts_webhooks_client::{Code, Event, v1};
use tonic::Status;

use crate::server::{Scripted, fails, ok};

#[tokio::test]
async fn a_refused_key_is_read_again_and_the_call_repeated_with_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, "kt_old\n").expect("written");
    let refused = || fails(Status::unauthenticated("the key is revoked"));
    let response = v1::PublishEventResponse::default();
    let server = Scripted::start([refused(), ok(&response), refused(), ok(&response)]).await;
    let client = server.builder().api_key_file(&path).build().expect("a client");
    std::fs::write(&path, "kt_new\n").expect("written");
    let event = || Event::new("acme", "policy.violation", "{}");
    client.publish(event()).await.expect("published with the new key");
    let keys: Vec<_> = server.received().iter().map(|call| call.key().to_owned()).collect();
    assert_eq!(keys, ["Bearer kt_old", "Bearer kt_new"]);

    let error = client.publish(event()).await.expect_err("no other key is there");
    assert_eq!((error.code(), server.received().len()), (Code::Unauthenticated, 3));
}
