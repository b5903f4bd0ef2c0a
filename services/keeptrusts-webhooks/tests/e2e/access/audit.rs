//! The audit trail: who did what, when, from where, and what changed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::AuditAction;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic_types::StatusExt;

use super::caller::{Caller, client};
use crate::platform::{Backend, Database, Server, on_both_backends};

const PLANTED: &str = "planted-secret-0123456789abcdef";

on_both_backends!(everything_that_people_do_is_in_the_trail_and_no_secret_is,);

async fn list(
    caller: &Caller,
    request: v1::ListAuditEntriesRequest,
) -> v1::ListAuditEntriesResponse {
    caller.audit().list_audit_entries(request).await.expect("the trail").into_inner()
}

async fn everything_that_people_do_is_in_the_trail_and_no_secret_is(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let first = Caller::first(&server);
    let made = first.create_key("acme", v1::Role::Admin).await;
    let key_id = made.key.expect("a key").id;
    let (ann, acme) = (Caller::with(&server, &made.token), client(&server, "acme", &made.token));

    let endpoint = acme.create_endpoint(&receiver.url("/old"), &["user.invited"]).await;
    let organization_id = || "acme".to_owned();
    let endpoint_id = || endpoint.id.clone();
    let update = v1::UpdateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(v1::Endpoint {
            id: endpoint_id(),
            url: receiver.url("/new"),
            secret: PLANTED.to_owned(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["url".to_owned(), "secret".to_owned()],
        }),
        ..Default::default()
    };
    acme.endpoints().update_endpoint(update).await.expect("updated");
    let reveal =
        v1::RevealSecretRequest { organization_id: organization_id(), endpoint_id: endpoint_id() };
    acme.endpoints().reveal_secret(reveal).await.expect("revealed");
    let test = v1::SendTestRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id(),
        ..Default::default()
    };
    let test = acme.dispatch().send_test(test).await.expect("sent").into_inner();
    let test = test.delivery.expect("a delivery");
    let event_id = acme.publish("user.invited", "{}").await;
    let delivery = acme.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
    let retry = v1::RetryDeliveryRequest {
        organization_id: organization_id(),
        delivery_id: delivery.id.clone(),
        ..Default::default()
    };
    acme.dispatch().retry_delivery(retry).await.expect("asked for");

    let all =
        v1::ListAuditEntriesRequest { organization_id: organization_id(), ..Default::default() };
    let trail = list(&ann, all.clone()).await;
    let actions: Vec<_> = trail.entries.iter().map(v1::AuditEntry::action).collect();
    let expected = [
        AuditAction::RetryRequested,
        AuditAction::TestSent,
        AuditAction::SecretRevealed,
        AuditAction::EndpointUpdated,
        AuditAction::EndpointCreated,
        AuditAction::KeyCreated,
    ];
    assert_eq!(actions, expected, "newest first, and no publishing");
    assert_eq!(trail.next_page_token, "");
    let shown = format!("{:?}", trail.entries);
    for secret in [PLANTED, &endpoint.secret, &made.token] {
        assert!(!shown.contains(secret), "{shown}");
    }

    let [retried, tested, _, updated, created, key] = &trail.entries[..] else { unreachable!() };
    for entry in [retried, tested, updated, created] {
        assert_eq!((entry.actor.as_str(), entry.address.as_str()), (key_id.as_str(), "127.0.0.1"));
        assert_eq!(entry.actor_name, "ROLE_ADMIN of acme");
        assert_eq!(entry.endpoint_id, endpoint.id, "{:?}", entry.action());
        assert!(entry.create_time.is_some() && !entry.id.is_empty());
    }
    assert_eq!((&retried.delivery_id, &retried.event_id), (&delivery.id, &event_id));
    assert_eq!((&tested.delivery_id, &tested.event_id), (&test.id, &test.event_id));
    let change = |field: &str, before: &str, after: &str| v1::AuditChange {
        field: field.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let url = change("url", &receiver.url("/old"), &receiver.url("/new"));
    assert_eq!(updated.changes, [url, change("secret", "", "")]);
    assert_eq!(key.key_id, key_id);
    assert_eq!(key.changes[1], change("role", "", "ROLE_ADMIN"));

    // Page by page it is the same, also where it comes from two logs.
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let page = v1::ListAuditEntriesRequest { page_size: 2, page_token: token, ..all.clone() };
        let page = list(&ann, page).await;
        paged.extend(page.entries);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, trail.entries);

    // Ids and page tokens of one organization are of no use in another.
    let mut ids: Vec<_> = trail.entries.iter().map(|entry| &entry.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), trail.entries.len());
    assert_eq!(updated.id, format!("endpoint/{}/2", endpoint.id));
    let two = v1::ListAuditEntriesRequest { page_size: 2, ..all.clone() };
    let page_token = list(&ann, two).await.next_page_token;
    let told = URL_SAFE_NO_PAD.decode(&page_token).expect("base64");
    // Behind the digest of the filters.
    assert_eq!(String::from_utf8_lossy(&told[8..]), format!("{} ", tested.id));
    let elsewhere = v1::ListAuditEntriesRequest {
        organization_id: "globex".to_owned(),
        page_token,
        ..Default::default()
    };
    let refused = first.audit().list_audit_entries(elsewhere).await.expect_err("acme's token");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let details = refused.get_details_bad_request().expect("field violations");
    assert_eq!(details.field_violations[0].field, "page_token");

    let revealed = v1::ListAuditEntriesRequest {
        actions: vec![AuditAction::SecretRevealed.into()],
        actor: key_id.clone(),
        endpoint_ids: vec![endpoint_id()],
        ..all.clone()
    };
    assert_eq!(list(&ann, revealed).await.entries.len(), 1);
    let rotated = v1::ListAuditEntriesRequest {
        actions: vec![AuditAction::SecretRotated.into()],
        ..all.clone()
    };
    assert_eq!(list(&ann, rotated).await.entries, std::slice::from_ref(updated), "its secret, too");
    let by_nobody = v1::ListAuditEntriesRequest { actor: "nobody".to_owned(), ..all };
    assert_eq!(list(&ann, by_nobody).await.entries, []);
    let platforms =
        v1::ListAuditEntriesRequest { organization_id: "*".to_owned(), ..Default::default() };
    let platforms = list(&first, platforms).await.entries;
    assert_eq!(platforms.len(), 1, "the first key itself");
    assert_eq!(
        (platforms[0].actor.as_str(), platforms[0].action()),
        ("bootstrap", AuditAction::KeyCreated)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_its_end_are_in_the_trail_of_their_endpoint() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let acme = server.client("acme");
    for _ in 0..5 {
        acme.publish("user.invited", "{}").await;
    }
    let endpoint = acme.create_endpoint("https://receiver.invalid/", &["user.invited"]).await;
    let request = v1::CreateReplayRequest {
        organization_id: acme.organization(),
        replay: Some(v1::Replay {
            endpoint_id: endpoint.id.clone(),
            scope: v1::replay::Scope::All.into(),
            deliveries_per_second: 1,
            ..v1::Replay::default()
        }),
        ..Default::default()
    };
    let counted = v1::CreateReplayRequest { validate_only: true, ..request.clone() };
    acme.dispatch().create_replay(counted).await.expect("counted");
    let begun = acme.dispatch().create_replay(request).await.expect("begun").into_inner();
    let replay_id = begun.replay.expect("a replay").id;
    let (organization_id, replay) = (acme.organization(), replay_id.clone());
    let request = v1::CancelReplayRequest { organization_id, replay_id: replay };
    acme.dispatch().cancel_replay(request).await.expect("cancelled");

    let of_endpoint = v1::ListAuditEntriesRequest {
        organization_id: acme.organization(),
        endpoint_ids: vec![endpoint.id.clone()],
        ..Default::default()
    };
    let trail = list(&first, of_endpoint.clone()).await.entries;
    let actions: Vec<_> = trail.iter().map(v1::AuditEntry::action).collect();
    let expected =
        [AuditAction::ReplayCancelled, AuditAction::ReplayRequested, AuditAction::EndpointCreated];
    assert_eq!(actions, expected, "what was only counted is not in it, nor what dispatch did");
    for entry in &trail[..2] {
        assert_eq!((&entry.replay_id, &entry.endpoint_id), (&replay_id, &endpoint.id));
        assert_eq!(entry.address, "127.0.0.1");
    }
    let fields: Vec<_> = trail[1].changes.iter().map(|change| change.field.as_str()).collect();
    let expected = ["scope", "event_types", "deliveries_per_second", "matched_count"];
    assert_eq!(fields, expected);
    let only = v1::ListAuditEntriesRequest {
        actions: vec![AuditAction::ReplayRequested.into()],
        ..of_endpoint
    };
    assert_eq!(list(&first, only).await.entries, trail[1..2]);
}
