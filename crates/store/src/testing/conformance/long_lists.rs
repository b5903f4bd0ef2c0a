//! Lists whose filter skips most rows: they examine a limited number, and return where they ended.

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Position;
use ulid::Ulid;

use super::Fixture;
use super::given::*;
use crate::limits::ROWS_EXAMINED;
use crate::log::operation::{ExpectedVersion, Operation};
use crate::queries::{AttemptFilter, AuditFilter, DeliveryFilter, EventFilter, Interval, ListPage};

const RARE: EventType = EventType::KeyRotated;
const COMMON: EventType = EventType::PolicyBlock;
/// More common rows than one page examines.
const MANY: usize = ROWS_EXAMINED + 50;

async fn append_in_parts(fixture: &Fixture, operations: &[Operation]) {
    for part in operations.chunks(400) {
        fixture.append_all(part).await;
    }
}

/// The oldest row is rare and all others are common: the first page is empty and ends exactly at the
/// limit, the second finds the rare row at the end. `list` reads up to 10 rows.
async fn assert_found_in_two_looks<Id: PartialEq + std::fmt::Debug + Copy>(
    list: impl AsyncFn(Id) -> ListPage<Id, Id>,
    end: Id,
    common: &[Id],
    rare: Id,
) {
    let first = list(end).await;
    assert_eq!(first.rows, []);
    let last = common[common.len() - ROWS_EXAMINED];
    assert_eq!(first.next, Some(last), "it ends with the last row that was looked at");
    let second = list(last).await;
    assert_eq!(second, ListPage { rows: vec![rare], next: None });
}

fn ids<Row, Id>(found: ListPage<Row, Id>, id: impl Fn(&Row) -> Id) -> ListPage<Id, Id> {
    ListPage { rows: found.rows.iter().map(id).collect(), next: found.next }
}

pub(crate) async fn a_list_of_events_examines_a_limited_number_and_returns_how_far_it_came(
    fixture: Fixture,
) {
    let rare = event_id();
    let common: Vec<_> = (0..MANY).map(|_| event_id()).collect();
    let mut published = vec![publish_type(rare, RARE)];
    published.extend(common.iter().map(|id| publish_type(*id, COMMON)));
    append_in_parts(&fixture, &published).await;
    let list = async |event_type: Option<EventType>, before, limit| {
        let filter = EventFilter { event_types: event_type.into(), ..EventFilter::default() };
        let us = organization();
        let found = fixture.store().list_events(SHARD, &us, &filter, before, limit).await;
        ids(found.expect("reads"), |event| event.id)
    };
    let rare_ones = async |before| list(Some(RARE), before, 10).await;
    assert_found_in_two_looks(rare_ones, EventId::MAX, &common, rare).await;

    let newest = common[MANY - 1];
    let full = list(Some(COMMON), EventId::MAX, 1).await;
    assert_eq!(
        full,
        ListPage { rows: vec![newest], next: Some(newest) },
        "it goes on after its rows"
    );
    let all = list(None, EventId::MAX, 2 * MANY).await;
    assert_eq!((all.rows.len(), all.next), (MANY + 1, None), "as many as are asked for are");
}

pub(crate) async fn a_list_of_deliveries_examines_a_limited_number_and_returns_how_far_it_came(
    fixture: Fixture,
) {
    let (rare, common, endpoint) = rare_and_common_deliveries(&fixture).await;
    for endpoint_id in [None, Some(endpoint)] {
        let list = async |before| {
            let event_type = Some(RARE);
            let filter = DeliveryFilter {
                event_types: event_type.into(),
                endpoint_ids: endpoint_id.into(),
                ..DeliveryFilter::default()
            };
            let us = organization();
            let found = fixture.store().list_deliveries(SHARD, &us, &filter, before, 10).await;
            ids(found.expect("reads"), |delivery| delivery.id)
        };
        assert_found_in_two_looks(list, DeliveryId::MAX, &common, rare).await;
    }
}

pub(crate) async fn a_list_of_attempts_examines_a_limited_number_and_returns_how_far_it_came(
    fixture: Fixture,
) {
    let (rare, common, endpoint) = rare_and_common_deliveries(&fixture).await;
    let store = fixture.store();
    let rows = store.deliveries(SHARD, &organization(), &[rare]).await.expect("reads");
    fixture.append(succeed(&rows[0], fixture.now())).await;
    let mut rows = store.deliveries(SHARD, &organization(), &common).await.expect("reads");
    rows.sort_unstable_by_key(|row| row.id);
    let failed: Vec<_> = rows.iter().map(|row| fail(row, fixture.now())).collect();
    append_in_parts(&fixture, &failed).await;
    let list =
        async |outcome: Option<AttemptOutcome>, endpoint_id: Option<EndpointId>, before, limit| {
            let filter = AttemptFilter {
                outcomes: outcome.into(),
                endpoint_ids: endpoint_id.into(),
                ..AttemptFilter::default()
            };
            let us = organization();
            let found = store.list_attempts(SHARD, &us, &filter, before, limit).await;
            ids(found.expect("reads"), |attempt| attempt.details.id)
        };
    let mut attempts = list(None, None, AttemptId::MAX, 2 * MANY).await.rows;
    attempts.reverse();
    for endpoint_id in [None, Some(endpoint)] {
        let delivered =
            async |before| list(Some(AttemptOutcome::Delivered), endpoint_id, before, 10).await;
        let (rare, common) = (attempts[0], &attempts[1..]);
        assert_found_in_two_looks(delivered, AttemptId::MAX, common, rare).await;
    }
}

/// An old delivery of a rare type, and many of a common one, to one endpoint.
async fn rare_and_common_deliveries(
    fixture: &Fixture,
) -> (DeliveryId, Vec<DeliveryId>, EndpointId) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let (old, new, rare) = (event_id(), event_id(), delivery_id());
    let common: Vec<_> = (0..MANY).map(|_| delivery_id()).collect();
    let to = |id: &DeliveryId| (*id, endpoint);
    let routed = [
        publish_type(old, RARE),
        schedule_type(old, RARE, &[to(&rare)], &[]),
        publish_type(new, COMMON),
        schedule_type(new, COMMON, &common.iter().map(to).collect::<Vec<_>>(), &[]),
    ];
    fixture.append_all(&routed).await;
    (rare, common, endpoint)
}

pub(crate) async fn the_audit_trail_is_searched_in_parts(fixture: Fixture) {
    let endpoint = endpoint_id();
    let by = |actor: &str, mut operation: Operation| {
        operation.metadata.actor = actor.to_owned();
        operation
    };
    let rare = fixture.append(by("ann", create_endpoint(endpoint))).await[0].position;
    let disable = || {
        let fact = EndpointFact::Disabled { reason: String::new(), cause: DisableCause::Requested };
        by("bob", change_endpoint(endpoint, ExpectedVersion::Any, fact))
    };
    append_in_parts(&fixture, &vec![disable(); MANY]).await;
    let list = async |actor: Option<&str>, before, limit| {
        let filter = AuditFilter { actor: actor.map(str::to_owned), ..AuditFilter::default() };
        let us = organization();
        let found = fixture.store().list_audit_records(SHARD, &us, &filter, before, limit).await;
        ids(found.expect("reads"), |record| record.position)
    };
    let end = Position(i64::MAX);
    let mut all = list(None, end, 2 * MANY).await.rows;
    all.reverse();
    assert_eq!((all.len(), all[0]), (MANY + 1, rare));
    let of_ann = async |before| list(Some("ann"), before, 10).await;
    assert_found_in_two_looks(of_ann, end, &all[1..], rare).await;
}

pub(crate) async fn rows_far_outside_the_interval_are_not_examined(fixture: Fixture) {
    // Ids contain the time of their creation: these are of the year 1970, and of long after.
    let last = Ulid(u128::MAX).0;
    let published: Vec<_> = (0..MANY).map(|_| publish_type(event_id(), COMMON)).collect();
    append_in_parts(&fixture, &published).await;
    let later = (0..3).map(|number| publish_type(EventId::new(Ulid(last - 3 + number)), COMMON));
    fixture.append_all(&later.collect::<Vec<_>>()).await;
    let list = async |start, end| {
        let accepted = Interval { start, end };
        let filter = EventFilter { accepted, event_types: Some(RARE).into(), publisher: None };
        let us = organization();
        let found = fixture.store().list_events(SHARD, &us, &filter, EventId::MAX, 10).await;
        ids(found.expect("reads"), |event| event.id)
    };
    assert!(list(None, None).await.next.is_some(), "all of them would be looked at");
    let nothing = ListPage { rows: Vec::new(), next: None };
    let (start, end) = (time("2000-01-01T00:00:00Z"), time("2100-01-01T00:00:00Z"));
    assert_eq!(list(Some(start), None).await, nothing);
    assert_eq!(list(Some(start), Some(end)).await, nothing);
}

pub(crate) async fn rows_of_another_organizations_endpoint_are_not_examined(fixture: Fixture) {
    let (_, _, endpoint) = rare_and_common_deliveries(&fixture).await;
    let (store, them) = (fixture.store(), other_organization());
    for event_type in [None, Some(COMMON)] {
        let endpoint_id = Some(endpoint);
        let filter = DeliveryFilter {
            endpoint_ids: endpoint_id.into(),
            event_types: event_type.into(),
            ..DeliveryFilter::default()
        };
        let found = store.list_deliveries(SHARD, &them, &filter, DeliveryId::MAX, 10).await;
        assert_eq!(found.expect("reads"), ListPage { rows: Vec::new(), next: None });
    }
}
