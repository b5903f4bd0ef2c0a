//! Keys that a key has created: they end with it, or when it is revoked together with them.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::{AuditAction, key};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::caller::Caller;
use crate::platform::{Backend, Database, Server, assert_refused, eventually};

/// Creates an admin's key that is valid for so many seconds; None: for ever.
async fn make(
    caller: &Caller,
    name: &str,
    seconds: Option<i64>,
) -> Result<(v1::Key, String), Status> {
    let request = v1::CreateKeyRequest {
        organization_id: "acme".to_owned(),
        key: Some(v1::Key {
            display_name: name.to_owned(),
            role: v1::Role::Admin.into(),
            expiration: seconds.map(|seconds| {
                v1::key::Expiration::Ttl(prost_types::Duration { seconds, nanos: 0 })
            }),
            ..v1::Key::default()
        }),
        ..Default::default()
    };
    let made = caller.access().create_key(request).await?.into_inner();
    Ok((made.key.expect("a key"), made.token))
}

async fn open_session(caller: &Caller, server: &Server) -> (v1::Key, Caller) {
    let request = v1::CreateSessionRequest::default();
    let opened = caller.access().create_session(request).await.expect("opened").into_inner();
    (opened.session.expect("a session"), Caller::with(server, &opened.token))
}

async fn listed(caller: &Caller) -> Vec<v1::Key> {
    let request = v1::ListKeysRequest { organization_id: "acme".to_owned(), ..Default::default() };
    caller.access().list_keys(request).await.expect("listed").into_inner().keys
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_by_a_key_that_expires_expire_no_later() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let (key, token) = make(&first, "expires", Some(3_600)).await.expect("made");
    let expiring = Caller::with(&server, &token);
    let (_, in_session) = open_session(&expiring, &server).await;
    for caller in [&expiring, &in_session] {
        for too_long in [None, Some(3_601), Some(90 * 86_400)] {
            let refused = make(caller, "outlives", too_long).await.expect_err("it would outlive");
            assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
            let violations = refused.get_details_bad_request().expect("violations");
            let violation = &violations.field_violations[0];
            assert_eq!(violation.field, "key.ttl");
            assert!(violation.description.contains("is valid until"), "{violation:?}");
        }
        let (made, _) = make(caller, "shorter", Some(3_000)).await.expect("made");
        assert_eq!((made.state(), made.end_time), (key::State::Valid, made.expire_time()));
        assert!(made.end_time.map(|time| time.seconds) <= key.end_time.map(|time| time.seconds));
        assert_eq!(made.creator, key.id);
    }
    // A session lasts for hours, a key without an end for ever.
    let (_, token) = make(&first, "for ever", None).await.expect("made");
    let (_, in_session) = open_session(&Caller::with(&server, &token), &server).await;
    let (made, _) = make(&in_session, "for ever", None).await.expect("its key never expires");
    assert!(made.expire_time().is_none() && made.end_time.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_revoked_with_all_that_was_made_with_it() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let (stolen, stolens_token) = make(&first, "stolen", None).await.expect("made");
    let thief = Caller::with(&server, &stolens_token);
    let (session, in_session) = open_session(&thief, &server).await;
    let (child, childs_token) = make(&in_session, "child", None).await.expect("made");
    let heir = Caller::with(&server, &childs_token);
    let (grandchild, grandchilds_token) = make(&heir, "grandchild", None).await.expect("made");
    let (heirs_session, _) = open_session(&heir, &server).await;
    let (other, others_token) = make(&first, "somebody else's", None).await.expect("made");

    // Revoked alone, it takes its sessions with it and nothing else.
    first.revoke("acme", &stolen.id).await;
    let states = async || {
        let keys = listed(&first).await;
        let state = |id: &str| keys.iter().find(|key| key.id == id).expect("listed").state();
        [&stolen, &session, &child, &grandchild, &heirs_session, &other].map(|key| state(&key.id))
    };
    use key::State::{EndedWithKey, Revoked, Valid};
    assert_eq!(states().await, [Revoked, EndedWithKey, Valid, Valid, Valid, Valid]);
    let ended = listed(&first).await.into_iter().find(|key| key.id == session.id).expect("listed");
    assert!(ended.revoke_time.is_none() && ended.end_time.is_some(), "{ended:?}");
    // It can create nothing any more, even where it is cached for some seconds.
    let refused = make(&thief, "one more", None).await.expect_err("it was revoked");
    assert_eq!(refused.code(), Code::Unauthenticated);

    let request = v1::RevokeKeyRequest {
        organization_id: "acme".to_owned(),
        key_id: stolen.id.clone(),
        revoke_made: true,
    };
    first.access().revoke_key(request).await.expect("revoked");
    // The sessions had ended with their keys before they were revoked themselves.
    assert_eq!(states().await, [Revoked, EndedWithKey, Revoked, Revoked, EndedWithKey, Valid]);
    let last = Caller::with(&server, &grandchilds_token);
    eventually("the last of them is refused", async || last.who_am_i().await.err()).await;
    Caller::with(&server, &others_token).who_am_i().await.expect("nobody else's is");

    let request =
        v1::ListAuditEntriesRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let trail = first.audit().list_audit_entries(request).await.expect("the trail").into_inner();
    let of = |action: AuditAction| {
        let entries = trail.entries.iter().filter(|entry| entry.action() == action);
        let mut ids: Vec<_> = entries.map(|entry| entry.key_id.as_str()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(of(AuditAction::KeyRevoked), [&stolen.id, &child.id, &grandchild.id]);
    assert_eq!(of(AuditAction::SessionEnded), [&session.id, &heirs_session.id]);
}
