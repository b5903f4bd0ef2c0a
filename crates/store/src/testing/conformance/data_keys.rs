//! The keys of the secrets: one for each organization, wrapped under the current master key.

use std::collections::{BTreeMap, BTreeSet};

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use tokio::task::JoinSet;

use super::fixture::Fixture;
use super::given::*;
use crate::store::Store;
use crate::vault::{
    DataKeyCreation, MasterKeyHistory, RewrappedDataKey, StoredDataKey, WrappedDataKey,
};

const FIRST: &str = "first-master-key";
const SECOND: &str = "second-master-key";

/// A data key that looks wrapped.
fn wrapped(data_key_id: &str, master_key_id: &str) -> WrappedDataKey {
    WrappedDataKey {
        data_key_id: data_key_id.to_owned(),
        master_key_id: master_key_id.to_owned(),
        nonce: vec![5; 12],
        ciphertext: format!("{data_key_id} under {master_key_id}").into_bytes(),
    }
}

fn numbered(number: usize) -> OrganizationId {
    format!("org-{number:05}").parse().expect("an organization's id")
}

fn has(key: WrappedDataKey) -> DataKeyCreation {
    DataKeyCreation::Has(StoredDataKey::Wrapped(key))
}

fn anew(organization_id: OrganizationId, key: &WrappedDataKey, under: &str) -> RewrappedDataKey {
    RewrappedDataKey {
        organization_id,
        previous_master_key_id: key.master_key_id.clone(),
        key: wrapped(&key.data_key_id, under),
    }
}

async fn claim(store: &dyn Store) {
    assert_eq!(store.claim_master_key(FIRST).await.expect("claims"), FIRST);
}

async fn create(store: &dyn Store, id: &OrganizationId, key: &WrappedDataKey) -> DataKeyCreation {
    store.create_data_key(SHARD, id, key).await.expect("answers")
}

async fn stored(store: &dyn Store, id: &OrganizationId) -> Option<StoredDataKey> {
    store.data_keys(SHARD, std::slice::from_ref(id)).await.expect("reads").remove(id)
}

/// Creates this many organizations with a data key each.
async fn create_many(store: &dyn Store, count: usize) {
    for number in 0..count {
        let key = wrapped(&format!("dk-{number}"), FIRST);
        assert_eq!(create(store, &numbered(number), &key).await, has(key));
    }
}

/// Rewraps all data keys that are not under a master key; returns how many.
async fn rewrap_all(store: &dyn Store, under: &str) -> usize {
    let mut total = 0;
    loop {
        let page = store.wrapped_data_keys(SHARD, Some(under), None, 7).await.expect("reads");
        if page.is_empty() {
            return total;
        }
        let rewrapped: Vec<_> = page.into_iter().map(|(id, key)| anew(id, &key, under)).collect();
        total += store.rewrap_data_keys(SHARD, &rewrapped).await.expect("rewraps");
    }
}

pub(crate) async fn the_first_master_key_is_current_until_it_is_replaced(fixture: Fixture) {
    let store = fixture.store();
    assert_eq!(store.master_keys().await.expect("reads"), MasterKeyHistory::default());
    assert!(!store.replace_master_key(FIRST, SECOND).await.expect("answers"), "none is current");
    for store in &fixture.stores {
        assert_eq!(store.claim_master_key(FIRST).await.expect("claims"), FIRST);
        assert_eq!(store.claim_master_key(SECOND).await.expect("claims"), FIRST);
    }
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    for store in &fixture.stores {
        assert_eq!(store.claim_master_key(FIRST).await.expect("claims"), SECOND);
        let history = store.master_keys().await.expect("reads");
        let expected =
            MasterKeyHistory { current: Some(SECOND.to_owned()), replaced: vec![FIRST.to_owned()] };
        assert_eq!(history, expected);
    }
}

pub(crate) async fn a_replaced_master_key_never_comes_back(fixture: Fixture) {
    let store = fixture.store();
    claim(store).await;
    assert!(!store.replace_master_key(FIRST, FIRST).await.expect("answers"), "it is current");
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    for (current, new) in [(SECOND, FIRST), (FIRST, "third"), (SECOND, SECOND)] {
        let replaced = fixture.other_store().replace_master_key(current, new).await;
        assert!(!replaced.expect("answers"), "{current} by {new}");
    }
    assert!(store.replace_master_key(SECOND, "third").await.expect("replaces"));
    let history = store.master_keys().await.expect("reads");
    assert_eq!(history.current.as_deref(), Some("third"));
    let replaced: BTreeSet<_> = history.replaced.iter().map(String::as_str).collect();
    assert_eq!(replaced, [FIRST, SECOND].into());
}

pub(crate) async fn one_of_many_replacements_of_the_master_key_succeeds(fixture: Fixture) {
    claim(fixture.store()).await;
    let mut replacing = JoinSet::new();
    for (number, store) in fixture.handles().enumerate().take(16) {
        replacing.spawn(async move {
            let new = format!("master-key-{number}");
            store.replace_master_key(FIRST, &new).await.expect("answers").then_some(new)
        });
    }
    let replaced: Vec<_> = replacing.join_all().await.into_iter().flatten().collect();
    let history = fixture.store().master_keys().await.expect("reads");
    assert_eq!(replaced, Vec::from_iter(history.current));
    assert_eq!(history.replaced, [FIRST]);
}

pub(crate) async fn an_organization_has_one_data_key_which_is_read_back_as_it_was_created(
    fixture: Fixture,
) {
    let (us, them) = (organization(), other_organization());
    let store = fixture.store();
    claim(store).await;
    assert_eq!(stored(store, &us).await, None);
    let key = wrapped("dk-1", FIRST);
    assert_eq!(create(store, &us, &key).await, has(key.clone()));
    let late = wrapped("dk-2", FIRST);
    assert_eq!(create(fixture.other_store(), &us, &late).await, has(key.clone()));
    let elsewhere = wrapped("dk-3", "no current master key");
    assert_eq!(create(store, &us, &elsewhere).await, has(key.clone()), "it has one all the same");
    assert_eq!(stored(fixture.other_store(), &us).await, Some(StoredDataKey::Wrapped(key)));

    let asked = [us.clone(), them, us.clone()];
    let found = store.data_keys(SHARD, &asked).await.expect("reads");
    assert_eq!(Vec::from_iter(found.into_keys()), [us]);
    assert!(store.data_keys(SHARD, &[]).await.expect("reads").is_empty());
}

pub(crate) async fn one_of_many_creations_of_a_data_key_succeeds_and_all_return_that_key(
    fixture: Fixture,
) {
    claim(fixture.store()).await;
    for round in 0..5 {
        let mut creating = JoinSet::new();
        for (number, store) in fixture.handles().enumerate().take(16) {
            let key = wrapped(&format!("dk-{round}-{number}"), FIRST);
            creating.spawn(async move { create(store.as_ref(), &numbered(round), &key).await });
        }
        let created = creating.join_all().await;
        let has = stored(fixture.store(), &numbered(round)).await.expect("one was created");
        assert!(created.into_iter().all(|answer| answer == DataKeyCreation::Has(has.clone())));
    }
}

pub(crate) async fn a_data_key_is_not_created_under_a_master_key_that_is_not_current(
    fixture: Fixture,
) {
    let (us, store) = (organization(), fixture.store());
    let key = wrapped("dk-1", FIRST);
    assert_eq!(create(store, &us, &key).await, DataKeyCreation::NotCurrent(None));
    claim(store).await;
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    let refused = DataKeyCreation::NotCurrent(Some(SECOND.to_owned()));
    assert_eq!(create(fixture.other_store(), &us, &key).await, refused);
    assert_eq!(stored(store, &us).await, None);
    let key = wrapped("dk-1", SECOND);
    assert_eq!(create(fixture.other_store(), &us, &key).await, has(key));
}

pub(crate) async fn data_keys_are_paged_by_their_organizations_without_those_under_one_master_key(
    fixture: Fixture,
) {
    let store = fixture.store();
    claim(store).await;
    create_many(store, 10).await;
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    let moved = [anew(numbered(3), &wrapped("dk-3", FIRST), SECOND)];
    assert_eq!(store.rewrap_data_keys(SHARD, &moved).await.expect("rewraps"), 1);
    store.erase_data_key(SHARD, &numbered(5)).await.expect("erases");
    let page = async |except, after: Option<usize>, limit| {
        let after = after.map(numbered);
        let page = store.wrapped_data_keys(SHARD, except, after.as_ref(), limit).await;
        Vec::from_iter(page.expect("reads").into_iter().map(|(id, _)| id))
    };
    let expected = |numbers: &[usize]| numbers.iter().copied().map(numbered).collect::<Vec<_>>();
    assert_eq!(page(None, None, 4).await, expected(&[0, 1, 2, 3]));
    assert_eq!(page(Some(SECOND), None, 4).await, expected(&[0, 1, 2, 4]));
    assert_eq!(page(Some(SECOND), Some(4), 100).await, expected(&[6, 7, 8, 9]));
    assert_eq!(page(Some(FIRST), None, 100).await, expected(&[3]));
    assert_eq!(page(Some("other"), Some(8), 100).await, expected(&[9]));
    assert!(page(None, Some(9), 100).await.is_empty());
}

pub(crate) async fn many_data_keys_are_rewrapped_in_one_call_and_counted(fixture: Fixture) {
    const COUNT: usize = 1_000;
    let store = fixture.store();
    claim(store).await;
    let mut creating = JoinSet::new();
    for (number, store) in fixture.handles().enumerate().take(COUNT) {
        let key = wrapped(&format!("dk-{number}"), FIRST);
        creating.spawn(async move { create(store.as_ref(), &numbered(number), &key).await });
    }
    creating.join_all().await;
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    let page = store.wrapped_data_keys(SHARD, Some(SECOND), None, COUNT).await.expect("reads");
    let rewrapped: Vec<_> = page.into_iter().map(|(id, key)| anew(id, &key, SECOND)).collect();
    let (some, rest) = rewrapped.split_at(300);
    assert_eq!(store.rewrap_data_keys(SHARD, some).await.expect("rewraps"), 300);
    let counts = fixture.other_store().count_data_keys(SHARD).await.expect("counts");
    assert_eq!(counts, BTreeMap::from([(FIRST.to_owned(), 700), (SECOND.to_owned(), 300)]));
    assert_eq!(store.rewrap_data_keys(SHARD, rest).await.expect("rewraps"), 700);
    assert_eq!(store.rewrap_data_keys(SHARD, &rewrapped).await.expect("answers"), 0);
    assert_eq!(store.rewrap_data_keys(SHARD, &[]).await.expect("answers"), 0);

    let organizations: Vec<_> = (0..COUNT).map(numbered).collect();
    let found = fixture.other_store().data_keys(SHARD, &organizations).await.expect("reads");
    for (number, id) in organizations.iter().enumerate() {
        let key = wrapped(&format!("dk-{number}"), SECOND);
        assert_eq!(found[id], StoredDataKey::Wrapped(key), "nobody else's");
    }
}

pub(crate) async fn a_data_key_that_changed_meanwhile_is_not_rewrapped(fixture: Fixture) {
    let store = fixture.store();
    claim(store).await;
    create_many(store, 4).await;
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    let [erased, moved, other, absent] = [0, 1, 2, 9].map(numbered);
    store.erase_data_key(SHARD, &erased).await.expect("erases");
    let to_third = [anew(moved.clone(), &wrapped("dk-1", FIRST), "third")];
    assert_eq!(store.rewrap_data_keys(SHARD, &to_third).await.expect("rewraps"), 1);
    let stale = [
        anew(erased.clone(), &wrapped("dk-0", FIRST), SECOND),
        anew(moved.clone(), &wrapped("dk-1", FIRST), SECOND),
        anew(other.clone(), &wrapped("dk-another", FIRST), SECOND),
        anew(absent.clone(), &wrapped("dk-9", FIRST), SECOND),
    ];
    assert_eq!(store.rewrap_data_keys(SHARD, &stale).await.expect("answers"), 0);
    assert_eq!(stored(store, &erased).await, Some(StoredDataKey::Erased));
    let expected = |id, under| Some(StoredDataKey::Wrapped(wrapped(id, under)));
    assert_eq!(stored(store, &moved).await, expected("dk-1", "third"));
    assert_eq!(stored(store, &other).await, expected("dk-2", FIRST));
    assert_eq!(stored(store, &absent).await, None);
}

pub(crate) async fn once_a_master_key_is_replaced_no_new_data_key_is_under_it(fixture: Fixture) {
    const CREATORS: usize = 8;
    const EACH: usize = 25;
    claim(fixture.store()).await;
    let mut creating = JoinSet::new();
    for (creator, store) in fixture.handles().enumerate().take(CREATORS) {
        creating.spawn(async move {
            for number in 0..EACH {
                let (id, mut under) = (numbered(creator * EACH + number), FIRST.to_owned());
                loop {
                    let key = wrapped(&format!("dk-{creator}-{number}"), &under);
                    match create(store.as_ref(), &id, &key).await {
                        DataKeyCreation::Has(_) => break,
                        DataKeyCreation::NotCurrent(current) => under = current.expect("claimed"),
                    }
                }
            }
        });
    }
    let store = fixture.other_store();
    fixture
        .eventually("some are created", || async {
            let counts = store.count_data_keys(SHARD).await.expect("counts");
            (counts.values().sum::<u64>() > 10).then_some(())
        })
        .await;
    assert!(store.replace_master_key(FIRST, SECOND).await.expect("replaces"));
    rewrap_all(store, SECOND).await;
    let counts = store.count_data_keys(SHARD).await.expect("counts");
    assert_eq!(Vec::from_iter(counts.keys()), [SECOND], "while others go on creating");
    creating.join_all().await;
    let all = (CREATORS * EACH) as u64;
    let counts = store.count_data_keys(SHARD).await.expect("counts");
    assert_eq!(counts, BTreeMap::from([(SECOND.to_owned(), all)]));
}

pub(crate) async fn each_data_key_is_rewrapped_by_one_of_two_processes(fixture: Fixture) {
    const COUNT: usize = 100;
    claim(fixture.store()).await;
    create_many(fixture.store(), COUNT).await;
    assert!(fixture.store().replace_master_key(FIRST, SECOND).await.expect("replaces"));
    let mut rewrapping = JoinSet::new();
    for store in fixture.handles().take(4) {
        rewrapping.spawn(async move { rewrap_all(store.as_ref(), SECOND).await });
    }
    assert_eq!(rewrapping.join_all().await.into_iter().sum::<usize>(), COUNT);
    let counts = fixture.store().count_data_keys(SHARD).await.expect("counts");
    assert_eq!(counts, BTreeMap::from([(SECOND.to_owned(), COUNT as u64)]));
}

pub(crate) async fn an_erased_data_key_is_gone_for_ever(fixture: Fixture) {
    let (us, them, store) = (organization(), other_organization(), fixture.store());
    claim(store).await;
    let (ours, theirs) = (wrapped("dk-1", FIRST), wrapped("dk-2", FIRST));
    create(store, &us, &ours).await;
    create(store, &them, &theirs).await;
    for _ in 0..2 {
        fixture.other_store().erase_data_key(SHARD, &us).await.expect("erases, also twice");
        assert_eq!(stored(store, &us).await, Some(StoredDataKey::Erased));
    }
    let answer = create(store, &us, &wrapped("dk-3", FIRST)).await;
    assert_eq!(answer, DataKeyCreation::Has(StoredDataKey::Erased));
    assert_eq!(stored(store, &us).await, Some(StoredDataKey::Erased));
    assert_eq!(stored(store, &them).await, Some(StoredDataKey::Wrapped(theirs)));
    let counts = store.count_data_keys(SHARD).await.expect("counts");
    assert_eq!(counts, BTreeMap::from([(FIRST.to_owned(), 1)]));
}

pub(crate) async fn an_organization_without_a_data_key_can_be_erased(fixture: Fixture) {
    let (us, store) = (organization(), fixture.store());
    claim(store).await;
    store.erase_data_key(SHARD, &us).await.expect("erases");
    let answer = create(fixture.other_store(), &us, &wrapped("dk-1", FIRST)).await;
    assert_eq!(answer, DataKeyCreation::Has(StoredDataKey::Erased));
}

pub(crate) async fn a_rebuild_leaves_keys_alone(fixture: Fixture) {
    let (us, store) = (organization(), fixture.store());
    claim(store).await;
    let key = wrapped("dk-1", FIRST);
    create(store, &us, &key).await;
    store.erase_data_key(SHARD, &other_organization()).await.expect("erases");
    store.rebuild(SHARD, &|_| {}).await.expect("rebuilds");
    assert_eq!(stored(store, &us).await, Some(StoredDataKey::Wrapped(key)));
    assert_eq!(stored(store, &other_organization()).await, Some(StoredDataKey::Erased));
}

pub(crate) async fn data_keys_belong_to_their_shard(fixture: Fixture) {
    let store = fixture.store();
    if store.shard_count() == 1 {
        return;
    }
    claim(store).await;
    let (us, key) = (organization(), wrapped("dk-1", FIRST));
    create(store, &us, &key).await;
    let elsewhere = Shard(1);
    assert!(store.data_keys(elsewhere, std::slice::from_ref(&us)).await.expect("reads").is_empty());
    assert!(store.count_data_keys(elsewhere).await.expect("counts").is_empty());
    let page = store.wrapped_data_keys(elsewhere, None, None, 10).await.expect("reads");
    assert!(page.is_empty());
    let rewrapped = [anew(us.clone(), &key, SECOND)];
    assert_eq!(store.rewrap_data_keys(elsewhere, &rewrapped).await.expect("answers"), 0);
    store.erase_data_key(elsewhere, &us).await.expect("erases");
    assert_eq!(stored(store, &us).await, Some(StoredDataKey::Wrapped(key)));
}
