//! Keys, from their creation to their end.

use std::time::Duration;

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::process::{Launch, Signal};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

use super::caller::{Caller, client};
use crate::platform::{
    Backend, Database, PATIENCE, Server, assert_refused, eventually, on_both_backends,
};

/// The documented limit.
const REVOCATION_LIMIT: Duration = Duration::from_secs(5);

on_both_backends!(
    a_revocation_reaches_every_replica_and_ends_open_streams,
    a_publisher_reads_its_own_events_only,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_used_and_revoked() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let made = first.create_key("acme", v1::Role::Admin).await;
    let key = made.key.expect("a key");
    assert!(made.token.starts_with("kt_") && made.token.len() == 67, "{}", made.token.len());
    assert!(key.last_use_time.is_none() && key.revoke_time.is_none());

    let admin = Caller::with(&server, &made.token);
    let told = admin.who_am_i().await.expect("it is valid");
    assert_eq!((told.actor.as_str(), told.organization_id.as_str()), (key.id.as_str(), "acme"));
    assert_eq!((told.role(), told.session), (v1::Role::Admin, false));

    let everywhere = v1::CreateKeyRequest {
        organization_id: "*".to_owned(),
        key: Some(v1::Key {
            display_name: "more than I have".to_owned(),
            role: v1::Role::Viewer.into(),
            expiration: None,
            ..v1::Key::default()
        }),
        ..Default::default()
    };
    let refused = admin.access().create_key(everywhere).await.expect_err("not everywhere");
    assert_refused(&refused, Code::NotFound, "ORGANIZATION_NOT_FOUND");
    let platform = v1::CreateKeyRequest {
        organization_id: "acme".to_owned(),
        key: Some(v1::Key {
            display_name: " ".to_owned(),
            role: v1::Role::Platform.into(),
            expiration: Some(v1::key::Expiration::Ttl(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            })),
            ..v1::Key::default()
        }),
        ..Default::default()
    };
    let refused = admin.access().create_key(platform).await.expect_err("nothing of it is right");
    let fields = refused.get_details_bad_request().expect("violations").field_violations;
    let fields: Vec<_> = fields.into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["key.display_name", "key.role", "key.ttl"]);

    let listed = v1::ListKeysRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let listed = admin.access().list_keys(listed).await.expect("listed").into_inner().keys;
    assert_eq!(listed.iter().map(|key| &key.id).collect::<Vec<_>>(), [&key.id]);
    assert!(!format!("{listed:?}").contains(&made.token));

    let revoked = first.revoke("acme", &key.id).await;
    assert!(revoked.revoke_time.is_some());
    eventually("the key is refused", async || admin.who_am_i().await.err()).await;
    let again = first.revoke("acme", &key.id).await;
    assert_eq!(again.revoke_time, revoked.revoke_time, "there is nothing to do twice");
    let elsewhere = v1::RevokeKeyRequest {
        organization_id: "globex".to_owned(),
        key_id: key.id,
        revoke_made: false,
    };
    let refused = first.access().revoke_key(elsewhere).await.expect_err("not globex's");
    assert_refused(&refused, Code::NotFound, "KEY_NOT_FOUND");
}

async fn a_revocation_reaches_every_replica_and_ends_open_streams(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    // On Postgres it is revoked at one process and used at another.
    let other = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Server::service("dispatch-service", &database).start().await),
    };
    let used_at = other.as_ref().unwrap_or(&server);
    let made = first.create_key("acme", v1::Role::Viewer).await;
    let viewer = client(used_at, "acme", &made.token);
    let watch =
        || v1::WatchDeliveriesRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let mut changes =
        viewer.dispatch().watch_deliveries(watch()).await.expect("a stream").into_inner();

    first.revoke("acme", &made.key.expect("a key").id).await;
    let revoked = Instant::now();
    eventually("the key is refused", async || {
        viewer.dispatch().watch_deliveries(watch()).await.err()
    })
    .await;
    assert!(revoked.elapsed() < REVOCATION_LIMIT, "{:?}", revoked.elapsed());
    let ended = tokio::time::timeout(PATIENCE, next_shown(&mut changes)).await.expect("in time");
    let ended = ended.expect_err("it ends with a status");
    assert_refused(&ended, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(revoked.elapsed() < 2 * REVOCATION_LIMIT, "{:?}", revoked.elapsed());
}

async fn a_publisher_reads_its_own_events_only(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let publisher = async || {
        let key = first.create_key("acme", v1::Role::Publisher).await;
        (client(&server, "acme", &key.token), key.key.expect("a key").id)
    };
    let ((one, id), (other, _)) = (publisher().await, publisher().await);
    let mine = one.publish("user.invited", "{}").await;
    let theirs = other.publish("user.invited", "{}").await;

    let list = v1::ListEventsRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let listed = one.ingest().list_events(list.clone()).await.expect("listed").into_inner().events;
    assert_eq!(listed.iter().map(|event| &event.id).collect::<Vec<_>>(), [&mine]);
    assert_eq!(listed[0].publisher, id);
    let get = |event_id: &str| v1::GetEventRequest {
        organization_id: "acme".to_owned(),
        event_id: event_id.to_owned(),
        ..Default::default()
    };
    assert!(one.ingest().get_event(get(&mine)).await.is_ok());
    let refused = one.ingest().get_event(get(&theirs)).await.expect_err("not its own");
    assert_refused(&refused, Code::NotFound, "EVENT_NOT_FOUND");
    let all = server.client("acme").ingest().list_events(list).await.expect("listed");
    assert_eq!(all.into_inner().events.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_keys_gets_one_that_is_shown_once_and_not_in_the_log() {
    let database = Database::new(Backend::Sqlite).await;
    let start = || {
        Launch::binary("keeptrusts-webhooks")
            .arg("serve")
            .args(database.flags())
            .args(["--listen", "127.0.0.1:0", "--no-console"])
            .start()
    };
    let token = |output: &str| {
        let shown: Vec<_> =
            output.lines().filter_map(|line| line.trim().strip_prefix("kt_")).collect();
        shown.first().map(|digits| format!("kt_{digits}"))
    };
    let mut process = start();
    let address = process.wait_for_listening(PATIENCE).await;
    let shown = token(&process.output()).expect("a key is shown");
    let bearer = keeptrusts_webhooks_contracts::client::Bearer::new(&shown).expect("a token");
    let caller = Caller { channel: bearer.on(crate::platform::channel(address)) };
    let told = caller.who_am_i().await.expect("it is valid");
    assert_eq!((told.role(), told.organization_id.as_str()), (v1::Role::Admin, "*"));
    process.signal(Signal::Term);
    assert!(process.wait_exit(PATIENCE).await.success());
    let logged = process.output();
    let logged = logged.lines().filter(|line| line.contains(" INFO ") || line.contains(" WARN "));
    assert!(logged.into_iter().all(|line| !line.contains(&shown)));

    let again = start();
    again.wait_for_listening(PATIENCE).await;
    assert_eq!(token(&again.output()), None, "it is shown once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_that_cannot_be_one_is_refused_and_not_repeated() {
    let mut process = Launch::binary("keeptrusts-webhooks")
        .args(["serve", "--bootstrap-admin-key", "my-secret-key"])
        .start();
    assert!(!process.wait_exit(PATIENCE).await.success());
    let output = process.output();
    assert!(output.contains("openssl rand -hex 32"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_noted_and_survive_a_restart() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let first = Caller::first(&server);
    let made = first.create_key("acme", v1::Role::Viewer).await;
    let viewer = Caller::with(&server, &made.token);
    viewer.who_am_i().await.expect("it is valid");
    // What waits to be recorded is recorded when the process ends.
    server.stop().await;
    server.start_again().await;
    let list = v1::ListKeysRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let keys = eventually("the server is back", async || {
        Some(first.access().list_keys(list.clone()).await.ok()?.into_inner().keys)
    })
    .await;
    assert!(keys[0].last_use_time.is_some(), "{keys:?}");
    assert!(viewer.who_am_i().await.is_ok(), "keys survive");
}
