//! Pauses that receivers asked for, and deliveries that expire.

use std::time::Duration;

use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::pause::Pause;

use super::Fixture;
use super::given::*;
use crate::log::operation::ExpectedVersion;
use crate::store::DueKey;

const TWENTY: Duration = Duration::from_secs(20);

async fn an_endpoint_of(fixture: &Fixture, whose: OrganizationId) -> EndpointId {
    let id = endpoint_id();
    fixture.append(create_endpoint(id).of(whose)).await;
    id
}

async fn a_delivery_to(fixture: &Fixture, endpoint: EndpointId, whose: OrganizationId) -> Delivery {
    let (event, delivery) = (event_id(), delivery_id());
    let accepted = publish(event).of(whose.clone());
    let scheduled = schedule(event, &[(delivery, endpoint)], &[]).of(whose.clone());
    fixture.append_all(&[accepted, scheduled]).await;
    let found = fixture.store().deliveries(SHARD, &whose, &[delivery]).await.expect("reads");
    found.into_iter().next().expect("it is scheduled")
}

async fn pause_of(fixture: &Fixture, endpoint: EndpointId) -> Option<Pause> {
    let ours = fixture.store().endpoint_pauses(SHARD, Some(&organization())).await;
    let ours = ours.expect("reads").remove(&endpoint);
    let all = fixture.store().endpoint_pauses(SHARD, None).await.expect("reads");
    assert_eq!(ours, all.get(&endpoint).copied(), "the shard's are everybody's");
    ours
}

pub(crate) async fn the_last_pause_of_an_endpoint_counts_until_something_ends_it(fixture: Fixture) {
    let endpoint = an_endpoint_of(&fixture, organization()).await;
    let new_delivery = async || a_delivery_to(&fixture, endpoint, organization()).await;
    let paused_by = async |delivery: &Delivery, wait| {
        let records = fixture.append(fail_with_pause(delivery, fixture.now(), wait)).await;
        Some(Pause::new(records[0].recorded_at, wait, delivery.id, 429))
    };
    fixture.append(fail(&new_delivery().await, fixture.now())).await;
    assert_eq!(pause_of(&fixture, endpoint).await, None, "nobody asked for one");

    let delivery = new_delivery().await;
    let first = paused_by(&delivery, TWENTY).await;
    assert_eq!(pause_of(&fixture, endpoint).await, first);
    // Attempts that were under way, and failures without a request for a pause, do not end it.
    fixture.append(succeed(&new_delivery().await, fixture.now())).await;
    fixture.append(fail(&new_delivery().await, fixture.now())).await;
    fixture.append(rename_endpoint(endpoint, ExpectedVersion::Any, "renamed")).await;
    assert_eq!(pause_of(&fixture, endpoint).await, first);
    let second = paused_by(&new_delivery().await, TWENTY * 2).await;
    assert_ne!(second, first);
    assert_eq!(pause_of(&fixture, endpoint).await, second);

    fixture.append(move_endpoint(endpoint, "https://elsewhere.example/")).await;
    assert_eq!(pause_of(&fixture, endpoint).await, None, "it is another receiver");

    let third = paused_by(&new_delivery().await, TWENTY).await;
    let disabled = EndpointFact::Disabled { reason: String::new(), cause: DisableCause::Requested };
    fixture.append(change_endpoint(endpoint, ExpectedVersion::Any, disabled)).await;
    assert_eq!(pause_of(&fixture, endpoint).await, third);
    fixture.append(change_endpoint(endpoint, ExpectedVersion::Any, EndpointFact::Enabled)).await;
    assert_eq!(pause_of(&fixture, endpoint).await, None);

    // In one batch: the last one counts.
    let [before, after] = [new_delivery().await, new_delivery().await];
    let batch = [
        fail_with_pause(&before, fixture.now(), TWENTY),
        move_endpoint(endpoint, "https://third.example/"),
        fail_with_pause(&after, fixture.now(), TWENTY),
    ];
    fixture.append_all(&batch).await;
    let pause = pause_of(&fixture, endpoint).await;
    assert_eq!(pause.map(|pause| pause.delivery_id), Some(after.id));
    let last = [
        fail_with_pause(&new_delivery().await, fixture.now(), TWENTY),
        change_endpoint(endpoint, ExpectedVersion::Any, EndpointFact::Deleted),
    ];
    fixture.append_all(&last).await;
    assert_eq!(pause_of(&fixture, endpoint).await, None);
}

pub(crate) async fn pauses_belong_to_their_organization(fixture: Fixture) {
    let [ours, theirs] = [organization(), other_organization()];
    let endpoint = an_endpoint_of(&fixture, theirs.clone()).await;
    let delivery = a_delivery_to(&fixture, endpoint, theirs.clone()).await;
    let answered = fail_with_pause(&delivery, fixture.now(), TWENTY).of(theirs.clone());
    fixture.append(answered).await;
    let of = async |whose| {
        let found = fixture.store().endpoint_pauses(SHARD, whose).await.expect("reads");
        found.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(of(Some(&ours)).await, []);
    assert_eq!(of(Some(&theirs)).await, [endpoint]);
    assert_eq!(of(None).await, [endpoint]);
}

pub(crate) async fn an_expired_delivery_has_failed_and_waits_for_nothing(fixture: Fixture) {
    let endpoint = an_endpoint_of(&fixture, organization()).await;
    let delivery = a_delivery_to(&fixture, endpoint, organization()).await;
    let expired = change_delivery(delivery.id, version(0), delivery.expire());
    fixture.append(expired).await;
    let row = fixture.delivery(delivery.id).await;
    assert_eq!((row.state, row.attempt_count), (DeliveryState::Failed, 0));
    assert_eq!(row.end_reason, "the event's body is no longer kept");
    let due = fixture.store().due_deliveries(SHARD, endpoint, DueKey::MIN, 10).await;
    assert_eq!(due.expect("reads").deliveries, []);
}
