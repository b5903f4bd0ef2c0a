//! Ids that clients may make: those of endpoints and channels. What exists is never created again, nor
//! taken over by another organization.

use std::collections::BTreeSet;

use keeptrusts_webhooks_domain::channel::{ChannelFact, ChannelKind};
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use tokio::task::JoinSet;
use ulid::Ulid;

use super::Fixture;
use super::concurrency::append;
use super::given::*;
use super::notifications::{change_channel, create_channel};
use crate::log::operation::{ExpectedVersion, Operation, Refusal};

/// What a client may choose: the id of an endpoint and that of a channel, with the same ULID.
const ENDPOINT: EndpointId = EndpointId::new(Ulid(7));
const CHANNEL: ChannelId = ChannelId::new(Ulid(7));

fn create_both() -> [Operation; 2] {
    [create_endpoint(ENDPOINT), create_channel(CHANNEL, ChannelKind::Webhook)]
}

fn refusals() -> [Refusal; 2] {
    [Stream::Endpoint(ENDPOINT), Stream::Channel(CHANNEL)].map(Refusal::StreamExists)
}

#[track_caller]
fn assert_refused(results: &[Result<crate::AppendOutcome, Refusal>]) {
    assert_eq!(results, refusals().map(Err));
}

pub(crate) async fn what_exists_is_not_created_again_nor_for_another_organization(
    fixture: Fixture,
) {
    let [endpoint, channel] = create_both();
    let theirs = create_both().map(|operation| operation.of(other_organization()));
    // In one batch, with neighbours that are not refused.
    let mut batch = vec![endpoint, channel];
    batch.extend(create_both());
    batch.extend(theirs.clone());
    batch.extend([publish(event_id()), rename_endpoint(ENDPOINT, version(1), "renamed")]);
    let results = fixture.results(&batch).await;
    assert!(results[..2].iter().chain(&results[6..]).all(Result::is_ok), "{results:?}");
    assert_refused(&results[2..4]);
    assert_refused(&results[4..6]);
    // In later ones.
    assert_refused(&fixture.results(&create_both()).await);
    assert_refused(&fixture.results(&theirs).await);
    let with_another = create_endpoint(endpoint_id()).and(create_endpoint(ENDPOINT));
    assert_eq!(fixture.results(&[with_another]).await, [Err(refusals()[0].clone())]);

    assert_eq!(fixture.last_position().await, Position(4), "what was refused took no position");
    let row = fixture.endpoint(ENDPOINT).await;
    assert_eq!((row.organization_id, row.version), (organization(), Version(2)));
    let (store, them) = (fixture.store(), other_organization());
    assert_eq!(store.endpoint(SHARD, &them, ENDPOINT).await.expect("reads"), None);
    assert_eq!(store.channel(SHARD, &them, CHANNEL).await.expect("reads"), None);
}

pub(crate) async fn what_was_deleted_is_not_created_again(fixture: Fixture) {
    fixture.append_all(&create_both()).await;
    fixture.append(change_endpoint(ENDPOINT, version(1), EndpointFact::Deleted)).await;
    fixture.append(change_channel(CHANNEL, version(1), ChannelFact::Deleted)).await;
    assert_refused(&fixture.results(&create_both()).await);
    let theirs = create_both().map(|operation| operation.of(other_organization()));
    assert_refused(&fixture.results(&theirs).await);
    fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilt");
    assert_refused(&fixture.results(&create_both()).await);
}

pub(crate) async fn a_refused_creation_does_not_use_the_id_up(fixture: Fixture) {
    let impossible = |operation: Operation| {
        operation.and(rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent"))
    };
    let results = fixture.results(&create_both().map(impossible)).await;
    assert!(results.iter().all(Result::is_err), "{results:?}");
    fixture.append_all(&create_both()).await;
}

pub(crate) async fn the_same_ids_on_another_shard_are_other_things(fixture: Fixture) {
    let store = fixture.store();
    let Some(other) = (store.shard_count() > 1).then_some(Shard(1)) else { return };
    fixture.append_all(&create_both()).await;
    let (us, them) = (organization(), other_organization());
    let theirs = create_both().map(|operation| operation.of(them.clone()));
    let created = store.append(other, &theirs).await.expect("appends");
    assert!(created.results.iter().all(Result::is_ok), "{:?}", created.results);
    let deleted = [
        change_endpoint(ENDPOINT, version(1), EndpointFact::Deleted).of(them.clone()),
        change_channel(CHANNEL, version(1), ChannelFact::Deleted).of(them.clone()),
    ];
    store.append(other, &deleted).await.expect("appends");

    let ours = store.endpoint(SHARD, &us, ENDPOINT).await.expect("reads").expect("there");
    assert_eq!((ours.delete_time, ours.version), (None, Version(1)));
    let ours = store.channel(SHARD, &us, CHANNEL).await.expect("reads").expect("there");
    assert_eq!((ours.delete_time, ours.version), (None, Version(1)));
    assert_eq!(store.shard_endpoints(SHARD, EndpointId::MIN, 9).await.expect("reads").len(), 1);
    assert_eq!(store.endpoint(SHARD, &them, ENDPOINT).await.expect("reads"), None);
    assert_eq!(store.endpoint(other, &us, ENDPOINT).await.expect("reads"), None);
}

pub(crate) async fn one_of_many_creations_with_the_same_id_wins(fixture: Fixture) {
    let mut creators = JoinSet::new();
    for (number, store) in fixture.handles().take(12).enumerate() {
        creators.spawn(async move {
            let owner =
                if number.is_multiple_of(2) { organization() } else { other_organization() };
            let create = create_both().map(|operation| operation.of(owner.clone()));
            append(&*store, &create).await.results
        });
    }
    let (mut created, mut refused) = (0, BTreeSet::new());
    for result in creators.join_all().await.into_iter().flatten() {
        match result {
            Ok(_) => created += 1,
            Err(Refusal::StreamExists(stream)) => drop(refused.insert(stream.to_string())),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((created, refused.len()), (2, 2));
    assert_eq!(fixture.last_position().await, Position(2));
}
