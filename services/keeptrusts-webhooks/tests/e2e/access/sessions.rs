//! Sessions: what a browser has in a key's place.

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use tokio::time::timeout;
use tonic::Code;

use super::caller::{Caller, client};
use crate::platform::{Backend, Database, PATIENCE, Server, assert_refused, eventually};

fn request(organization: &str) -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        organization_id: organization.to_owned(),
        expiration: None,
        ..Default::default()
    }
}

async fn open(caller: &Caller, organization: &str) -> v1::CreateSessionResponse {
    let opened = caller.access().create_session(request(organization)).await;
    opened.expect("a session").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_do_what_its_key_may_in_one_organization_until_it_ends() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let first = Caller::first(&server);
    let refused = first.access().create_session(request("")).await.expect_err("for which?");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let opened = open(&first, "acme").await;
    let session = Caller::with(&server, &opened.token);
    let told = session.who_am_i().await.expect("it is valid");
    assert_eq!((told.role(), told.organization_id.as_str()), (v1::Role::Admin, "acme"));
    assert!(told.session && told.expire_time.is_some());
    let refused = session.access().create_session(request("acme")).await.expect_err("one");
    assert_refused(&refused, Code::FailedPrecondition, "ALREADY_A_SESSION");

    // It is in the log, and so survives a restart.
    server.stop().await;
    server.start_again().await;
    eventually("the session is known again", async || session.who_am_i().await.ok()).await;

    let viewer = client(&server, "acme", &opened.token);
    let watch =
        v1::WatchDeliveriesRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let mut changes =
        viewer.dispatch().watch_deliveries(watch).await.expect("a stream").into_inner();
    session.access().end_session(v1::EndSessionRequest {}).await.expect("it ends");
    let refused = session.who_am_i().await.expect_err("from that moment on");
    assert_refused(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
    let ended = timeout(PATIENCE, next_shown(&mut changes)).await.expect("it ends in time");
    assert_refused(&ended.expect_err("with a status"), Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(first.who_am_i().await.is_ok(), "its key is not");
    let refused = first.access().end_session(v1::EndSessionRequest {}).await.expect_err("a key");
    assert_refused(&refused, Code::FailedPrecondition, "NOT_A_SESSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_key_that_it_was_opened_with() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let key = first.create_key("acme", v1::Role::Viewer).await;
    let viewer = Caller::with(&server, &key.token);
    let refused = viewer.access().create_session(request("globex")).await.expect_err("not its own");
    assert_refused(&refused, Code::NotFound, "ORGANIZATION_NOT_FOUND");
    let session = Caller::with(&server, &open(&viewer, "").await.token);
    assert_eq!(session.who_am_i().await.expect("it is valid").organization_id, "acme");
    first.revoke("acme", &key.key.expect("a key").id).await;
    eventually("the session is refused", async || session.who_am_i().await.err()).await;
}
