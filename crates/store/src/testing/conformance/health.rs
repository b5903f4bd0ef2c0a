//! Health: endpoints that only fail, and the sums of an organization's attempts.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, AttemptOutcome};
use keeptrusts_webhooks_domain::delivery::RequestResult;
use keeptrusts_webhooks_domain::endpoint::{DisableCause, FailureStreak};
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};

use super::Fixture;
use super::given::*;
use crate::durations;
use crate::log::operation::ExpectedVersion;
use crate::store::AttemptSum;

async fn an_endpoint_of(fixture: &Fixture, whose: OrganizationId) -> EndpointId {
    let id = endpoint_id();
    fixture.append(create_endpoint(id).of(whose)).await;
    id
}

async fn a_delivery_to(
    fixture: &Fixture,
    endpoint: EndpointId,
    whose: OrganizationId,
) -> DeliveryId {
    let (event, delivery) = (event_id(), delivery_id());
    let accepted = publish(event).of(whose.clone());
    let scheduled = schedule(event, &[(delivery, endpoint)], &[]).of(whose);
    fixture.append_all(&[accepted, scheduled]).await;
    delivery
}

async fn failing(fixture: &Fixture, endpoint: EndpointId) -> Option<FailureStreak> {
    let ours = fixture.store().failing_endpoints(SHARD, Some(&organization())).await;
    let ours = ours.expect("reads").remove(&endpoint);
    let all = fixture.store().failing_endpoints(SHARD, None).await.expect("reads");
    assert_eq!(ours, all.get(&endpoint).copied(), "the shard's are everybody's");
    ours
}

pub(crate) async fn an_endpoint_fails_from_the_first_failure_after_its_last_success_on(
    fixture: Fixture,
) {
    let endpoint = an_endpoint_of(&fixture, organization()).await;
    let new_delivery = async || {
        let id = a_delivery_to(&fixture, endpoint, organization()).await;
        fixture.delivery(id).await
    };
    let times = ["2026-04-23T10:00:00.000001Z", "2026-04-23T11:00:00Z", "2026-04-23T12:00:00Z"];
    let [first, second, third] = times.map(time);
    let delivery = new_delivery().await;
    assert_eq!(failing(&fixture, endpoint).await, None, "nothing was attempted");

    fixture.append(fail(&delivery, first)).await;
    let since_first = FailureStreak::begin(first, delivery.id);
    assert_eq!(failing(&fixture, endpoint).await, Some(since_first));
    fixture.append(fail(&new_delivery().await, second)).await;
    let twice = FailureStreak { failures: 2, ..since_first };
    assert_eq!(failing(&fixture, endpoint).await, Some(twice), "it has not begun anew");
    let more = [new_delivery().await, new_delivery().await, new_delivery().await];
    fixture.append_all(&more.map(|delivery| fail(&delivery, third))).await;
    let five_times = FailureStreak { failures: 5, ..since_first };
    assert_eq!(failing(&fixture, endpoint).await, Some(five_times), "a batch adds up");
    let rebuilt = async || fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    rebuilt().await;
    assert_eq!(failing(&fixture, endpoint).await, Some(five_times));

    fixture.append(succeed(&new_delivery().await, second)).await;
    assert_eq!(failing(&fixture, endpoint).await, None);

    // In one batch: the failures after the success count.
    let [before, between, after] =
        [new_delivery().await, new_delivery().await, new_delivery().await];
    fixture
        .append_all(&[fail(&before, first), succeed(&between, second), fail(&after, third)])
        .await;
    let since_third = FailureStreak::begin(third, after.id);
    assert_eq!(failing(&fixture, endpoint).await, Some(since_third));
    rebuilt().await;
    assert_eq!(failing(&fixture, endpoint).await, Some(since_third));
    let [failed, succeeded] = [new_delivery().await, new_delivery().await];
    fixture.append_all(&[fail(&failed, third), succeed(&succeeded, third)]).await;
    assert_eq!(failing(&fixture, endpoint).await, None);
}

pub(crate) async fn a_tests_failure_does_not_count_and_its_success_does(fixture: Fixture) {
    let endpoint = an_endpoint_of(&fixture, organization()).await;
    let new_test = async || {
        let id = delivery_id();
        fixture.append(request_test(id, event_id(), endpoint)).await;
        fixture.delivery(id).await
    };
    fixture.append(fail(&new_test().await, fixture.now())).await;
    assert_eq!(failing(&fixture, endpoint).await, None);
    let delivery = a_delivery_to(&fixture, endpoint, organization()).await;
    fixture.append(fail(&fixture.delivery(delivery).await, fixture.now())).await;
    let failures = async || failing(&fixture, endpoint).await.map(|streak| streak.failures);
    assert_eq!(failures().await, Some(1));
    fixture.append(fail(&new_test().await, fixture.now())).await;
    assert_eq!(failures().await, Some(1));
    fixture.append(fail(&fixture.delivery(delivery).await, fixture.now())).await;
    assert_eq!(failures().await, Some(2));
    fixture.append(succeed(&new_test().await, fixture.now())).await;
    assert_eq!(failing(&fixture, endpoint).await, None);
}

pub(crate) async fn enabling_begins_anew_and_disabling_does_not(fixture: Fixture) {
    let endpoint = an_endpoint_of(&fixture, organization()).await;
    let delivery = a_delivery_to(&fixture, endpoint, organization()).await;
    fixture.append(fail(&fixture.delivery(delivery).await, fixture.now())).await;
    let since = failing(&fixture, endpoint).await;
    assert!(since.is_some());
    let disabled = EndpointFact::Disabled {
        reason: String::new(),
        cause: DisableCause::Gone { delivery_id: delivery },
    };
    fixture.append(change_endpoint(endpoint, ExpectedVersion::Any, disabled)).await;
    assert_eq!(failing(&fixture, endpoint).await, since, "one sees since when");
    fixture.append(change_endpoint(endpoint, ExpectedVersion::Any, EndpointFact::Enabled)).await;
    assert_eq!(failing(&fixture, endpoint).await, None);
}

pub(crate) async fn an_organizations_attempts_are_summed_over_hours(fixture: Fixture) {
    let ours = [(); 2].map(|()| organization());
    let mut endpoints = Vec::new();
    for whose in ours.into_iter().chain([other_organization()]) {
        let endpoint = an_endpoint_of(&fixture, whose.clone()).await;
        for hour in ["09", "10", "11", "12"] {
            let id = a_delivery_to(&fixture, endpoint, whose.clone()).await;
            let store = fixture.store();
            let row = store.deliveries(SHARD, &whose, &[id]).await.expect("reads").remove(0);
            let start_time = time(&format!("2026-04-23T{hour}:59:59.999999Z"));
            let details = AttemptDetails {
                duration: Duration::from_millis(2),
                ..attempt_of(&row, start_time)
            };
            fixture
                .append(conclude(&row, details, RequestResult::Succeeded).of(whose.clone()))
                .await;
        }
        endpoints.push(endpoint);
    }
    let sums = async |hours: [&str; 2]| {
        let [start, end] = hours.map(time);
        let sums = fixture.store().attempt_sums(SHARD, &organization(), start..end).await;
        let mut sums = sums.expect("reads");
        sums.sort_unstable();
        sums
    };
    let mut expected: Vec<_> = endpoints[..2]
        .iter()
        .map(|endpoint_id| AttemptSum {
            endpoint_id: *endpoint_id,
            outcome: AttemptOutcome::Delivered,
            duration_bucket: durations::bucket(Duration::from_millis(2)),
            count: 2,
        })
        .collect();
    expected.sort_unstable();
    assert_eq!(sums(["2026-04-23T10:00:00Z", "2026-04-23T12:00:00Z"]).await, expected);
    // Deleted endpoints had their attempts as well.
    fixture
        .append(change_endpoint(endpoints[0], ExpectedVersion::Any, EndpointFact::Deleted))
        .await;
    assert_eq!(sums(["2026-04-23T10:00:00Z", "2026-04-23T12:00:00Z"]).await, expected);
    assert_eq!(sums(["2026-04-23T13:00:00Z", "2026-04-23T14:00:00Z"]).await, []);
    // Their names can be read for one organization at a time.
    let rows = fixture.store().endpoints(SHARD, &organization(), &endpoints).await;
    let mut rows: Vec<_> = rows.expect("reads").into_iter().map(|row| row.id).collect();
    rows.sort_unstable();
    assert_eq!(rows, expected.iter().map(|sum| sum.endpoint_id).collect::<Vec<_>>());
    let nobody = "nobody".parse().expect("valid");
    let always = Timestamp::MIN..Timestamp::MAX;
    assert_eq!(fixture.store().attempt_sums(SHARD, &nobody, always).await.expect("reads"), []);
}
