//! Queries: lists in order and in pages, and no rows of another organization.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Position;

use super::Fixture;
use super::given::*;
use super::stories::*;
use crate::queries::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter};
use crate::store::DueKey;

pub(crate) async fn lists_come_newest_first_page_by_page_without_loss_or_repetition(
    fixture: Fixture,
) {
    let stories = populate(&fixture).await;
    let (store, us) = (fixture.other_store(), organization());

    // `$list` is called with each page's last id until a page is empty.
    macro_rules! pages {
        ($list:ident, $filter:ty, $first:expr, $limit:expr) => {{
            let (mut seen, mut before) = (Vec::new(), $first);
            loop {
                let page = $list(store, &us, <$filter>::default(), before, $limit).await;
                assert!(page.len() <= $limit);
                let Some(last) = page.last() else { break seen };
                before = *last;
                seen.extend(page);
            }
        }};
    }
    let mut both: Vec<_> = stories.iter().map(|story| story.endpoint).collect();
    both.sort_unstable_by(|one, other| other.cmp(one));
    both.dedup();
    for limit in [1, 5, 12, ALL] {
        assert_eq!(pages!(endpoints, EndpointFilter, EndpointId::MAX, limit), both);
        assert_eq!(
            pages!(events, EventFilter, EventId::MAX, limit),
            listed(&stories, |story| vec![story.event])
        );
        assert_eq!(
            pages!(deliveries, DeliveryFilter, DeliveryId::MAX, limit),
            listed(&stories, |story| vec![story.delivery])
        );
        assert_eq!(
            pages!(attempts, AttemptFilter, AttemptId::MAX, limit),
            listed(&stories, |story| story.attempts.iter().map(|(id, _)| *id).collect())
        );
    }
}

pub(crate) async fn a_deleted_endpoint_is_not_listed_but_can_be_read(fixture: Fixture) {
    let (kept, deleted) = (endpoint_id(), endpoint_id());
    fixture.append_all(&[create_endpoint(kept), create_endpoint(deleted)]).await;
    fixture.append(change_endpoint(deleted, version(1), EndpointFact::Deleted)).await;
    let (store, all) = (fixture.store(), EndpointFilter::default());
    let listed = endpoints(store, &organization(), all, EndpointId::MAX, ALL).await;
    assert_eq!(listed, [kept]);
    assert!(fixture.endpoint(deleted).await.delete_time.is_some());

    let of_shard = async |after, limit| {
        let rows = fixture.store().shard_endpoints(SHARD, after, limit).await.expect("reads");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(of_shard(EndpointId::MIN, ALL).await, [kept, deleted]);
    assert_eq!(of_shard(EndpointId::MIN, 1).await, [kept]);
    assert_eq!(of_shard(kept, ALL).await, [deleted]);
    assert!(of_shard(deleted, ALL).await.is_empty());
}

pub(crate) async fn an_organization_sees_nothing_of_another(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let store = fixture.store();
    let stranger = "initech".parse().expect("an organization's id");
    let story = &stories[5];
    for whose in [other_organization(), stranger] {
        assert_eq!(store.endpoint(SHARD, &whose, story.endpoint).await.expect("reads"), None);
        assert_eq!(store.event(SHARD, &whose, story.event).await.expect("reads"), None);
        let rows = store.deliveries(SHARD, &whose, &[story.delivery]).await.expect("reads");
        assert!(rows.is_empty());
        let of_endpoint = DeliveryFilter {
            endpoint_ids: Some(story.endpoint).into(),
            ..DeliveryFilter::default()
        };
        assert!(deliveries(store, &whose, of_endpoint, DeliveryId::MAX, ALL).await.is_empty());
        let of_delivery =
            AttemptFilter { delivery_id: Some(story.delivery), ..AttemptFilter::default() };
        assert!(attempts(store, &whose, of_delivery, AttemptId::MAX, ALL).await.is_empty());
    }
    let theirs =
        events(store, &other_organization(), EventFilter::default(), EventId::MAX, ALL).await;
    assert_eq!(theirs.len(), 12);
    assert!(stories.iter().all(|story| !theirs.contains(&story.event)));
    let of_both = store.shard_endpoints(SHARD, EndpointId::MIN, ALL).await.expect("reads");
    assert_eq!(of_both.len(), 4, "dispatch works for everybody");
}

pub(crate) async fn deliveries_are_read_by_id_and_missing_ones_are_left_out(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let read = async |ids: &[DeliveryId]| {
        let rows = fixture.store().deliveries(SHARD, &organization(), ids).await.expect("reads");
        let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids
    };
    assert!(read(&[]).await.is_empty());
    assert!(read(&[delivery_id()]).await.is_empty());
    let (one, other) = (stories[2].delivery, stories[7].delivery);
    assert_eq!(read(&[other, delivery_id(), one]).await, [one, other]);
}

pub(crate) async fn an_empty_database_answers_every_query(fixture: Fixture) {
    let (store, us) = (fixture.store(), organization());
    assert!(
        endpoints(store, &us, EndpointFilter::default(), EndpointId::MAX, ALL).await.is_empty()
    );
    assert!(events(store, &us, EventFilter::default(), EventId::MAX, ALL).await.is_empty());
    assert!(
        deliveries(store, &us, DeliveryFilter::default(), DeliveryId::MAX, ALL).await.is_empty()
    );
    assert!(attempts(store, &us, AttemptFilter::default(), AttemptId::MAX, ALL).await.is_empty());
    assert!(fixture.log().await.is_empty());
    assert!(store.waiting_endpoints(SHARD).await.expect("reads").endpoints.is_empty());
    let due = store.due_deliveries(SHARD, EndpointId::MIN, DueKey::MIN, ALL).await;
    assert!(due.expect("reads").deliveries.is_empty());
    let missed = store.missed_events(SHARD, EndpointId::MIN, Position::START, ALL).await;
    assert!(missed.expect("reads").is_empty());
    let counts = store.attempt_counts(SHARD, EndpointId::MIN, Timestamp::UNIX_EPOCH).await;
    assert!(counts.expect("reads").is_empty());
    assert_eq!(store.delete_expired_bodies(SHARD, ALL).await.expect("deletes"), 0);
}
