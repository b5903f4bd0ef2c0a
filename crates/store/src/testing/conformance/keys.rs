//! Keys, their uses, and the audit trail.

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_domain::access::{OrganizationScope, Role};
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, KeyFact, NewKey, SessionOrigin, Token, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use ulid::Ulid;

use super::Fixture;
use super::given::*;
use crate::log::operation::{ExpectedVersion, Operation, Refusal};
use crate::queries::{AuditFilter, Interval, KeyFilter};

fn key_id(number: u128) -> KeyId {
    KeyId::new(Ulid(number))
}

fn token(number: u8) -> TokenDigest {
    Token::from_random([number; 32]).digest()
}

fn create_key(number: u8, expected: ExpectedVersion) -> Operation {
    create(number, expected, None)
}

fn create(number: u8, expected: ExpectedVersion, session: Option<SessionOrigin>) -> Operation {
    let new = NewKey {
        display_name: format!("key {number}"),
        role: Role::ALL[usize::from(number) % Role::ALL.len()],
        token: token(number),
        expire_time: number.is_multiple_of(2).then(|| time("2027-01-01T00:00:00.000001Z")),
        session,
    };
    let fact = Fact::Key(KeyFact::Created(new));
    let mut operation = operation(Stream::Key(key_id(number.into())), expected, fact);
    operation.metadata.actor = "somebody".to_owned();
    operation
}

fn change_key(number: u8, expected: ExpectedVersion, fact: KeyFact) -> Operation {
    operation(Stream::Key(key_id(number.into())), expected, Fact::Key(fact))
}

pub(crate) async fn a_key_is_found_by_its_token_even_after_it_ended(fixture: Fixture) {
    let store = fixture.store();
    assert!(!store.has_keys().await.expect("reads"));
    let parent = SessionOrigin { parent: Some(key_id(1)) };
    fixture.append(create(3, ExpectedVersion::New, Some(parent))).await;
    assert!(!store.has_keys().await.expect("reads"), "a session is no API key");
    fixture.append(create_key(1, ExpectedVersion::New).of(OrganizationId::all())).await;
    fixture.append(create_key(2, ExpectedVersion::New)).await;
    assert!(store.has_keys().await.expect("reads"));

    let found = store.key_by_token(token(2)).await.expect("reads").expect("there");
    assert_eq!((found.id, found.role), (key_id(2), Role::ALL[2]));
    assert_eq!(found.organizations, OrganizationScope::One(organization()));
    assert_eq!(found.expire_time, Some(time("2027-01-01T00:00:00.000001Z")));
    assert_eq!((found.creator.as_str(), found.session), ("somebody", None));
    let everywhere = store.key(key_id(1)).await.expect("reads").expect("there");
    assert_eq!(everywhere.organizations, OrganizationScope::All);
    let session = store.key(key_id(3)).await.expect("reads").expect("there");
    assert_eq!(session.session, Some(parent));
    assert_eq!(store.key_by_token(token(9)).await.expect("reads"), None);
    assert_eq!(store.key(key_id(9)).await.expect("reads"), None);

    let revoke = change_key(2, ExpectedVersion::Exactly(Version(1)), KeyFact::Revoked);
    let recorded_at = fixture.append(revoke).await[0].recorded_at;
    let found = store.key_by_token(token(2)).await.expect("reads").expect("still there");
    assert_eq!((found.revoke_time, found.version), (Some(recorded_at), Version(2)));
}

pub(crate) async fn a_key_that_expects_version_0_is_created_once(fixture: Fixture) {
    let none = ExpectedVersion::Exactly(Version(0));
    let results = fixture.results(&[create_key(1, none), create_key(1, none)]).await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(Refusal::StaleVersion { .. })), "{:?}", results[1]);
    let again = fixture.results(&[create_key(1, none)]).await;
    assert!(matches!(again[0], Err(Refusal::StaleVersion { .. })), "{:?}", again[0]);
    let others = change_key(1, ExpectedVersion::Any, KeyFact::Revoked).of(other_organization());
    let refused = fixture.results(&[others]).await;
    assert!(matches!(refused[0], Err(Refusal::NoSuchStream(_))), "{:?}", refused[0]);
}

pub(crate) async fn an_organizations_keys_are_listed_newest_first(fixture: Fixture) {
    for number in 1..=6 {
        let session = (number > 4).then_some(SessionOrigin { parent: None });
        fixture.append(create(number, ExpectedVersion::New, session)).await;
    }
    fixture.append(create_key(7, ExpectedVersion::New).of(other_organization())).await;
    fixture.append(create_key(8, ExpectedVersion::New).of(OrganizationId::all())).await;
    let list = async |organization: OrganizationId, sessions, before, limit| {
        let filter = KeyFilter { sessions };
        let keys = fixture.store().list_keys(&organization, filter, before, limit).await;
        keys.expect("reads").iter().map(|key| key.id.ulid().0).collect::<Vec<_>>()
    };
    assert_eq!(list(organization(), None, KeyId::MAX, 4).await, [6, 5, 4, 3]);
    assert_eq!(list(organization(), None, key_id(3), 4).await, [2, 1]);
    assert_eq!(list(organization(), Some(true), KeyId::MAX, 9).await, [6, 5]);
    assert_eq!(list(organization(), Some(false), KeyId::MAX, 9).await, [4, 3, 2, 1]);
    assert_eq!(list(OrganizationId::all(), None, KeyId::MAX, 9).await, [8]);
}

pub(crate) async fn keys_are_found_by_id_and_by_creator(fixture: Fixture) {
    let made_by = |maker: u128, number: u8| {
        let mut operation = create_key(number, ExpectedVersion::New);
        operation.metadata.actor = key_id(maker).to_string();
        operation
    };
    for number in 2..=4 {
        fixture.append(made_by(1, number)).await;
    }
    fixture.append(made_by(2, 5)).await;
    fixture.append(made_by(1, 6).of(other_organization())).await;
    let numbers = |keys: Vec<Key>| keys.iter().map(|key| key.id.ulid().0).collect::<Vec<_>>();
    let store = fixture.store();
    let made = async |maker: u128, before: KeyId, limit: usize| {
        numbers(store.keys_made_by(key_id(maker), before, limit).await.expect("reads"))
    };
    assert_eq!(made(1, KeyId::MAX, 3).await, [6, 4, 3]);
    assert_eq!(made(1, key_id(3), 3).await, [2]);
    assert_eq!(made(2, KeyId::MAX, 3).await, [5]);
    assert_eq!(made(9, KeyId::MAX, 3).await, []);
    let mut found = numbers(store.keys(&[key_id(5), key_id(9), key_id(2)]).await.expect("reads"));
    found.sort_unstable();
    assert_eq!(found, [2, 5]);
    assert_eq!(store.keys(&[]).await.expect("reads"), []);
}

pub(crate) async fn the_last_use_of_a_key_never_goes_back(fixture: Fixture) {
    let (early, late) = (time("2026-04-23T10:30:00Z"), time("2026-04-23T10:31:00.5Z"));
    let store = fixture.store();
    store.note_key_uses(&[(key_id(1), late), (key_id(2), early)]).await.expect("noted");
    store.note_key_uses(&[(key_id(1), early), (key_id(2), late)]).await.expect("noted");
    store.note_key_uses(&[]).await.expect("nothing is noted");
    let uses = store.key_uses(&[key_id(1), key_id(2), key_id(3)]).await.expect("reads");
    assert_eq!(uses, HashMap::from([(key_id(1), late), (key_id(2), late)]));
}

pub(crate) async fn the_audit_trail_has_what_people_did_and_can_be_filtered(fixture: Fixture) {
    let (one, other) = (endpoint_id(), endpoint_id());
    let (event, delivery) = (event_id(), delivery_id());
    let by = |actor: &str, mut operation: Operation| {
        operation.metadata.actor = actor.to_owned();
        operation
    };
    let steps = [
        by("ann", create_endpoint(one)),
        by("bob", create_endpoint(other)),
        by("ann", create_endpoint(endpoint_id()).of(other_organization())),
        by("publisher", publish(event)),
        by("dispatch", schedule(event, &[(delivery, one)], &[])),
        by("bob", change_delivery(delivery, ExpectedVersion::Any, DeliveryFact::RetryRequested)),
        by("ann", change_endpoint(one, ExpectedVersion::Any, EndpointFact::SecretRevealed)),
        by("ann", create_key(1, ExpectedVersion::New)),
    ];
    let mut recorded = Vec::new();
    for step in steps {
        recorded.extend(fixture.append(step).await);
        fixture.advance(Duration::from_millis(2)).await;
    }
    let position = |index: usize| recorded[index].position;
    let trail = async |filter: AuditFilter, before: Position, limit: usize| {
        let organization = organization();
        let found =
            fixture.store().list_audit_records(SHARD, &organization, &filter, before, limit);
        found.await.expect("reads").rows.iter().map(|record| record.position).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    let end = Position(i64::MAX);
    let expected = [7, 6, 5, 1, 0].map(position);
    assert_eq!(trail(all(), end, 9).await, expected);
    assert_eq!(trail(all(), position(6), 2).await, [5, 1].map(position));
    let of_ann = AuditFilter { actor: Some("ann".to_owned()), ..all() };
    assert_eq!(trail(of_ann, end, 9).await, [7, 6, 0].map(position));
    let revealed = AuditFilter { actions: Some(AuditAction::SecretRevealed).into(), ..all() };
    assert_eq!(trail(revealed, end, 9).await, [position(6)]);
    let about_one = AuditFilter { endpoint_ids: Some(one).into(), ..all() };
    assert_eq!(trail(about_one, end, 9).await, [6, 5, 0].map(position));
    let about_both = AuditFilter { endpoint_ids: vec![one, other, one].into(), ..all() };
    assert_eq!(trail(about_both.clone(), end, 9).await, [6, 5, 1, 0].map(position));
    let created = [AuditAction::EndpointCreated, AuditAction::KeyCreated];
    let created = AuditFilter { actions: created.to_vec().into(), ..all() };
    assert_eq!(trail(created.clone(), end, 9).await, [7, 1, 0].map(position));
    let both = AuditFilter { endpoint_ids: about_both.endpoint_ids, ..created };
    assert_eq!(trail(both, end, 9).await, [1, 0].map(position));
    let start = Some(recorded[5].recorded_at);
    let late = AuditFilter { recorded: Interval { start, end: None }, ..all() };
    assert_eq!(trail(late, end, 9).await, [7, 6, 5].map(position));

    // A record that changes the name and the secret is found as both.
    let sealed = SealedSecret { key_id: "k".to_owned(), nonce: [0; 12], ciphertext: vec![1] };
    let alone = updated_with_secret(sealed.clone(), EndpointPatch::default());
    let name = Some("renamed".to_owned());
    let both = updated_with_secret(
        sealed,
        EndpointPatch { display_name: name, ..EndpointPatch::default() },
    );
    let alone = fixture.append(change_endpoint(other, ExpectedVersion::Any, alone)).await;
    let both = fixture.append(change_endpoint(other, ExpectedVersion::Any, both)).await;
    let (alone, both) = (alone[0].position, both[0].position);
    let of = |action| AuditFilter { actions: Some(action).into(), ..all() };
    assert_eq!(trail(of(AuditAction::SecretRotated), end, 9).await, [both, alone]);
    assert_eq!(trail(of(AuditAction::EndpointUpdated), end, 9).await, [both]);
}

pub(crate) async fn keys_are_rebuilt_as_they_were(fixture: Fixture) {
    for number in 1..=3 {
        fixture.append(create_key(number, ExpectedVersion::New)).await;
    }
    fixture.append(change_key(2, ExpectedVersion::Any, KeyFact::Revoked)).await;
    let store = fixture.store();
    let keys = async || {
        let keys = store.list_keys(&organization(), KeyFilter::default(), KeyId::MAX, 9).await;
        keys.expect("reads")
    };
    let before = keys().await;
    assert_eq!(store.check(SHARD, 9, &|_| ()).await.expect("checked"), []);
    store.rebuild(SHARD, &|_| ()).await.expect("rebuilt");
    assert_eq!(keys().await, before);
}
