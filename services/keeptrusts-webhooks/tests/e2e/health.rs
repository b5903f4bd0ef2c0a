//! What the API shows of an endpoint's health: why it was disabled, its pause, the week's summary.
//! When an endpoint is disabled or paused is the simulation's.

use std::time::{Duration, SystemTime};

use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::{
    self, AuditAction, GetHealthSummaryRequest, ListAuditEntriesRequest, ListEndpointsRequest,
    delivery, endpoint,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use crate::platform::{Backend, Client, Database, Server, channel, eventually};

async fn listed(client: &Client) -> Vec<v1::Endpoint> {
    let request =
        ListEndpointsRequest { organization_id: client.organization(), ..Default::default() };
    let listed = client.endpoints().list_endpoints(request).await.expect("listed");
    listed.into_inner().endpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_disabled_for_failing_is_shown_so_in_lists_and_in_the_audit_trail() {
    let receiver = Receiver::start(Script::always(Reply::status(503)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after("10ms")
        .flag("--disable-failing-after", "300ms")
        .start()
        .await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["gateway.connected"]).await;
    let disabled = eventually("the endpoint is disabled", async || {
        client.publish("gateway.connected", "{}").await;
        let now = client.endpoint(&endpoint.id).await;
        (now.state() == endpoint::State::Disabled).then_some(now)
    })
    .await;
    assert_eq!(disabled.state_cause(), endpoint::StateCause::FailedTooLong);
    let reason = &disabled.state_reason;
    assert!(reason.contains(&disabled.state_delivery_id), "{reason}");
    assert!(disabled.failing_since_time.is_some());
    assert_eq!(listed(&client).await, [disabled]);

    let trail = ListAuditEntriesRequest {
        organization_id: client.organization(),
        actions: vec![AuditAction::EndpointDisabled.into()],
        ..Default::default()
    };
    let mut trail = tonic::Request::new(trail);
    let token = format!("Bearer {FIRST_KEY}").parse().expect("a header");
    trail.metadata_mut().insert("authorization", token);
    let trail = AuditServiceClient::new(channel(server.address())).list_audit_entries(trail).await;
    let entries = trail.expect("the trail").into_inner().entries;
    let actors: Vec<_> = entries.iter().map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["dispatch"], "nobody has requested it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_real_answer_has_caused_is_shown_with_its_endpoint_also_in_lists() {
    let too_many = Reply::status(429).with_header("retry-after", "200");
    let receiver = Receiver::start(Script::always(too_many));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let busy = client.create_endpoint(&receiver.url("/busy"), &["policy.block"]).await;
    client.create_endpoint(&receiver.url("/well"), &["key.rotated"]).await;
    let event_id = client.publish("policy.block", "{}").await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let shown = client.endpoint(&busy.id).await;
    let pause = shown.pause.as_ref().expect("it is paused");
    assert_eq!((pause.status_code, &pause.delivery_id), (429, &delivery.id));
    let [start, end] = [pause.start_time, pause.end_time]
        .map(|time| SystemTime::try_from(time.expect("a time")).expect("in range"));
    assert_eq!(end.duration_since(start).expect("it ends later"), Duration::from_secs(200));
    let mut paused = listed(&client).await;
    paused.retain(|endpoint| endpoint.pause.is_some());
    assert_eq!(paused, [shown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_of_one_organization_and_of_the_week_that_contains_a_time() {
    let receiver = Receiver::start(Script::by_path([
        ("/good", Script::default()),
        ("/bad", Script::always(Reply::status(500))),
    ]));
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_after("10ms").start().await;
    let client = server.client("acme");
    let well = client.create_endpoint(&receiver.url("/good"), &["gateway.connected"]).await;
    let poorly = client.create_endpoint(&receiver.url("/bad"), &["gateway.disconnected"]).await;
    let event = client.publish("gateway.connected", "{}").await;
    client.wait_for_state(&event, delivery::State::Delivered).await;
    let event = client.publish("gateway.disconnected", "{}").await;
    client.wait_for_state(&event, delivery::State::Failed).await;

    let summary = async |of: &Client, time| {
        let request = GetHealthSummaryRequest { organization_id: of.organization(), time };
        of.dispatch().get_health_summary(request).await.expect("a summary").into_inner()
    };
    let now = Some(SystemTime::now().into());
    let current = summary(&client, now).await;
    let ids: Vec<_> = current.endpoints.iter().map(|of| of.endpoint_id.as_str()).collect();
    assert_eq!(ids, [poorly.id.as_str(), well.id.as_str()]);
    let total = current.total.expect("a total");
    assert_eq!((total.delivered, total.retrying, total.failed), (1, 1, 1));
    assert_eq!(current.endpoints[0].state(), endpoint::State::Degraded);
    assert!(current.endpoints[0].stats.is_some_and(|stats| stats.median_duration.is_some()));

    let last = summary(&client, None).await;
    assert_eq!(last.end_time, current.start_time, "by default it is the week before");
    assert_eq!((last.endpoint_count, last.endpoints.len()), (0, 0));
    let others = summary(&server.client("other"), now).await;
    assert_eq!(others.endpoint_count, 0, "another organization's endpoints are not shown");
}
